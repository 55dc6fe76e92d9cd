"""Views arrays of other libraries as CuPy's: through DLPack or `__cuda_array_interface__`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import DeviceError, DTypeError

_DLPACK_CUDA_DEVICES = (2, 13)  # kDLCUDA and kDLCUDAManaged
_UNREGISTERED = 0  # cudaMemoryTypeUnregistered


class Interface(NamedTuple):
    """A checked `__cuda_array_interface__` (version 3; earlier ones have no stream)."""

    address: int
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    strides: tuple[int, ...] | None
    """In bytes; None: C-contiguous."""
    stream: int | None
    """The array may be used after what was launched in this stream; None: at once."""


def read_interface(array: Any, name: str) -> Interface:
    """Reads an array's `__cuda_array_interface__`.

    Raises:
        DTypeError: It is not as the protocol says, or has a mask.
    """
    given = array.__cuda_array_interface__
    try:
        dtype = np.dtype(given["typestr"])
        address, _ = given["data"]
        stream = given.get("stream")
        found = Interface(int(address), tuple(given["shape"]), dtype, given.get("strides"), stream)
    except (KeyError, TypeError, ValueError) as error:
        raise DTypeError(
            f"{name} has a malformed __cuda_array_interface__ ({type(error).__name__}: {error})"
        ) from error
    if given.get("mask") is not None or stream == 0:
        what = "a mask" if stream != 0 else "stream 0, which the protocol forbids"
        raise DTypeError(f"{name} has a __cuda_array_interface__ with {what}")
    return found


def borrowed(cupy: Any, array: Any, name: str) -> Any:
    """Views an array as CuPy's, with its gaps; see `Device.borrow`."""
    if isinstance(array, cupy.ndarray):
        return array
    if hasattr(array, "__dlpack__"):
        device = int(array.__dlpack_device__()[0])
        if device not in _DLPACK_CUDA_DEVICES:
            raise DeviceError(f"{name} is not in a CUDA device's memory (DLPack type {device})")
        try:
            # CuPy passes its current stream to `__dlpack__`, and the array's owner makes it wait.
            return cupy.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise DTypeError(f"{name} cannot be taken through DLPack: {error}") from error
    if not hasattr(array, "__cuda_array_interface__"):
        raise DeviceError(f"{name} is a {type(array).__name__}, not in a CUDA device's memory")
    return _by_interface(cupy, array, name)


def _by_interface(cupy: Any, array: Any, name: str) -> Any:
    found = read_interface(array, name)
    span = _span(found)
    try:
        device = _device_of(cupy, found.address) if span else cupy.cuda.Device().id
        current = cupy.cuda.get_current_stream()
        if found.stream is not None and found.stream != current.ptr:
            # CuPy's own way would make the host wait.
            event = cupy.cuda.Event(disable_timing=True)
            cupy.cuda.runtime.eventRecord(event.ptr, found.stream)
            current.wait_event(event)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise _unknown(name, str(error)) from error
    if device is None:
        raise _unknown(name, "unregistered memory")
    memory = cupy.cuda.UnownedMemory(found.address, span, array, device)
    pointer = cupy.cuda.MemoryPointer(memory, 0)
    return cupy.ndarray(found.shape, found.dtype, pointer, strides=found.strides)


def _device_of(cupy: Any, address: int) -> int | None:
    """Returns the device whose memory an address is in; None if CUDA does not know it."""
    attributes = cupy.cuda.runtime.pointerGetAttributes(address)
    return None if attributes.type == _UNREGISTERED else int(attributes.device)


def _unknown(name: str, reason: str) -> DeviceError:
    return DeviceError(
        f"{name} is in memory, or in a stream, that the GPU's primary context does not know "
        f"({reason}); copy what is in the host's memory (cupy.asarray), and let other libraries "
        "use that context (pycuda.autoprimaryctx)"
    )


def _span(found: Interface) -> int:
    """Returns the bytes from the array's first element to its last, included."""
    size = np.dtype(found.dtype).itemsize
    if 0 in found.shape:
        return 0
    if found.strides is None:
        return int(np.prod(found.shape)) * size
    steps = zip(found.shape, found.strides, strict=True)
    return sum((count - 1) * stride for count, stride in steps) + size
