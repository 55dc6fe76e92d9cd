"""Operators that move, cut and join values, and those that work on shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .operator import Function, Site, Tensor, operator, tensor_of

_CASTS = {  # TensorProto.DataType
    1: torch.float32,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    16: torch.bfloat16,
}


@operator("Cast", 1, 1)
def _cast(site: Site) -> Function:
    site.ignore("saturate")
    wanted = _CASTS.get(site.integer("to"))
    if wanted is None:
        raise site.error("only casts to float32, float16, bfloat16, int32, int64, bool are taken")
    dtype = site.kind(wanted)
    return lambda x: x.to(dtype)


@operator("Shape", 1, 1, of_shape=True)
def _shape(site: Site) -> Function:
    part = slice(site.integer("start", 0), site.integer("end", 1 << 30))
    return lambda x: torch.tensor(x.shape[part], dtype=torch.int64)


@operator("Reshape", 2, 2, plain=(1,))
def _reshape(site: Site) -> Function:
    zeros = site.integer("allowzero", 0)

    def reshape(x: Tensor, shape: list[int]) -> Tensor:
        if not zeros and 0 in shape:
            shape = [size or x.shape[i] for i, size in enumerate(shape)]
        return x.reshape(shape)

    return reshape


@operator("Flatten", 1, 1)
def _flatten(site: Site) -> Function:
    axis = site.integer("axis", 1)

    def flatten(x: Tensor) -> Tensor:
        rows = int(np.prod(x.shape[:axis]))
        return x.reshape(rows, x.numel() // rows if rows else -1)

    return flatten


@operator("Transpose", 1, 1)
def _transpose(site: Site) -> Function:
    order = site.integers("perm")
    return lambda x: x.permute(order or tuple(reversed(range(x.ndim))))


@operator("Squeeze", 1, 2, plain=(1,))
def _squeeze(site: Site) -> Function:
    return lambda x, axes=None: x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("Unsqueeze", 2, 2, plain=(1,))
def _unsqueeze(site: Site) -> Function:
    def unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


@operator("Expand", 2, 2, plain=(1,))
def _expand(site: Site) -> Function:
    def expand(x: Tensor, shape: list[int]) -> Tensor:
        rank = max(x.ndim, len(shape))
        own = [1] * (rank - x.ndim) + list(x.shape)
        wanted = [1] * (rank - len(shape)) + shape
        return x.expand([b if a == 1 else a for a, b in zip(own, wanted, strict=True)])

    return expand


@operator("Tile", 2, 2, plain=(1,))
def _tile(site: Site) -> Function:
    return lambda x, repeats: x.repeat(repeats)


@operator("Concat", 1)
def _concat(site: Site) -> Function:
    axis = site.integer("axis")
    return lambda *values: torch.cat(values, axis)


@operator("Split", 1, 2, plain=(1,), several=True)
def _split(site: Site) -> Function:
    axis, parts = site.integer("axis", 0), len(site.node.outputs)
    if site.integer("num_outputs", parts) != parts:
        raise site.error("attribute 'num_outputs' is not the number of outputs")

    def split(x: Tensor, sizes: list[int] | None = None) -> Any:
        if sizes is None:  # equal parts, the last may be smaller
            return torch.split(x, -(-x.shape[axis] // parts), axis)
        return torch.split(x, sizes, axis)

    return split


@operator("Slice", 3, 5, plain=(1, 2, 3, 4))
def _slice(site: Site) -> Function:
    def cut(x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
        index, backwards = [slice(None)] * x.ndim, []
        axes = range(len(starts)) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            places = range(x.shape[axis])[start:end:step]
            if step > 0:
                index[axis] = slice(start, end, step)
            elif places:  # PyTorch has no slices that run backwards
                index[axis] = slice(places[-1], places[0] + 1, -step)
                backwards.append(axis)
            else:
                index[axis] = slice(0, 0)
        part = x[tuple(index)]
        return part.flip(backwards) if backwards else part

    return cut


@operator("Pad", 2, 4, plain=(1, 2, 3))
def _pad(site: Site) -> Function:
    mode = site.text("mode", "constant")
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if mode not in modes:
        raise site.error(f"attribute 'mode' is {mode!r}; only {', '.join(modes)} are taken")

    def pad(x: Tensor, pads: list[int], value: Any = None, axes: Any = None) -> Tensor:
        around = [0] * 2 * x.ndim
        axes = range(x.ndim) if axes is None else axes
        for i, axis in enumerate(axes):
            place = 2 * (x.ndim - 1 - axis % x.ndim)
            around[place], around[place + 1] = pads[i], pads[i + len(axes)]
        if mode == "constant":
            return functional.pad(x, around, value=value or 0)
        while len(around) > 2 and around[-2:] == [0, 0]:
            around = around[:-2]  # PyTorch repeats and reflects only the innermost dimensions
        return functional.pad(x, around, mode=modes[mode])

    return pad


@operator("Gather", 2, 2)
def _gather(site: Site) -> Function:
    axis, indices = site.integer("axis", 0), site.known(1)
    if indices is not None and indices.ndim == 0:
        number = int(indices)
        return lambda x, _: x.select(axis, number)

    def gather(x: Tensor, indices: Tensor) -> Tensor:
        wrapped = torch.where(indices < 0, indices + x.shape[axis], indices)
        taken = x.index_select(axis, wrapped.flatten())
        start = axis % x.ndim
        return taken.reshape(*x.shape[:start], *indices.shape, *x.shape[start + 1 :])

    return gather


@operator("ConstantOfShape", 1, 1, plain=(0,))
def _constant_of_shape(site: Site) -> Function:
    value = tensor_of(site.array("value", np.zeros(1, np.float32)))
    if value.numel() != 1:
        raise site.error("attribute 'value' must have one element")
    dtype = site.kind(value.dtype)
    number = value.item()
    return lambda shape: torch.full(shape, number, dtype=dtype)


@operator("Range", 3, 3, plain=(0, 1, 2))
def _range(site: Site) -> Function:
    def numbers(start: Any, limit: Any, delta: Any) -> Tensor:
        dtype = site.kind(torch.float32 if isinstance(start, float) else torch.int64)
        return torch.arange(start, limit, delta, dtype=dtype)

    return numbers


@operator("DepthToSpace", 1, 1)
def _depth_to_space(site: Site) -> Function:
    block, mode = site.integer("blocksize"), site.text("mode", "DCR")
    if mode == "CRD":
        return lambda x: functional.pixel_shuffle(x, block)
    if mode != "DCR":
        raise site.error(f"attribute 'mode' is {mode!r}")

    def depth_to_space(x: Tensor) -> Tensor:
        n, depth, rows, columns = x.shape
        cells = x.reshape(n, block, block, depth // block**2, rows, columns)
        return cells.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, rows * block, columns * block)

    return depth_to_space


@operator("SpaceToDepth", 1, 1)
def _space_to_depth(site: Site) -> Function:
    block = site.integer("blocksize")

    def space_to_depth(x: Tensor) -> Tensor:
        n, depth, rows, columns = x.shape
        cells = x.reshape(n, depth, rows // block, block, columns // block, block)
        return cells.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, rows // block, columns // block)

    return space_to_depth


_INTERPOLATIONS = {
    # mode, coordinates: PyTorch's mode, corners
    ("nearest", "asymmetric"): ("nearest", None),
    ("linear", "half_pixel"): ("bilinear", False),
    ("linear", "pytorch_half_pixel"): ("bilinear", False),
    ("linear", "align_corners"): ("bilinear", True),
}


@operator("Resize", 3, 4, plain=(1, 2, 3))
def _resize(site: Site) -> Function:
    """Resizes rows and columns of `[N, C, H, W]`."""
    mode = site.text("mode", "nearest")
    how = mode, site.text("coordinate_transformation_mode", "half_pixel")
    if how not in _INTERPOLATIONS:
        raise site.error(f"interpolation {' '.join(how)} is not taken")
    if mode == "nearest":
        site.only("nearest_mode", "floor")
    site.ignore("nearest_mode", "cubic_coeff_a")
    interpolation, corners = _INTERPOLATIONS[how]

    def resize(x: Tensor, _: Any, scales: Any = None, sizes: Any = None) -> Tensor:
        if sizes:
            sizes, scales = sizes[2:], None
        else:
            sizes, scales = None, scales[2:]
        return functional.interpolate(x, sizes, scales, interpolation, corners)

    return resize
