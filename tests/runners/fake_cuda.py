"""A GPU that is not there: its memory, its streams, and as much of CuPy as the runners use.

The memory is the host's, so that a library on the CPU can work in it. What is put into a stream is
done when somebody waits for it and not before. Then every copy must still find both its ends alive:
memory that was given back too early, or that is not pinned, is a failure. So is memory that CuPy
allocates for one stream and another writes: its pool lends what was given back in the same stream,
where a kernel may still work on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class FakeCuda:
    """One GPU."""

    def __init__(self) -> None:
        self._memory: weakref.WeakValueDictionary[int, Bytes] = weakref.WeakValueDictionary()
        self._kinds: dict[int, str] = {}
        self._streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.default = self._streams[0] = Stream(self, 0)
        self._events: weakref.WeakValueDictionary[int, Event] = weakref.WeakValueDictionary()
        self._next = 0x5000
        self._lock = threading.Lock()  # of what is iterated over
        self._thread = threading.local()
        self.full = False
        """Whether there is no memory left."""
        self.waits = 0
        """How often the host has waited."""
        self.allocations = 0
        """Of memory of either kind, so far."""

    @property
    def current(self) -> Stream:
        """This thread's current stream."""
        return self._thread.__dict__.get("stream", self.default)

    @current.setter
    def current(self, stream: Stream) -> None:
        self._thread.stream = stream

    def allocate(self, size: int, kind: str) -> Bytes:
        """Memory of the "device" or "pinned"; there as long as it, or a view of it, is."""
        if self.full:
            raise MemoryError("out of memory")
        memory = np.full(max(size, 1), 0xA5, np.uint8)
        with self._lock:
            self.allocations += 1
            self._memory[memory.ctypes.data] = memory
            self._kinds[memory.ctypes.data] = kind
        return memory

    def holds(self, address: int, size: int, kind: str) -> bool:
        """Whether so many bytes lie within one living run of memory of the kind."""
        with self._lock:
            living = tuple(self._memory.items())
        return any(
            self._kinds[first] == kind
            and first <= address
            and address + size <= first + len(memory)
            for first, memory in living
        )

    def new_stream(self) -> Stream:
        with self._lock:
            self._next += 0x10
            stream = Stream(self, self._next)
            self._streams[stream.ptr] = stream
        return stream

    def stream(self, address: int) -> Stream:
        """The living stream of an address; 0 and 1 are both the default one."""
        assert type(address) is int
        if address in (0, 1):
            return self.default
        assert address in self._streams, f"there is no stream {address:#x}"
        return self._streams[address]

    def event(self, *, disable_timing: bool) -> Event:
        assert disable_timing, "takes the time, which waits"
        with self._lock:
            self._next += 0x10
            event = Event(self, self._next)
            self._events[event.ptr] = event
        return event

    def finish(self) -> None:
        """Does all that is under way."""
        with self._lock:
            living = tuple(self._streams.values())
        for stream in living:
            stream.work.run_to(stream.work.end)

    def cupy(self, devices: int = 1) -> types.ModuleType:
        """Makes a module `cupy`."""
        module: Any = types.ModuleType("cupy")
        module.cuda = types.SimpleNamespace(
            Device=self._device,
            Event=self.event,
            Stream=self._stream_for_cupy,
            get_current_stream=lambda: self.current,
            memory=types.SimpleNamespace(OutOfMemoryError=MemoryError),
            alloc_pinned_memory=lambda size: self.allocate(size, "pinned"),
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: devices,
                eventRecord=lambda event, stream: self._events[event].record(self.stream(stream)),
                streamIsCapturing=lambda address: self.stream(address).is_capturing(),
                CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
            ),
        )
        module.empty = self._empty
        module.zeros = self._zeros
        return module

    def _empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return DeviceArray(self, shape, dtype, self.current)

    def _zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        assert self.current is not self.default, "filled in the default stream"
        array = self._empty(shape, dtype)
        self.current.put(functools.partial(array.data.memory.fill, 0))
        return array

    @contextlib.contextmanager
    def _device(self, number: int) -> Iterator[None]:
        assert number == 0
        yield

    def _stream_for_cupy(self, *, non_blocking: bool) -> Stream:
        assert non_blocking, "waits for the default stream"
        return self.new_stream()


