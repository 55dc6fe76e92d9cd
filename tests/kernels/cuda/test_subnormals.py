"""Subnormal floats, which CuPy has kernels take for 0: the same symbols and costs as elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fcmrt import kernels
from fcmrt.kernels.cuda import CudaKernels
from tests.simt.emulator import EmulatedDevice, build

torch = pytest.importorskip("torch")

ONE = 65536
SMALLEST, NORMAL = np.float32(2.0**-149), np.float32(2.0**-126)


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Has this thread's processor take what is subnormal for 0, as operand and as result."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot be told to take subnormal numbers for 0")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def values() -> Any:
    """Subnormal ones of all sizes, the smallest normal ones, and those next to a mean."""
    rng = np.random.default_rng(9)
    drawn = rng.integers(1, 1 << 23, 500).astype(np.uint32).view(np.float32)
    ends = np.array([0, SMALLEST, NORMAL - SMALLEST, NORMAL, 1.5 * NORMAL, 0.5, 1.5], np.float32)
    one = np.concatenate([drawn, ends])
    grid = np.arange(-99, 99).astype(np.float32) / 64
    near = [np.nextafter(grid, np.float32(end)) for end in (-9, 9)]
    return np.concatenate([one, -one, grid, *near]).astype(np.float32)


def test_the_emulator_flushes_when_it_is_told() -> None:
    device = EmulatedDevice(build())
    out = device.zeros((64,), np.uint32)
    with flushed():
        device.launch("good_subnormals", (1, 1, 1), 64, out)
    assert not out.any()


@pytest.mark.parametrize("step", [1, 700, ONE, (1 << 31) - 1])
def test_symbols_are_the_same(step: int) -> None:
    ours, scalar = CudaKernels(EmulatedDevice(build())), kernels.get("scalar")
    given = values()
    rng = np.random.default_rng(step)
    indexes = np.zeros(len(given), np.int32)
    for bits, means in (
        (0, None),
        (16, np.zeros(len(given), np.int32)),
        (16, rng.integers(-3, 4, len(given)).astype(np.int32)),
        (6, np.rint(np.nan_to_num(given) * 64).astype(np.int32)),
    ):
        wanted, _ = scalar.quantize(given, means, bits, step, indexes, 0, 64, 0)
        restored = scalar.dequantize(wanted, means, bits, step)
        with flushed():
            symbols, _ = ours.quantize(given, means, bits, step, indexes, 0, 64, 0)
            back = ours.dequantize(symbols, means, bits, step)
        assert symbols.tobytes() == wanted.tobytes()
        assert back.tobytes() == restored.tobytes()
