"""A stand-in of CuPy that gives its launches to the emulator, each as late as it may.

Streams do their work when somebody waits for it, each in its own order; between streams nothing but
events makes an order. So who reads in one stream what another has yet to write finds what was there
before.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import re
import sys
import types
import warnings
import weakref
from collections import deque
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

    def __init__(self, cupy: FakeCupy, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size)
        cupy.kept.append(self._memory)
        self.ptr = ctypes.addressof(self._memory)

    def __del__(self) -> None:
        ctypes.memset(self.ptr, 0xEE, len(self._memory))


class Queue:
    """What is under way in a stream; `captured` is what came instead since `begin_capture`."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], object]] = deque()
        self._done = 0
        self.captured: list[Callable[[], object]] | None = None

    def __len__(self) -> int:
        return len(self._work)

    def put(self, work: Callable[[], object]) -> None:
        (self._work if self.captured is None else self.captured).append(work)

    @property
    def end(self) -> int:
        """The place behind all that is in it by now."""
        return self._done + len(self._work)

    def reached(self, place: int) -> bool:
        return self._done >= place

    def run_to(self, place: int) -> None:
        while not self.reached(place):
            self._done += 1
            self._work.popleft()()


class FakeStream:
    """A stream; of a pointer that another has, the same."""

    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        self._cupy = cupy
        self.ptr = ptr
        self.queue = cupy.queues.setdefault(ptr, Queue())
        self.waits: list[Any] = []

    def __enter__(self) -> FakeStream:
        self._cupy.streams.append(self)
        self._cupy.stream = self
        return self

    def __exit__(self, *_: object) -> None:
        """As CuPy's, it forgets a stream that was chosen by `use`."""
        assert self._cupy.streams.pop() is self
        self._cupy.stream = self._cupy.streams[-1]

    def use(self) -> FakeStream:
        self._cupy.stream = self
        return self

    def begin_capture(self) -> None:
        assert not gc.isenabled(), "a collection may wait for the device"
        assert self.ptr != 0, "the null stream cannot be captured"
        assert self.queue.captured is None
        self.queue.captured = []

    def end_capture(self) -> FakeGraph:
        captured, self.queue.captured = self.queue.captured, None
        assert captured is not None
        return FakeGraph(self, captured)

    def wait_event(self, event: FakeEvent) -> None:
        assert self.queue.captured is None
        self.waits.append(event.stream)
        self.queue.put(event.synchronize)


class FakeGraph:
    """What was captured in a stream, whose memory is its own for as long as the stream lives."""

    def __init__(self, stream: FakeStream, captured: list[Callable[[], object]]) -> None:
        self._cupy = stream._cupy
        self._stream = weakref.ref(stream)
        self._captured = captured

    def launch(self) -> None:
        assert self._stream() is not None, "the stream of the capture is gone"
        for work in self._captured:
            self._cupy.put(work)


class FakeEvent:
    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        self.stream: FakeStream | None = None
        self.ptr = ptr
        self._cupy = cupy
        self._place = 0

    def record(self, stream: FakeStream) -> None:
        assert stream.queue.captured is None
        self.stream = stream
        self._place = stream.queue.end

    @property
    def done(self) -> bool:
        return self.stream is None or self.stream.queue.reached(self._place)

    def synchronize(self) -> None:
        assert self._cupy.stream.queue.captured is None
        if self.stream is not None:
            self.stream.queue.run_to(self._place)