class Work:
    """What is under way in a stream, in its order; also when the stream is gone."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], None]] = deque()
        self._done = 0
        self._turn = threading.RLock()  # whoever waits, waits for what another has begun

    @property
    def end(self) -> int:
        """The place behind all of it."""
        with self._turn:
            return self._done + len(self._left)

    def put(self, work: Callable[[], None]) -> None:
        with self._turn:
            self._left.append(work)

    def reached(self, place: int) -> bool:
        return self._done >= place

    def run_to(self, place: int) -> None:
        with self._turn:
            while not self.reached(place):
                self._done += 1
                self._left.popleft()()


class Stream:
    def __init__(self, cuda: FakeCuda, address: int) -> None:
        self._cuda = cuda
        self.ptr = address
        self.work = Work()
        self._recorded: list[Callable[[], None]] | None = None

    def use(self) -> Stream:
        self._cuda.current = self
        return self

    def put(self, work: Callable[[], None]) -> None:
        if self._recorded is None:
            self.work.put(work)
        else:
            self._recorded.append(work)

    def is_capturing(self) -> bool:
        return self._recorded is not None

    def begin_capture(self) -> None:
        assert self.ptr, "the default stream cannot be recorded"
        assert self._recorded is None, "is recorded already"
        self._recorded = []

    def end_capture(self) -> Graph:
        assert self._recorded is not None, "is not recorded"
        recorded, self._recorded = self._recorded, None
        return Graph(recorded)

    @property
    def idle(self) -> bool:
        """Whether all work was waited for."""
        return self.work.reached(self.work.end)

    def synchronize(self) -> None:
        assert self._recorded is None, "waits while it is recorded"
        self._cuda.waits += 1
        self.work.run_to(self.work.end)


class Event:
    """A point in a stream, which may be waited for when the stream is gone."""

    def __init__(self, cuda: FakeCuda, address: int) -> None:
        self._cuda = cuda
        self.ptr = address
        self._work, self._place = Work(), 0

    def record(self, stream: Stream) -> None:
        assert not stream.is_capturing(), "would be a point in the recording"
        self._work, self._place = stream.work, stream.work.end

    def synchronize(self) -> None:
        self._cuda.waits += 1
        self._work.run_to(self._place)


class Graph:
    """What a stream has recorded."""

    def __init__(self, work: list[Callable[[], None]]) -> None:
        self._work = work

    def launch(self, stream: Stream) -> None:
        for one in self._work:
            stream.put(one)


class DeviceArray:
    """As `cupy.ndarray`, C-contiguous; with a home, it is for that stream alone."""

    def __init__(
        self,
        cuda: FakeCuda,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        home: Stream | None = None,
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.nbytes = int(np.prod(shape)) * self.dtype.itemsize
        memory = cuda.allocate(self.nbytes, "device")
        self.data = MemoryPointer(cuda, memory, None if home is None else home.ptr)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": None,
            "version": 3,
        }

    def get(self) -> npt.NDArray[Any]:
        """A copy, after all that is under way."""
        self.data.cuda.finish()
        return self.data.memory[: self.nbytes].view(self.dtype).reshape(self.shape).copy()

    def set(self, values: npt.NDArray[Any]) -> None:
        assert (values.shape, values.dtype) == (self.shape, self.dtype)
        self.data.memory[: self.nbytes] = np.frombuffer(values.tobytes(), np.uint8)


class MemoryPointer:
    def __init__(self, cuda: FakeCuda, memory: Bytes, home: int | None) -> None:
        self.cuda = cuda
        self._home = home
        self.memory = memory
        self.ptr = memory.ctypes.data

    def copy_from_host_async(self, mem: int, size: int, stream: Stream) -> None:
        self._copy(mem, self.ptr, size, stream, mem)

    def copy_to_host_async(self, mem: int, size: int, stream: Stream) -> None:
        self._copy(self.ptr, mem, size, stream, mem)

    def _copy(self, source: int, target: int, size: int, stream: Stream, host: int) -> None:
        cuda, address = self.cuda, self.ptr

        def copy() -> None:
            assert cuda.holds(address, size, "device"), "the device's memory was given back"
            assert cuda.holds(host, size, "pinned"), "memory that is not pinned, or was given back"
            memory_at(target, size)[:] = memory_at(source, size)

        assert cuda.holds(host, size, "pinned"), "copies of other memory than pinned wait"
        assert self._home in (None, stream.ptr), "memory of another stream's pool"
        cuda.stream(stream.ptr).put(copy)


def memory_at(address: int, size: int) -> Bytes:
    """The bytes at an address."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
