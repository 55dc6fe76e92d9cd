"""The emulator as a device of `fcmrt.kernels.cuda`: built with CMake, called through ctypes."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import itertools
import os
import subprocess
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcmrt.kernels.cuda.borrowing import read_interface
from fcmrt.kernels.cuda.device import Argument, DeviceArray
from tests.fuzz.native import ROOT, cmake

# Letters of the kernels' parameters, see Letters in launch.h, and NumPy's types.
_TYPES = {
    "b": np.int8,
    "B": np.uint8,
    "h": np.int16,
    "H": np.uint16,
    "i": np.int32,
    "I": np.uint32,
    "Q": np.uint64,
    "f": np.float32,
}
_GUARD = 256  # bytes before and behind every array, which belong to none


class EmulatorError(AssertionError):
    """A kernel did what it must not."""


@functools.cache
def build(folder: Path = ROOT / "build" / "simt") -> Path:
    """Builds the emulator in a folder, or what of it is out of date; the library's path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            [cmake(), "-S", str(ROOT), "-B", str(folder), "-DFCMRT_SIMT=ON"],
            [cmake(), "--build", str(folder), "--parallel", str(os.cpu_count() or 1)],
        ):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "tests" / "simt" / "libsimt.so"


class EmulatedRecording:
    """What was launched while it was recorded, with its arguments of then."""

    def __init__(self, launches: list[Callable[[], None]]) -> None:
        self._launches = launches

    def replay(self) -> None:
        for launch in self._launches:
            launch()


class EmulatedDevice:
    """`Device` on the CPU: arrays are NumPy's, launches run to their end.

    There is one stream. Networks of the tests take part by way of `do`.

    Args:
        library: What `build` made.
        seed: Of the order in which threads run; every launch draws another.
    """

    name = "SIMT emulator"
    stream = 1

    def __init__(self, library: Path, seed: int = 0) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.simt_add_array.argtypes = [
            *(ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
        ]
        self._library.simt_remove_array.argtypes = [ctypes.c_void_p]
        self._library.simt_signature.restype = ctypes.c_char_p
        self._library.simt_launch.restype = ctypes.c_char_p
        self._library.simt_launch.argtypes = [
            *(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_uint64),
        ]
        self._seeds = itertools.count(seed << 32)
        self._numbers = itertools.count()
        self._capturing = threading.local()

    @property
    def _recorded(self) -> list[Callable[[], None]] | None:
        """What this thread records; others launch meanwhile."""
        return getattr(self._capturing, "launches", None)

    def do(self, work: Callable[[], None]) -> None:
        """Does what is launched, or records it."""
        if self._recorded is None:
            work()
        else:
            self._recorded.append(work)

    def _not_captured(self, what: str) -> None:
        if self._recorded is not None:
            raise EmulatorError(f"{what} while launches are captured")

    def _array(self, shape: tuple[int, ...], dtype: npt.DTypeLike, written: bool) -> DeviceArray:
        self._not_captured("memory is asked for")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        whole = np.zeros(size + 2 * _GUARD + 15, np.uint8)
        begin = _GUARD + -(whole.ctypes.data + _GUARD) % 16
        array = whole[begin : begin + size]
        array[:] = 0xA5
        name = f"array {next(self._numbers)}, {np.dtype(dtype).name} {list(shape)}"
        self._library.simt_add_array(array.ctypes.data, size, name.encode(), 1, written)
        weakref.finalize(whole, self._library.simt_remove_array, array.ctypes.data)
        return array.view(dtype).reshape(shape)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return self._array(shape, dtype, False)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        array = self._array(shape, dtype, True)
        array[...] = 0
        return array

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        copy = self._array(array.shape, array.dtype, True)
        copy[...] = array
        return copy

    def write(self, target: DeviceArray, values: npt.NDArray[Any] | int) -> None:
        if isinstance(values, np.ndarray):
            assert values.shape == target.shape
            assert values.dtype == target.dtype
            self._not_captured("values of the host are written")
            target[...] = values
        else:
            self.do(lambda: np.copyto(target, values, casting="unsafe"))

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        return self.fetch(array)()[0]

    def fetch(self, *arrays: DeviceArray) -> Callable[[], list[npt.NDArray[Any]]]:
        self._not_captured("arrays are fetched")
        copies = [np.array(array) for array in arrays]
        return lambda: copies

    def borrow(self, array: Any, name: str, *, to_write: bool = False) -> DeviceArray:
        if isinstance(array, np.ndarray):
            return array
        found = read_interface(array, name)
        assert found.stream in (None, self.stream)
        size = int(np.prod(found.shape)) * np.dtype(found.dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(found.address)
        view = np.frombuffer(memory, found.dtype).reshape(found.shape)
        assert found.strides in (None, view.strides)
        return view

    def mark(self) -> None:
        self._not_captured("a mark is set")

    def after(self, mark: None) -> None:
        pass

    def wait(self, mark: None) -> None:
        self._not_captured("the host waits")

    def capture(self, launches: Callable[[], None]) -> EmulatedRecording:
        recorded: list[Callable[[], None]] = []
        self._capturing.launches = recorded
        try:
            launches()
        finally:
            self._capturing.launches = None
        return EmulatedRecording(recorded)

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        signature = self._library.simt_signature(kernel.encode())
        assert signature is not None, f"there is no kernel {kernel!r}"
        values = _arguments(kernel, signature.decode(), arguments)
        self.do(lambda: self._launch(kernel, grid, threads, values, shared_bytes))

    def _launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        values: list[npt.NDArray[Any]],
        shared_bytes: int,
    ) -> None:
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        failure = self._library.simt_launch(
            kernel.encode(),
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(threads, 1, 1),
            shared_bytes,
            pointers,
            next(self._seeds),
        )
        if failure is not None:
            raise EmulatorError(f"{kernel}: {failure.decode()}")


def _arguments(
    kernel: str, signature: str, arguments: tuple[Argument, ...]
) -> list[npt.NDArray[Any]]:
    """Each argument's bytes, after a look at whether they are of the parameter's type."""
    stars, _, letters = signature.partition("|")
    assert len(arguments) == len(stars), f"{kernel} takes {len(stars)} arguments"
    values = []
    for number, (argument, star, letter) in enumerate(zip(arguments, stars, letters, strict=True)):
        kind = _TYPES.get(letter)
        where = f"argument {number} of {kernel}"
        if star != "*":
            assert kind is not None, where
            assert isinstance(argument, kind), where
            values.append(np.array(argument))
            continue
        if argument is not None:
            assert isinstance(argument, np.ndarray), where
            assert argument.flags.c_contiguous, where
            assert kind in (None, argument.dtype.type), where
        values.append(np.array(0 if argument is None else argument.ctypes.data, np.uint64))
    return values