class FakeCupy(types.ModuleType):
    """The few names of CuPy that the host side uses, as CuPy 13 and 14 have them.

    `foreign` are addresses and streams of another context.
    """

    def __init__(self, devices: int | None) -> None:
        super().__init__("cupy")
        self.emulated = EmulatedDevice(build())
        self.modules: list[tuple[str, tuple[str, ...]]] = []
        self.found: list[str] = []  # kernels that were looked up
        self.kept: list[Any] = []  # memory that work under way may point to
        self.queues: dict[int, Queue] = {}
        self.streams = [FakeStream(self, 0)]  # of `with` blocks, one within another
        self.stream = self.streams[0]  # the current one
        self.foreign: set[int] = set()
        self._pointers = itertools.count(1000)
        self._events: weakref.WeakValueDictionary[int, FakeEvent] = weakref.WeakValueDictionary()
        self.ndarray = type("FakeArray", (FakeArray,), {"cupy": self})
        self.cuda = types.SimpleNamespace(
            Device=lambda: types.SimpleNamespace(id=0),
            Event=self.event,
            ExternalStream=self.external_stream,
            Stream=lambda *, non_blocking: FakeStream(self, next(self._pointers)),
            UnownedMemory=self.unowned_memory,
            MemoryPointer=lambda memory, offset: types.SimpleNamespace(memory=memory),
            alloc_pinned_memory=lambda size: FakePinned(self, size),
            get_current_stream=lambda: self.stream,
            memory=types.SimpleNamespace(OutOfMemoryError=FakeMemoryError),
            runtime=types.SimpleNamespace(
                CUDARuntimeError=FakeRuntimeError,
                getDeviceCount=lambda: self.count(devices),
                getDeviceProperties=lambda number: {"name": b"Stand-in"},
                memcpyAsync=self.memcpy,
                eventRecord=self.record,
                pointerGetAttributes=self.attributes,
            ),
        )

    @staticmethod
    def count(devices: int | None) -> int:
        if devices is None:
            raise FakeRuntimeError("cudaErrorInsufficientDriver")
        return devices

    def event(self, *, disable_timing: bool) -> FakeEvent:
        event = FakeEvent(self, next(self._pointers))
        self._events[event.ptr] = event
        return event

    def record(self, event: int, stream: int) -> None:
        if stream in self.foreign:
            raise FakeRuntimeError("cudaErrorInvalidResourceHandle")
        self._events[event].record(FakeStream(self, stream))

    def external_stream(self, ptr: int) -> FakeStream:
        warnings.warn("ExternalStream is deprecated.", DeprecationWarning, stacklevel=2)
        return FakeStream(self, ptr)

    def attributes(self, address: int) -> Any:
        """Memory is known if it is the emulator's; since CUDA 11, other is no error."""
        if address in self.foreign:
            raise FakeRuntimeError("cudaErrorInvalidValue")
        known = any(a.ctypes.data <= address < a.ctypes.data + a.nbytes for a in self.kept_arrays())
        return types.SimpleNamespace(type=2 if known else 0, device=0 if known else -2)

    def kept_arrays(self) -> list[Any]:
        return [memory for memory in self.kept if isinstance(memory, np.ndarray)]

    def unowned_memory(self, address: int, size: int, owner: Any, device_id: int = -1) -> Any:
        if device_id < 0 and not address:
            raise RuntimeError("UnownedMemory requires explicit device ID for a null pointer.")
        device = self.attributes(address).device if device_id < 0 else device_id
        assert device == 0, "memory of no device"
        return types.SimpleNamespace(address=address, size=size, owner=owner)

    def put(self, work: Callable[[], object]) -> None:
        """Launches in the current stream."""
        self.stream.queue.put(work)

    def memcpy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2)
        assert self.stream.queue.captured is None
        assert stream == self.stream.ptr
        self.put(lambda: ctypes.memmove(target, source, size))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        assert self.stream.queue.captured is None
        # Written, as far as the emulator knows: it does not see the copies that write it later.
        made = self.emulated.zeros(shape, dtype).view(self.ndarray)
        made.view(np.ndarray).reshape(-1).view(np.uint8)[:] = 0xA5
        self.kept.append(made)
        return made

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        made = self.empty(shape, dtype)
        made.fill(0)
        return made

    def ascontiguousarray(self, array: Any) -> Any:
        assert type(array) is self.ndarray
        if array.flags.c_contiguous:
            return array
        made = self.empty(array.shape, array.dtype)
        self.put(lambda: np.copyto(np.asarray(made), np.asarray(array)))
        return made

    def from_dlpack(self, array: Any) -> Any:
        array.__dlpack__(stream=self.stream.ptr)
        return array.array.view(self.ndarray)

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> Any:  # noqa: N802
        self.modules.append((code, options))
        return types.SimpleNamespace(get_function=lambda name: self.function(code, name))

    def function(self, code: str, name: str) -> Any:
        self.found.append(name)
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
