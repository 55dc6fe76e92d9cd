"""What the host asks of CuPy, against a stand-in that gives its launches to the emulator."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from fcmrt import kernels
from fcmrt.errors import BackendUnavailableError, DeviceError
from fcmrt.kernels.cuda import CudaKernels, cupy_device, sources

from .fake_cupy import install


def test_packets_by_way_of_cupy(cases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, 1)
    ours, scalar = CudaKernels(), kernels.get("scalar")
    assert ours.device.name == "Stand-in"
    assert not fake.modules  # nothing is compiled before it is needed
    rng = np.random.default_rng(1)
    raw = [
        cases.make_step(rng, "gaussian", "mixed", 700, 5),
        cases.make_step(rng, "wide", "escapes", 90, 0),
    ]
    coded = cases.encode(ours, raw, 8, 2, 0xDEADBEEF)
    assert coded == cases.encode(scalar, raw, 8, 2, 0xDEADBEEF)
    symbols, check = cases.decode(ours, raw, coded, 8)
    assert check == 0xDEADBEEF
    assert all(np.array_equal(a, b.symbols) for a, b in zip(symbols, raw, strict=True))
    assert fake.modules == [(sources.source(), sources.OPTIONS)]


def test_symbols_of_other_integers(cases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, 1)
    ours = CudaKernels()
    raw = cases.make_step(np.random.default_rng(2), "gaussian", "inside", 99, 0)
    coded = cases.encode(ours, [raw], 2, 1, 7)
    decoder = ours.decoder(coded.segments, coded.words, coded.escapes, 2)
    out = np.empty(99, np.int8)
    assert decoder.step(raw.indexes, ours.prepare(raw.tables), 0, out=out) is out
    assert np.array_equal(out, raw.symbols)


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for ask in (cupy_device.CupyDevice, CudaKernels, lambda: kernels.get("cuda")):
        with pytest.raises(BackendUnavailableError, match=r"pip install 'fcmrt\[cuda\]'"):
            ask()


@pytest.mark.parametrize("devices", [None, 0])
def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, devices: int | None) -> None:
    install(monkeypatch, devices)
    for ask in (cupy_device.CupyDevice, CudaKernels, lambda: kernels.get("cuda")):
        with pytest.raises(DeviceError, match="GPU"):
            ask()


def test_the_sources_are_installed() -> None:
    assert "FCMRT_KERNEL decode_shared" in sources.source()
