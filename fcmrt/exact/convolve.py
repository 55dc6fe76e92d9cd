"""Convolutions of whole numbers in float64, two sums in one.

A proved sum is less than 2^24 units of its grid, and float64 holds 53 bits. So the lower half of a
picture is multiplied by 2^27 and added to the upper half: each product then makes the sums of two
cells, `s + 2^27 t`, below 2^52 units and therefore not rounded. Sums up to 2^26 units come apart
again. If a proof were wrong by more than that, the halves would be mixed up, and no runner would
agree with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from .attributes import Convolution
from .values import F64, I64

F32 = npt.NDArray[np.float32]

_APART = 27  # bits between the two sums
_COPIED = 1 << 22  # most elements laid out for one matrix product
_PIECE = 1 << 15  # elements worked on one by one, which stay in the cache


def matrices_of(weights: npt.NDArray[np.floating], group: int, transposed: bool) -> F64:
    """Returns a convolution's weights as one matrix for each group.

    `[groups, outputs, inputs * taps]`, or `[groups, outputs * taps, inputs]` if transposed.
    """
    matrices = weights.astype(np.float64).reshape(group, len(weights) // group, -1)
    return np.ascontiguousarray(matrices.transpose(0, 2, 1) if transposed else matrices)


def narrow(wide: npt.NDArray[np.floating]) -> F32:
    """Returns float32 values, in new memory; errors as `_store`."""
    found = np.empty(wide.shape, np.float32)
    _store(wide, found)
    return found


def _store(wide: npt.NDArray[np.floating], into: F32) -> None:
    """Copies to float32; raises OverflowError if it does not hold a value."""
    np.copyto(into, wide, casting="same_kind")
    if not (into == wide).all():
        raise OverflowError("a value needs more than the 24 bits of float32")


def convolve(
    x: F32,
    matrices: F64,
    bias: F64,
    kernel: tuple[int, ...],
    form: Convolution,
    units: I64 | None,
) -> F32:
    """Computes a Conv.

    Args:
        x: `[C, H, W]`.
        matrices: `matrices_of` its weights.
        bias: `[outputs of all groups, 1, 1]`.
        kernel: Rows and columns of the weights.
        form: Its attributes.
        units: `Proof.units` of the layer, for two sums in one; None: each sum by itself.

    Returns:
        `[outputs of all groups, rows, columns]`.

    Raises:
        ValueError: The kernel is larger than the padded picture.
        OverflowError: float32 does not hold a sum.
    """
    top, left, bottom, right = form.pads
    if any(form.pads):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    spans = [d * (k - 1) + 1 for d, k in zip(form.dilations, kernel, strict=True)]
    down = form.strides[0]
    rows = (x.shape[1] - spans[0]) // down + 1
    columns = (x.shape[2] - spans[1]) // form.strides[1] + 1
    if rows < 1 or columns < 1:
        raise ValueError("the kernel is larger than the picture")
    sums = np.empty((len(bias), rows, columns), np.float32)
    halved = units is not None
    upper = -(-rows // 2) if halved else rows
    lower = rows - upper  # where the lower half begins; the middle row may be in both
    most = max(1, _COPIED // (len(x) * math.prod(kernel) * columns))
    height = -(-upper // -(-upper // most))
    for start in range(0, upper, height):
        stop = min(start + height, upper)
        part = slice(start * down, (stop - 1) * down + spans[0])
        if halved:
            both = _put_together(x[:, part], x[:, part.start + lower * down :])
        else:
            both = x[:, part].astype(np.float64)
        found = (matrices @ _seen(both, form, kernel)).reshape(len(sums), -1, columns)
        for some in _pieces(found):
            near = found[some]
            if units is not None:
                far = _taken_apart(near, units[some])
                far += bias[some]
                _store(far, sums[some, start + lower : stop + lower])
            near += bias[some]
            _store(near, sums[some, start:stop])
    return sums


def _pieces(x: npt.NDArray[Any]) -> Iterator[slice]:
    """Cuts channels into pieces that stay in the cache."""
    step = max(1, _PIECE // x[0].size)
    return (slice(start, start + step) for start in range(0, len(x), step))


def _put_together(near: F32, far: F32) -> F64:
    """Adds as many rows, multiplied."""
    both = np.empty(near.shape)
    for some in _pieces(both):
        np.multiply(far[some, : near.shape[1]], 2.0**_APART, out=both[some])
        both[some] += near[some]
    return both


def _taken_apart(both: F64, units: I64) -> F64:
    """Leaves the upper half's sums in place, and returns the lower half's."""
    exponents = units.reshape(-1, 1, 1)
    far = both * np.ldexp(1.0, exponents - _APART)
    np.rint(far, out=far)
    far *= np.ldexp(1.0, _APART - exponents)
    both -= far
    far *= 2.0**-_APART
    return far


def _seen(x: F64, form: Convolution, kernel: tuple[int, ...]) -> F64:
    """What each output cell sees: `[groups, inputs * taps, cells]`."""
    if (kernel, form.strides) == ((1, 1), (1, 1)):
        return x.reshape(form.group, len(x) // form.group, -1)
    spans = tuple(d * (k - 1) + 1 for d, k in zip(form.dilations, kernel, strict=True))
    windows = sliding_window_view(x, spans, (1, 2))[:, :: form.strides[0], :: form.strides[1]]
    windows = windows[..., :: form.dilations[0], :: form.dilations[1]].transpose(0, 3, 4, 1, 2)
    return windows.reshape(form.group, len(x) // form.group * math.prod(kernel), -1)


def convolve_transposed(
    x: F32, matrices: F64, bias: F64, kernel: tuple[int, ...], form: Convolution
) -> F32:
    """Computes a ConvTranspose; arguments and errors as for `convolve`."""
    rows, columns = x.shape[1:]
    down, across = form.strides
    height, width = (rows - 1) * down + 1, (columns - 1) * across + 1
    full_height = height + form.dilations[0] * (kernel[0] - 1) + form.output_padding[0]
    full_width = width + form.dilations[1] * (kernel[1] - 1) + form.output_padding[1]
    products = matrices @ x.astype(np.float64).reshape(form.group, -1, rows * columns)
    products = products.reshape(-1, *kernel, rows, columns)
    sums = np.zeros((len(products), full_height, full_width))
    for tap in np.ndindex(*kernel):
        row, column = (d * k for d, k in zip(form.dilations, tap, strict=True))
        into = sums[:, row : row + height : down, column : column + width : across]
        into += products[:, *tap]
    top, left, bottom, right = form.pads
    kept = sums[:, top : full_height - bottom, left : full_width - right]
    kept += bias
    return narrow(kept)
