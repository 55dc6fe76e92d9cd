"""Arrays in and out: the only place that knows the interchange protocols.

Features come in as NumPy arrays, or as anything on the CPU that supports DLPack or the buffer
protocol (PyTorch tensors among them), without a copy; they go out as NumPy arrays or as tensors.
Arrays in a GPU's memory are only recognised here; `kernels/cuda/borrowing.py` views them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .arguments import word
from .errors import (
    BackendUnavailableError,
    ConfigError,
    DeviceError,
    DTypeError,
    NonFiniteError,
    ShapeError,
)

FloatArray = npt.NDArray[np.float32]
Framework = Literal["numpy", "torch", "cupy"]
FRAMEWORKS: tuple[Framework, ...] = ("numpy", "torch", "cupy")

_DLPACK_CPU_DEVICES = (1, 3)  # kDLCPU and kDLCUDAHost, of the DLPack specification


def is_on_device(array: Any) -> bool:
    """Whether an array is, as it says itself, in memory other than the CPU's."""
    if isinstance(array, np.ndarray):
        return False
    if hasattr(array, "__dlpack_device__"):
        return _device_of(array) not in (*_DLPACK_CPU_DEVICES, None)
    return hasattr(array, "__cuda_array_interface__")


def _device_of(array: Any) -> int | None:
    """Returns DLPack's type of the device that an array is on; None if the array has none."""
    try:
        return int(array.__dlpack_device__()[0])
    except Exception:  # each library raises its own; "meta" tensors of PyTorch have no memory
        return None


def as_numpy(array: Any, name: str) -> npt.NDArray[Any]:
    """Views an array of any library as a NumPy array.

    Args:
        array: NumPy array, object with `__dlpack__` on the CPU, or buffer; borrowed.
        name: What to call it in an error.

    Returns:
        A view where the protocol allows one.

    Raises:
        DTypeError: Not an array, or one with masked values, or an element type that NumPy does not
            know (bfloat16), or a tensor that still takes part in automatic differentiation.
        DeviceError: The array is not in the CPU's memory.
    """
    if isinstance(array, np.ndarray):
        if np.any(getattr(array, "mask", False)):  # without loading numpy.ma
            raise DTypeError(f"{name} has masked values, which no codec takes: call .filled(...)")
        return array
    if hasattr(array, "__dlpack__"):
        device = _device_of(array)
        if device is None:
            raise DTypeError(
                f"{name} is in no memory that DLPack knows; copy it to the CPU's first"
            )
        if device not in _DLPACK_CPU_DEVICES:
            raise DeviceError(
                f"{name} is on a device (DLPack type {device}), and this is done in the CPU's "
                "memory: copy it there first, or ask for device='cuda' with the coder there too"
            )
        try:
            return np.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError) as error:
            dtype = str(getattr(array, "dtype", "")).rpartition(".")[2]
            if dtype in ("", "float32", "float16"):
                raise DTypeError(f"{name} cannot be taken through DLPack: {error}") from error
            raise DTypeError(
                f"{name} is {dtype}, which cannot be taken through DLPack ({error}); features are "
                "float32 or float16: call .float()"
            ) from error
    if hasattr(array, "__cuda_array_interface__"):
        raise DeviceError(f"{name} is on a CUDA device; copy it to the CPU's memory first")
    try:
        return np.asarray(memoryview(array))
    except (TypeError, ValueError):  # no buffer, or one of elements that NumPy does not know
        raise DTypeError(
            f"{name} is a {type(array).__name__}; an array is needed: NumPy, or anything that "
            "speaks DLPack or the buffer protocol"
        ) from None


def as_features(array: Any, name: str) -> FloatArray:
    """Checks one level's features, and makes them float32.

    Args:
        array: float32 or float16, any rank; see `as_numpy`.
        name: The level's name, for errors.

    Returns:
        float32 array of the same shape, C-contiguous; a view if the input is so already.

    Raises:
        DTypeError: Another element type, NaN or infinity.
    """
    taken = as_numpy(array, name)
    require_float(taken, name)
    features = np.ascontiguousarray(taken, dtype=np.float32)
    if not all_finite(features):
        raise DTypeError(f"{name} holds NaN or infinity, which no codec can take")
    return features


def overflowed(latent: str) -> DTypeError:
    """Makes the error for a latent that is not finite."""
    return DTypeError(
        f"latent {latent!r} came out of the networks with NaN or infinity: the features are too "
        "large for them. Use precision='float32' where they run in float16 or bfloat16; otherwise "
        "scale the features as in training"
    )


