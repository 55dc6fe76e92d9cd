"""Copies between pageable memory and the device, by way of pinned memory, so that nobody waits."""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import DeviceArray

_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind


class Staging:
    """Copies through pinned memory, and holds the memory until they have ended.

    CuPy's pool reuses pinned memory as soon as nobody holds it, even if a copy still needs it.

    Args:
        cupy: The module.
    """

    def __init__(self, cupy: Any) -> None:
        self._cuda = cupy.cuda
        self._busy: deque[tuple[Any, Any]] = deque()
        self._lock = threading.Lock()  # so that only what was found done is taken off the queue

    def write(self, target: int, values: npt.NDArray[Any]) -> None:
        """Copies values to an address of the device, in the current stream."""
        memory = self._lend(values.nbytes)
        view = _view(memory, values.shape, values.dtype)
        np.copyto(view, values)
        self._copy(target, memory.ptr, values.nbytes, _TO_DEVICE)
        self._hold(memory)

    def fetch(self, arrays: Sequence[DeviceArray]) -> Callable[[], list[npt.NDArray[Any]]]:
        """See `Device.fetch`."""
        places = np.cumsum([0, *(-(-array.nbytes // 16) * 16 for array in arrays)])
        memory = self._lend(int(places[-1]))
        for array, place in zip(arrays, places, strict=False):
            if array.nbytes:
                self._copy(memory.ptr + int(place), array.data.ptr, array.nbytes, _TO_HOST)
        event = self._hold(memory)

        def get() -> list[npt.NDArray[Any]]:
            event.synchronize()
            return [
                _view(memory, array.shape, array.dtype, int(place)).copy()
                for array, place in zip(arrays, places, strict=False)
            ]

        return get

    def _lend(self, size: int) -> Any:
        with self._lock:
            while self._busy and self._busy[0][0].done:
                self._busy.popleft()
        return self._cuda.alloc_pinned_memory(max(size, 1))

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        stream = self._cuda.get_current_stream().ptr
        self._cuda.runtime.memcpyAsync(target, source, size, kind, stream)

    def _hold(self, memory: Any) -> Any:
        event = self._cuda.Event(disable_timing=True)
        event.record(self._cuda.get_current_stream())
        self._busy.append((event, memory))
        return event


def _view(
    memory: Any, shape: tuple[int, ...], dtype: npt.DTypeLike, place: int = 0
) -> npt.NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    view = memoryview((ctypes.c_uint8 * size).from_address(memory.ptr + place))
    return np.frombuffer(view, np.uint8).view(dtype).reshape(shape)
