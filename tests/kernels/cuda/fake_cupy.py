"""A stand-in of CuPy that gives its launches to the emulator, and copies as late as it may."""

from __future__ import annotations

import ctypes
import re
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.simt.emulator import EmulatedDevice, build


class FakeArray(np.ndarray):
    """What of `cupy.ndarray` NumPy's has not."""

    cupy: FakeCupy

    def __new__(
        cls, shape: Any, dtype: Any, pointer: Any, strides: tuple[int, ...] | None = None
    ) -> FakeArray:
        memory = (ctypes.c_uint8 * pointer.memory.size).from_address(pointer.memory.address)
        made = np.ndarray.__new__(cls, shape, dtype, memory, strides=strides)
        made.owner = pointer.memory.owner
        return made

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data)

    def fill(self, value: Any) -> None:
        self.cupy.put(lambda: np.asarray(self).fill(value))


class FakeRuntimeError(Exception):
    pass


class FakeMemoryError(MemoryError):
    pass


class FakePinned:
    """Pinned memory, which the pool lends to somebody else as soon as nobody holds it."""

    def __init__(self, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size)
        self.ptr = ctypes.addressof(self._memory)

    def __del__(self) -> None:
        ctypes.memset(self.ptr, 0xEE, len(self._memory))


class FakeStream:
    """A stream; `captured` is what was launched into it since `begin_capture`."""

    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        self._cupy = cupy
        self.ptr = ptr
        self.captured: list[Callable[[], None]] | None = None
        self.waits: list[Any] = []

    def __enter__(self) -> FakeStream:
        self._cupy.streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._cupy.streams.pop() is self

    def begin_capture(self) -> None:
        assert self.ptr != 0, "the null stream cannot be captured"
        self.captured = []

    def end_capture(self) -> Any:
        captured, self.captured = self.captured, None
        assert captured is not None
        return types.SimpleNamespace(launch=lambda: [self._cupy.put(work) for work in captured])

    def wait_event(self, event: Any) -> None:
        self.waits.append(event.stream)


class FakeEvent:
    def __init__(self, cupy: FakeCupy) -> None:
        self._cupy = cupy
        self._copies: list[Any] = []
        self.stream: FakeStream | None = None

    def record(self, stream: FakeStream) -> None:
        assert stream.captured is None
        self.stream = stream
        self._copies = list(self._cupy.copies)

    @property
    def done(self) -> bool:
        return not any(copy in self._cupy.copies for copy in self._copies)

    def synchronize(self) -> None:
        assert self._cupy.stream.captured is None
        self._cupy.copy_all()


class FakeCupy(types.ModuleType):
    """The few names of CuPy that the host side uses, as CuPy 13 has them."""

    def __init__(self, devices: int | None) -> None:
        super().__init__("cupy")
        self.emulated = EmulatedDevice(build())
        self.modules: list[tuple[str, tuple[str, ...]]] = []
        self.streams = [FakeStream(self, 0)]
        self.copies: list[Callable[[], None]] = []
        self.ndarray = type("FakeArray", (FakeArray,), {"cupy": self})
        self.cuda = types.SimpleNamespace(
            Device=lambda: types.SimpleNamespace(id=0),
            Event=lambda *, disable_timing: FakeEvent(self),
            ExternalStream=lambda ptr: FakeStream(self, ptr),
            Stream=lambda *, non_blocking: FakeStream(self, 77),
            UnownedMemory=lambda address, size, owner: types.SimpleNamespace(
                address=address, size=size, owner=owner
            ),
            MemoryPointer=lambda memory, offset: types.SimpleNamespace(memory=memory),
            alloc_pinned_memory=FakePinned,
            get_current_stream=lambda: self.stream,
            memory=types.SimpleNamespace(OutOfMemoryError=FakeMemoryError),
            runtime=types.SimpleNamespace(
                CUDARuntimeError=FakeRuntimeError,
                getDeviceCount=lambda: self.count(devices),
                getDeviceProperties=lambda number: {"name": b"Stand-in"},
                memcpyAsync=self.memcpy,
            ),
        )

    @staticmethod
    def count(devices: int | None) -> int:
        if devices is None:
            raise FakeRuntimeError("cudaErrorInsufficientDriver")
        return devices

    @property
    def stream(self) -> FakeStream:
        return self.streams[-1]

    def put(self, work: Callable[[], None]) -> None:
        """Launches: all copies before it are made by then."""
        if self.stream.captured is not None:
            self.stream.captured.append(work)
            return
        self.copy_all()
        work()

    def copy_all(self) -> None:
        for copy in self.copies:
            copy()
        self.copies.clear()

    def memcpy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert self.stream.captured is None
        assert stream == self.stream.ptr
        if kind == 2:
            self.copy_all()
            ctypes.memmove(target, source, size)
        else:
            assert kind == 1
            self.copies.append(lambda: ctypes.memmove(target, source, size) and None)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        assert self.stream.captured is None
        # What CuPy does not write is not known; the emulator would see who reads it, but it does
        # not see copies.
        return self.zeros(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.emulated.zeros(shape, dtype).view(self.ndarray)

    def ascontiguousarray(self, array: Any) -> Any:
        assert type(array) is self.ndarray
        if array.flags.c_contiguous:
            return array
        return self.emulated.upload(np.ascontiguousarray(array)).view(self.ndarray)

    def from_dlpack(self, array: Any) -> Any:
        array.__dlpack__(stream=self.stream.ptr)
        return array.array.view(self.ndarray)

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
                    assert type(argument) is self.ndarray
                    given.append(np.asarray(argument))
                else:
                    assert isinstance(argument, np.generic)
                    given.append(argument)
            threads, *others = block
            assert others == [1, 1]
            launch = self.emulated.launch
            self.put(lambda: launch(name, grid, threads, *given, shared_bytes=shared_mem))

        return call


def install(monkeypatch: pytest.MonkeyPatch, devices: int | None) -> FakeCupy:
    fake = FakeCupy(devices)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake
