"""What the host asks of CuPy, against a stand-in that gives its launches to the emulator."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import numpy as np
import pytest

from fcmrt import kernels
from fcmrt.errors import BackendUnavailableError, DeviceError
from fcmrt.kernels.cuda import CudaKernels, cupy_device, sources
from tests.simt.emulator import EmulatedDevice, build


class FakeArray(np.ndarray):
    """What of `cupy.ndarray` NumPy's has not."""

    def set(self, values: np.ndarray) -> None:
        assert type(values) is np.ndarray
        assert (values.shape, values.dtype) == (self.shape, self.dtype)
        np.asarray(self)[...] = values


class FakeRuntimeError(Exception):
    pass


class FakeCupy(types.ModuleType):
    """The few names of CuPy that the host side uses, as CuPy 13 has them."""

    def __init__(self, devices: int | None) -> None:
        super().__init__("cupy")
        self.emulated = EmulatedDevice(build())
        self.modules: list[tuple[str, tuple[str, ...]]] = []
        self.cuda = types.SimpleNamespace(
            Device=lambda: types.SimpleNamespace(id=0),
            runtime=types.SimpleNamespace(
                CUDARuntimeError=FakeRuntimeError,
                getDeviceCount=lambda: self.count(devices),
                getDeviceProperties=lambda number: {"name": b"Stand-in"},
            ),
        )

    @staticmethod
    def count(devices: int | None) -> int:
        if devices is None:
            raise FakeRuntimeError("cudaErrorInsufficientDriver")
        return devices

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.emulated.empty(shape, dtype).view(FakeArray)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.emulated.zeros(shape, dtype).view(FakeArray)

    def array(self, array: Any) -> Any:
        return self.emulated.upload(array).view(FakeArray)

    def asnumpy(self, array: Any) -> Any:
        assert type(array) is FakeArray
        return np.array(array)

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        self.modules.append((code, options))
        return types.SimpleNamespace(get_function=lambda name: self.function(code, name))

    def function(self, code: str, name: str) -> Any:
        parameters = re.search(rf"FCMRT_KERNEL {name}\(([^)]*)\)", code)
        assert parameters is not None, name
        pointers = ["*" in parameter for parameter in parameters[1].split(",")]

        def call(grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
            assert type(grid) is type(block) is type(arguments) is tuple
            assert len(grid) == len(block) == 3
            assert 0 <= shared_mem <= 48 * 1024
            given = []
            for is_pointer, argument in zip(pointers, arguments, strict=True):
                if is_pointer and isinstance(argument, np.uint64):
                    assert argument == 0
                    given.append(None)
                elif is_pointer:
                    assert type(argument) is FakeArray
                    given.append(np.asarray(argument))
                else:
                    assert isinstance(argument, np.generic)
                    given.append(argument)
            threads, *others = block
            assert others == [1, 1]
            self.emulated.launch(name, grid, threads, *given, shared_bytes=shared_mem)

        return call


def install(monkeypatch: pytest.MonkeyPatch, devices: int | None) -> FakeCupy:
    fake = FakeCupy(devices)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


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
