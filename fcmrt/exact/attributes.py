"""Attributes and constant inputs of the operators of exact graphs, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from ..onnxgraph import Node

_MOST = 1 << 15  # largest stride, pad, dilation or block


def refusal(node: Node, message: str) -> EngineError:
    """Makes the error for a node that an exact graph must not have."""
    return EngineError(f"layer {node.name[:80]!r} ({node.op[:40]}): {message}")


@dataclasses.dataclass(frozen=True, slots=True)
class Convolution:
    """The attributes of Conv and ConvTranspose in two dimensions."""

    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, left, bottom, right."""
    output_padding: tuple[int, int]
    group: int


def convolution(node: Node) -> Convolution:
    """Reads a Conv or a ConvTranspose.

    Raises:
        EngineError: It is not two-dimensional, its padding depends on the size (`auto_pad`), or a
            number is out of range.
    """
    _only(
        node,
        ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides", "output_padding"),
    )
    if str(node.attributes.get("auto_pad", "NOTSET")) != "NOTSET":
        raise refusal(node, "auto_pad is not supported; give pads")
    top, left, bottom, right = _numbers(node, "pads", (0, 0, 0, 0), 0)
    strides, dilations = (_numbers(node, key, (1, 1), 1) for key in ("strides", "dilations"))
    extra = _numbers(node, "output_padding", (0, 0), 0)
    group = number(node, "group", 1, 1, 1 << 16)
    return Convolution(
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        (top, left, bottom, right),
        (extra[0], extra[1]),
        group,
    )


def depth_to_space(node: Node, channels: int) -> npt.NDArray[np.intp]:
    """Returns the input channels of each output channel of a DepthToSpace, `[C, block, block]`."""
    block = number(node, "blocksize", 0, 1, _MOST)
    mode = str(node.attributes.get("mode", "DCR"))
    if mode not in ("DCR", "CRD"):
        raise refusal(node, f"the mode {mode[:40]!r} is not known")
    if channels % block**2:
        raise refusal(node, f"{channels} channels cannot be split into blocks of {block} x {block}")
    numbers = np.arange(channels, dtype=np.intp)
    if mode == "CRD":
        return numbers.reshape(-1, block, block)
    return numbers.reshape(block, block, -1).transpose(2, 0, 1)


def slices(node: Node, constants: Mapping[str, npt.NDArray[Any]], rank: int) -> tuple[slice, ...]:
    """Returns what a Slice with constant bounds takes from each axis; steps must be positive."""
    starts, ends = (_bounds(node, constants, k) for k in (1, 2))
    axes = _bounds(node, constants, 3) if _given(node, 3) else list(range(len(starts)))
    steps = _bounds(node, constants, 4) if _given(node, 4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise refusal(node, "starts, ends, axes and steps differ in length")
    found = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -rank <= axis < rank or axis % rank == 0:
            raise refusal(node, f"axis {axis} is not supported; it must be 1 to {rank - 1}")
        if step < 1 or found[axis % rank] != slice(None):
            raise refusal(node, "steps must be positive, and an axis may be sliced only once")
        found[axis % rank] = slice(start, end, step)
    return tuple(found)


def split_sizes(
    node: Node, constants: Mapping[str, npt.NDArray[Any]], channels: int, rank: int
) -> list[int]:
    """Returns the channels of each output of a Split."""
    channel_axis(node, rank, default=0)
    parts = len(node.outputs)
    if _given(node, 1):
        sizes = _bounds(node, constants, 1)
    else:
        if channels % parts or number(node, "num_outputs", parts, 1, _MOST) != parts:
            raise refusal(node, f"{channels} channels cannot be split into {parts} equal parts")
        sizes = [channels // parts] * parts
    if len(sizes) != parts or min(sizes) < 1 or sum(sizes) != channels:
        raise refusal(node, f"parts of {sizes[:8]} channels, but there are {channels}")
    return sizes


def channel_axis(node: Node, rank: int, default: int | None = None) -> None:
    """Refuses a node that does not work along the channels."""
    axis = number(node, "axis", default, -rank, rank - 1)
    if axis % rank != 1:
        raise refusal(node, f"axis {axis} is not supported; it must be 1, the channels")


def number(node: Node, key: str, default: int | None, low: int, high: int) -> int:
    """Reads an integer attribute; with a default of None it must be present."""
    value = node.attributes.get(key, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise refusal(node, f"{key} is {str(value)[:40]}; it must be {low} to {high}")
    return value


def _numbers(node: Node, key: str, default: tuple[int, ...], low: int) -> tuple[int, ...]:
    value = node.attributes.get(key, default)
    if not isinstance(value, tuple) or len(value) != len(default):
        raise refusal(node, f"{key} must be {len(default)} numbers")
    found = tuple(item for item in value if isinstance(item, int) and low <= item <= _MOST)
    if len(found) != len(value):
        raise refusal(node, f"{key} is {value}; they must be {low} to {_MOST}")
    return found


def _only(node: Node, known: tuple[str, ...]) -> None:
    for key in node.attributes:
        if key not in known:
            raise refusal(node, f"the attribute {key[:40]!r} is not supported")


def _given(node: Node, k: int) -> bool:
    return len(node.inputs) > k and bool(node.inputs[k])


def _bounds(node: Node, constants: Mapping[str, npt.NDArray[Any]], k: int) -> list[int]:
    array = constants.get(node.inputs[k]) if _given(node, k) else None
    if array is None or array.dtype.kind != "i" or array.ndim != 1 or not 1 <= array.size <= 1024:
        raise refusal(node, f"input {k} must be a constant list of whole numbers")
    return [int(item) for item in array]