def require_finite(features: npt.NDArray[Any], level: str) -> None:
    """Raises a NonFiniteError if features came out of synthesis with NaN or infinity."""
    if not all_finite(features):
        raise NonFiniteError(
            f"{level} came out of the networks with NaN or infinity: they overflowed on what the "
            "packet holds. Use precision='float32' where they run in float16 or bfloat16"
        )


def all_finite(array: npt.NDArray[Any]) -> bool:
    """Whether an array is free of NaN and infinity; fastest if it is contiguous."""
    # Takes half the time of looking at the sum, which could also overflow.
    return bool(np.isfinite(array).all())


def require_float(array: Any, name: str) -> None:
    """Checks the element type of features, wherever they are.

    Raises:
        DTypeError: Neither float32 nor float16.
    """
    if array.dtype not in (np.float32, np.float16):
        raise DTypeError(f"{name} is {array.dtype}; features are float32 or float16")


def as_writable_bytes(buffer: Any, name: str) -> memoryview:
    """Views a buffer of the caller's as a flat run of bytes to write to.

    Args:
        buffer: Writable, C-contiguous, any element type; borrowed.
        name: What to call it in an error.

    Raises:
        DTypeError: It is no buffer, has gaps, or is read-only.
    """
    try:
        view = memoryview(buffer)
    except (TypeError, ValueError):
        raise DTypeError(
            f"{name} is a {type(buffer).__name__}; a writable buffer is needed, like a bytearray"
        ) from None
    if view.readonly or not view.c_contiguous:
        raise DTypeError(f"{name} must be writable and C-contiguous")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


def as_outputs(
    arrays: Any, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[np.float32 | np.float16]]:
    """Checks the caller's arrays for features, and views them as NumPy arrays.

    Args:
        arrays: A mapping of level names to float32 or float16 arrays, writable; borrowed.
        shapes: The shape that each level must have.

    Raises:
        ShapeError: A level is missing, not known, or of another shape.
        DTypeError: Another element type, or an array that cannot be written to.
    """
    require_levels(arrays, shapes)
    outputs = {}
    for name, shape in shapes.items():
        outputs[name] = array = as_numpy(arrays[name], name)
        require_output(array, name, shape, array.flags.writeable)
    return outputs


def require_levels(arrays: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks that the caller's arrays are a mapping with exactly the levels; ShapeError if not."""
    if not isinstance(arrays, Mapping) or set(arrays) != set(shapes):
        raise ShapeError(f"out must be a mapping with the levels {', '.join(shapes)}")


def require_output(array: Any, name: str, shape: tuple[int, ...], writable: bool) -> None:
    """Checks one of the caller's arrays, wherever it is; errors as `as_outputs`."""
    if array.shape != shape:
        raise ShapeError(f"out has {name} as {list(array.shape)}; it decodes to {list(shape)}")
    if array.dtype not in (np.float32, np.float16) or not writable:
        raise DTypeError(
            f"out has {name} as {array.dtype}; it must be writable, of float32 or float16"
        )


def check_framework(framework: str, on_device: bool) -> None:
    """Refuses a kind of output array that is unknown, or whose library is not installed.

    Args:
        framework: The kind.
        on_device: Whether features may be returned in a GPU's memory.

    Raises:
        ConfigError: It is unknown; or it is "cupy", and features are in the CPU's memory.
        BackendUnavailableError: It is "torch", and PyTorch is not installed.
    """
    word(framework, "output", FRAMEWORKS)
    if framework == "torch":
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise BackendUnavailableError(
                "output='torch' needs PyTorch: pip install torch"
            ) from error
    elif framework == "cupy" and not on_device:
        raise ConfigError(
            "output 'cupy' is for features in a GPU's memory: ask for device='cuda' with the coder "
            "there"
        )


def from_numpy(array: npt.NDArray[Any], framework: Framework) -> Any:
    """Turns an owned NumPy array into an array of the framework, without a copy."""
    if framework == "numpy":
        return array
    import torch

    return torch.from_numpy(array)


def from_device(array: Any, framework: Framework) -> Any:
    """Turns an owned CuPy array into one of "cupy" or "torch", without a copy.

    PyTorch's current stream waits for CuPy's, as DLPack says.
    """
    if framework == "cupy":
        return array
    import torch

    return torch.from_dlpack(array)
