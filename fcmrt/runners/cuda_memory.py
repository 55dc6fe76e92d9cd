"""Memory and streams of the first GPU that the process sees, by way of CuPy."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, DeviceError, EngineError
from ..kernels.cuda.cupy_device import allocated, in_stream

_DEVICE = 0


class CudaMemory:
    """Allocates and copies; CuPy's part in running networks.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU that it can use.
    """

    def __init__(self) -> None:
        try:
            import cupy
        except ImportError as error:
            raise BackendUnavailableError(
                f"networks on a GPU need CuPy for their memory, which cannot be imported ({error}):"
                " pip install 'fcmrt[cuda]'"
            ) from error
        self._cupy = cupy
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"CuPy finds no usable GPU ({error}); see `fcmrt doctor`") from error
        if count == 0:
            raise DeviceError("this machine has no GPU; see `fcmrt doctor`")
        with self.device():
            # One stream for all preparations: CuPy keeps memory for every stream that it sees.
            self.aside = self.stream()

    def device(self) -> AbstractContextManager[Any]:
        """Makes the GPU the thread's current device while the context lasts."""
        chosen: AbstractContextManager[Any] = self._cupy.cuda.Device(_DEVICE)
        return chosen

    def stream(self) -> Any:
        """Returns a stream that does not wait for the default one; has `ptr`, `synchronize`."""
        return self._cupy.cuda.Stream(non_blocking=True)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, stream: Any) -> Any:
        """Returns an array in the device's memory, to be used in one stream.

        CuPy may hand out memory that was freed in the same stream, where work on it may still be
        under way.

        Raises:
            DeviceError: There is not enough memory.
        """
        with in_stream(self._cupy, stream):
            return allocated(self._cupy, self._cupy.empty, shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike, stream: Any) -> Any:
        """As `empty`, with zeros; other streams may use it once this one has been waited for."""
        with in_stream(self._cupy, stream):
            return allocated(self._cupy, self._cupy.zeros, shape, dtype)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Returns a host array in pinned memory, which the device copies without blocking."""
        array = np.dtype(dtype)
        count = int(np.prod(shape))
        memory = self._cupy.cuda.alloc_pinned_memory(count * array.itemsize)
        return np.frombuffer(memory, array, count).reshape(shape)

    def records(self, stream: int) -> bool:
        """Returns whether work put into a stream is being recorded in a CUDA graph."""
        return bool(self._cupy.cuda.runtime.streamIsCapturing(stream))

    def event(self) -> Any:
        """Returns an event, which stands for a point in a stream once it has been marked.

        Its `synchronize` waits for that point, even if the stream is gone; before the first `mark`
        it returns at once.
        """
        return self._cupy.cuda.Event(disable_timing=True)

    def mark(self, event: Any, stream: int) -> None:
        """Marks the end of a stream's current work with an event; the stream is not recorded."""
        self._cupy.cuda.runtime.eventRecord(event.ptr, stream)


def upload(host: npt.NDArray[Any], device: Any, stream: Any) -> None:
    """Enqueues a copy from pinned memory; both arrays are contiguous and of the same size."""
    device.data.copy_from_host_async(host.ctypes.data, host.nbytes, stream)


def download(device: Any, host: npt.NDArray[Any], stream: Any) -> None:
    """Enqueues a copy to pinned memory; both arrays are contiguous and of the same size."""
    device.data.copy_to_host_async(host.ctypes.data, host.nbytes, stream)


def shape_of(name: str, array: Any, place: str) -> tuple[int, ...]:
    """Returns the shape of an array in the device's memory; errors as `address_of`."""
    return tuple(_interface(name, array, place)["shape"])


def address_of(
    name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype[Any], place: str
) -> int:
    """Checks an array in the device's memory, and returns its address.

    Args:
        name: The network's name for it.
        array: Anything with `__cuda_array_interface__`; borrowed.
        shape: The shape that it must have.
        dtype: The element type that it must have.
        place: What asks, for errors.

    Raises:
        EngineError: Another shape or type, gaps between the elements, or no such array.
    """
    interface = _interface(name, array, place)
    found, kind = tuple(interface["shape"]), np.dtype(interface["typestr"])
    if found != shape or kind != dtype:
        raise EngineError(
            f"{place}: {name!r} is {kind} {list(found)}; it must be {dtype} {list(shape)}"
        )
    strides = interface.get("strides")
    if strides is not None and tuple(strides) != _packed(shape, dtype.itemsize):
        raise EngineError(f"{place}: {name!r} has gaps between its elements; copy it first")
    address: int = interface["data"][0]
    return address


def _interface(name: str, array: Any, place: str) -> Mapping[str, Any]:
    try:
        interface: Mapping[str, Any] = array.__cuda_array_interface__
    except AttributeError:
        raise EngineError(
            f"{place}: {name!r} is a {type(array).__name__}, not an array in the device's memory"
        ) from None
    return interface


def _packed(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides of a C-contiguous array, in bytes."""
    sizes = np.cumprod((itemsize, *shape[:0:-1]))
    return tuple(int(size) for size in sizes[::-1])
