"""Arrays in and out: the only place that knows the interchange protocols.

Features come in as NumPy arrays, or as anything on the CPU that speaks DLPack or the buffer
protocol (PyTorch tensors among them), without a copy; they go out as NumPy arrays or as tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import BackendUnavailableError, ConfigError, DeviceError, DTypeError, ShapeError

FloatArray = npt.NDArray[np.float32]
Framework = Literal["numpy", "torch"]

_DLPACK_CPU_DEVICES = (1, 3)  # kDLCPU and kDLCUDAHost, of the DLPack specification


def as_numpy(array: Any, name: str) -> npt.NDArray[Any]:
    """Views an array of any library as a NumPy array.

    Args:
        array: NumPy array, object with `__dlpack__` on the CPU, or buffer; borrowed.
        name: What to call it in an error.

    Returns:
        A view where the protocol allows one.

    Raises:
        DTypeError: Not an array, or an element type that NumPy does not know (bfloat16), or a
            tensor that still takes part in automatic differentiation.
        DeviceError: The array is not in the CPU's memory.
    """
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "__dlpack__"):
        device = array.__dlpack_device__()[0]
        if device not in _DLPACK_CPU_DEVICES:
            raise DeviceError(
                f"{name} is on a device (DLPack type {int(device)}); this runner takes arrays in "
                "the CPU's memory: copy it there first"
            )
        try:
            return np.from_dlpack(array)
        except (BufferError, RuntimeError, TypeError) as error:
            raise DTypeError(f"{name} cannot be taken through DLPack: {error}") from error
    if hasattr(array, "__cuda_array_interface__"):
        raise DeviceError(f"{name} is on a CUDA device; copy it to the CPU's memory first")
    try:
        return np.asarray(memoryview(array))
    except TypeError:
        raise DTypeError(
            f"{name} is a {type(array).__name__}; an array is needed: NumPy, or anything that "
            "speaks DLPack or the buffer protocol"
        ) from None


def as_features(array: Any, name: str) -> FloatArray:
    """Takes one level's features in, checked.

    Args:
        array: float32 or float16, any rank; see `as_numpy`.
        name: The level's name, for errors.

    Returns:
        float32 array of the same shape, C-contiguous; a view of float32 input that already is.

    Raises:
        DTypeError: Another element type, NaN or infinity.
    """
    taken = as_numpy(array, name)
    if taken.dtype not in (np.float32, np.float16):
        raise DTypeError(f"{name} is {taken.dtype}; features are float32 or float16")
    features = np.ascontiguousarray(taken, dtype=np.float32)
    # A sum is one quick pass and finite whenever all its terms are, unless it overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(features, axis=None)
    if not np.isfinite(total) and not np.isfinite(features).all():
        raise DTypeError(f"{name} holds NaN or infinity, which no codec can take")
    return features


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
    except TypeError:
        raise DTypeError(
            f"{name} is a {type(buffer).__name__}; a writable buffer is needed, like a bytearray"
        ) from None
    if view.readonly or not view.c_contiguous:
        raise DTypeError(f"{name} must be writable and C-contiguous")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


def as_outputs(
    arrays: Any, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[np.float32 | np.float16]]:
    """Views the caller's arrays for features, checked.

    Args:
        arrays: A mapping of level names to float32 or float16 arrays, writable; borrowed.
        shapes: The shape that each level must have.

    Raises:
        ShapeError: A level is missing, not known, or of another shape.
        DTypeError: Another element type, or an array that cannot be written to.
    """
    if not isinstance(arrays, Mapping) or set(arrays) != set(shapes):
        raise ShapeError(f"out must be a mapping with the levels {', '.join(shapes)}")
    outputs = {}
    for name, shape in shapes.items():
        array = as_numpy(arrays[name], name)
        if array.shape != shape:
            raise ShapeError(f"out has {name} as {list(array.shape)}; it decodes to {list(shape)}")
        if array.dtype not in (np.float32, np.float16) or not array.flags.writeable:
            raise DTypeError(
                f"out has {name} as {array.dtype}; it must be writable, of float32 or float16"
            )
        outputs[name] = array
    return outputs


def check_framework(framework: str) -> None:
    """Refuses a kind of output array that is unknown, or whose library is not installed.

    Raises:
        ConfigError: Neither "numpy" nor "torch".
        BackendUnavailableError: "torch", and PyTorch is not installed.
    """
    if framework == "torch":
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise BackendUnavailableError(
                "output='torch' needs PyTorch: pip install torch"
            ) from error
    elif framework != "numpy":
        raise ConfigError(f"output {framework!r} is not known; there are 'numpy' and 'torch'")


def from_numpy(array: npt.NDArray[Any], framework: Framework) -> Any:
    """Hands an owned NumPy array out as an array of the framework, without a copy."""
    if framework == "numpy":
        return array
    import torch

    return torch.from_numpy(array)
