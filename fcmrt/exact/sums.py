"""The bound on sums: what keeps them exact in whatever order they are computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Node
from .attributes import Convolution, refusal
from .values import F64, I64, Values, lowest_bits

LIMIT = 1 << 24
"""float32 holds every whole number up to here."""

_CHUNK = 1 << 20  # weights looked at together: bounds the memory, and stays in the cache


@dataclasses.dataclass(frozen=True, slots=True)
class Factors:
    """The largest factors of a layer's products, as whole numbers on their grids.

    Hardware of reduced precision multiplies them without rounding if both fit its mantissa: up to
    2^11 for TF32, 2^8 for bfloat16.
    """

    activation: int
    weight: int


@dataclasses.dataclass(frozen=True, slots=True)
class Sum:
    """What was found of a summing layer."""

    values: Values
    """Bounds on its output."""
    bound: int
    """Largest magnitude of its partial sums, in units of its grid; below `LIMIT`."""
    factors: Factors | None
    """None: it has no products."""


def grouped_weights(
    weights: npt.NDArray[np.float32], form: Convolution, transposed: bool
) -> tuple[npt.NDArray[np.float32], list[list[int]]]:
    """Brings the weights of both kinds of convolution into one order.

    Returns:
        Weights `[groups, outputs, inputs, taps]`, outputs and inputs of each group, a view; and the
        numbers of the taps that meet at an output cell: all of them, or, for a transposed
        convolution, one list for each phase.
    """
    rows, columns = weights.shape[2:]
    taps = rows * columns
    if not transposed:
        grouped = weights.reshape(form.group, -1, weights.shape[1], taps)
        return grouped, [list(range(taps))]
    grouped = weights.reshape(form.group, -1, weights.shape[1], taps).transpose(0, 2, 1, 3)
    phases: dict[tuple[int, int], list[int]] = {}
    for tap in range(taps):
        row, column = divmod(tap, columns)
        phase = (
            row * form.dilations[0] % form.strides[0],
            column * form.dilations[1] % form.strides[1],
        )
        phases.setdefault(phase, []).append(tap)
    return grouped, list(phases.values())


def weighted_sum(
    node: Node,
    x: Values,
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None,
    phases: Sequence[Sequence[int]],
) -> Sum:
    """Bounds the sums of a layer with weights.

    Args:
        node: For messages.
        x: Its input.
        weights: `[groups, outputs, inputs, taps]` of each group, finite.
        bias: `[outputs of all groups]`, or None.
        phases: Taps that meet in one sum.

    Raises:
        EngineError: The input is not of bounded integers, or the bound is not below `LIMIT`.
    """
    check_integers(node, x)
    groups, outputs, inputs, taps = weights.shape
    offset = np.zeros(groups * outputs) if bias is None else bias.astype(np.float64)
    offset = offset.reshape(groups, outputs)
    rows = _Rows(
        exponent=np.empty((groups, outputs), np.int64),
        low=np.empty((groups, outputs)),
        high=np.empty((groups, outputs)),
        peak=np.empty((groups, outputs)),
        factor=np.empty((groups, outputs)),
    )
    for group in _chunks(groups, outputs * inputs * taps):
        for output in _chunks(outputs, inputs * taps):
            part = group, output
            rows.fill(part, _inputs_of(x, groups, group), weights[part], offset[part], phases)
    bound = float(rows.peak.max())
    if bound >= LIMIT:
        raise refusal(
            node,
            f"the sums of output channel {int(rows.peak.argmax())} reach up to {bound:.4g} units "
            f"of its grid; they must stay below {LIMIT} to be exact in float32. Use smaller "
            "weights, fewer bits, or split the layer and round the parts",
        )
    values = Values(
        x.rank,
        "float32",
        rows.exponent.reshape(-1),
        rows.low.reshape(-1),
        rows.high.reshape(-1),
        rows.peak.reshape(-1),
        np.zeros(groups * outputs, np.bool_),
    )
    return Sum(values, int(bound), Factors(int(x.largest.max()), int(rows.factor.max())))


_Part = tuple[slice, slice]


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Cuts `count` items of `size` elements into pieces whose copies stay small."""
    step = max(1, _CHUNK // size)
    return (slice(start, start + step) for start in range(0, count, step))


def _inputs_of(x: Values, groups: int, group: slice) -> tuple[I64, F64, F64, F64]:
    """Bounds on the inputs of some groups, `[groups, inputs]` each."""
    peak = np.maximum(x.peak, x.largest)
    low, high, peak = (array.reshape(groups, -1)[group] for array in (x.low, x.high, peak))
    return x.exponent.reshape(groups, -1)[group], low, high, peak


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Bounds on a layer's sums, `[groups, outputs]` each."""

    exponent: I64
    low: F64
    high: F64
    peak: F64
    factor: F64

    def fill(
        self,
        part: _Part,
        x: tuple[I64, F64, F64, F64],
        weights: npt.NDArray[np.float32],
        offset: F64,
        phases: Sequence[Sequence[int]],
    ) -> None:
        """Bounds some of the sums."""
        exponent_in, x_low, x_high, x_peak = x
        fineness = -lowest_bits(weights)  # far below any other where a weight is 0
        exponent = (fineness + exponent_in[:, None, :, None]).max((2, 3))
        exponent = np.maximum(exponent, -lowest_bits(offset))
        silent = ~weights.any((2, 3))
        exponent[silent & (offset == 0)] = 0
        scale = exponent[:, :, None, None] - exponent_in[:, None, :, None]
        whole = np.ldexp(weights.astype(np.float64), scale)
        offset = np.ldexp(offset, exponent)

        # A partial sum, in any order, lies between the sum of all negative terms and that of all
        # positive ones; a cell of padding is 0.
        below, above = np.minimum(x_low, 0)[..., None], np.maximum(x_high, 0)[..., None]
        low = high = peak = np.zeros(offset.shape)
        for taps in phases:
            met = whole[..., list(taps)]
            positive, negative = np.maximum(met, 0).sum(-1), np.minimum(met, 0).sum(-1)
            peak = np.maximum(peak, ((positive - negative) @ x_peak[..., None])[..., 0])
            low = np.minimum(low, (positive @ below + negative @ above)[..., 0])
            high = np.maximum(high, (positive @ above + negative @ below)[..., 0])
        self.exponent[part] = exponent
        self.low[part], self.high[part] = low + offset, high + offset
        self.peak[part] = peak + np.abs(offset)
        # Weights count on their own grid, not on the one that the bias or the input needs.
        own = np.where(silent, 0, fineness.max((2, 3)))
        self.factor[part] = np.ldexp(np.abs(weights).max((2, 3)).astype(np.float64), own)


def added(node: Node, x: Values, y: Values) -> Sum:
    """Bounds the sum of two tensors, brought to the finer of their grids.

    Raises:
        EngineError: They are not of bounded integers, of different channels, or the bound is not
            below `LIMIT`.
    """
    for values in x, y:
        check_integers(node, values)
    if x.channels != y.channels:
        raise refusal(node, f"adds {x.channels} channels to {y.channels}")
    grid = np.maximum(x.exponent, y.exponent)
    x, y = x.on_grid(grid), y.on_grid(grid)
    peak: F64 = x.peak + y.peak
    bound = float(peak.max())
    if bound >= LIMIT:
        raise refusal(
            node,
            f"the sum in channel {int(peak.argmax())} reaches up to {bound:.4g} units of its grid; "
            f"it must stay below {LIMIT} to be exact in float32. Round or clip its parts first",
        )
    values = dataclasses.replace(
        x, low=x.low + y.low, high=x.high + y.high, peak=peak, source="", scale=None
    )
    return Sum(values, int(bound), None)


def check_integers(node: Node, x: Values) -> None:
    """Refuses values that are not known to be bounded integers on grids."""
    if x.dtype != "float32":
        raise refusal(node, "reads int32 values, which are for outputs and lookups only")
    if x.free.any():
        raise refusal(node, "reads values that are on no grid: Round and Clip them first")
    if not np.isfinite(x.peak).all():
        raise refusal(node, "reads values without bounds: Clip them first")
