"""The bounds and grids of each operator's outputs, from those of its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Node
from ..onnxwire import FLOAT32, INT32
from . import attributes
from .attributes import refusal
from .operands import Operands
from .sums import LIMIT, Sum, added, grouped_weights, weighted_sum
from .values import F64, MAX_CHANNELS, MAX_EXPONENT, Values, concatenated, lowest_bits, merged


def _identity(given: Operands, node: Node) -> Values:
    return given.tensor(node, floats=False)


def _cast(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    to = attributes.number(node, "to", None, 0, 1 << 16)
    if to == FLOAT32:
        return x
    if to != INT32:
        raise refusal(
            node, f"casts to ONNX type {to}; values are float32, and int32 at outputs and lookups"
        )
    whole = (x.exponent <= 0) | (x.largest == 0)
    reach = np.ldexp(x.largest, -x.exponent)
    if x.free.any() or not whole.all() or not (reach < 2.0**31).all():
        raise refusal(node, "casts values that are not integers within int32: Round and Clip")
    return dataclasses.replace(x, dtype="int32")


def _convolution(given: Operands, node: Node) -> Sum:
    transposed = node.op == "ConvTranspose"
    x, weights = given.tensor(node), given.stored(node, 1)
    form = attributes.convolution(node)
    if x.rank != 4 or weights.ndim != 4:
        raise refusal(node, "is not two-dimensional")
    inputs = weights.shape[0] if transposed else weights.shape[1] * form.group
    if inputs != x.channels or weights.shape[0] % form.group:
        raise refusal(
            node,
            f"weights {list(weights.shape)} in {form.group} groups do not fit {x.channels} "
            "channels",
        )
    kernel = node.attributes.get("kernel_shape", weights.shape[2:])
    if not isinstance(kernel, tuple) or kernel != weights.shape[2:]:
        raise refusal(node, "kernel_shape is not that of the weights")
    grouped, phases = grouped_weights(weights, form, transposed)
    bias = _bias(given, node, (grouped.shape[0] * grouped.shape[1],))
    return weighted_sum(node, x, grouped, bias, phases)


def _gemm(given: Operands, node: Node) -> Sum:
    x, weights = given.tensor(node), given.stored(node, 1)
    if node.op == "Gemm":
        for key in "alpha", "beta":
            factor = node.attributes.get(key, 1.0)
            if not isinstance(factor, float) or factor != 1:
                raise refusal(node, f"{key} must be 1")
        if attributes.number(node, "transA", 0, 0, 1):
            raise refusal(node, "transA is not supported")
        if not attributes.number(node, "transB", 0, 0, 1):
            weights = weights.T
    else:
        weights = weights.T
    if x.rank != 2 or weights.ndim != 2 or weights.shape[1] != x.channels:
        raise refusal(node, f"its weights are no matrix for a vector of {x.channels}")
    bias = _bias(given, node, (len(weights),))
    return weighted_sum(node, x, weights[None, :, :, None], bias, [[0]])


def _bias(given: Operands, node: Node, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
    if len(node.inputs) < 3 or not node.inputs[2]:
        return None
    bias = given.stored(node, 2)
    if bias.shape not in (shape, (1, *shape)):
        raise refusal(node, f"a bias of shape {list(bias.shape)} for {shape[0]} outputs")
    return bias.reshape(-1)


def _add(given: Operands, node: Node) -> Sum:
    x, y = given.pair(node)
    if node.op == "Sub":
        y = dataclasses.replace(y, low=-y.high, high=-y.low)
    return added(node, x, y)


def _mul(given: Operands, node: Node) -> Values:
    if len(node.inputs) != 2:
        raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
    k = 0 if node.inputs[0] in given.constants else 1
    x = given.tensor(node, 1 - k)
    constant = given.per_channel(node, k, x)
    shift = np.where(constant == 0, 0, lowest_bits(constant))
    if (np.abs(shift) > 2 * MAX_EXPONENT).any():
        raise refusal(node, "a factor is far too small or too large")
    odd = np.ldexp(constant, -shift)
    power = np.abs(odd) == 1
    if (~power & (x.free | np.isinf(x.peak))).any():
        raise refusal(
            node, "values on no grid, or without bounds, may be multiplied by powers of two only"
        )
    peak = x.peak * np.abs(odd)
    if (~power & (peak >= LIMIT)).any():
        raise refusal(node, f"products up to {peak.max():.4g} units; they must be below {LIMIT}")
    low, high = x.low * odd, x.high * odd
    follows = bool(x.source) and bool((odd == 1).all())
    assert x.scale is not None or not follows, "values with a source have a scale"
    return dataclasses.replace(
        x,
        exponent=x.exponent - shift,
        low=np.minimum(low, high),
        high=np.maximum(low, high),
        peak=peak,
        source=x.source if follows else "",
        scale=x.scale + shift if follows and x.scale is not None else None,
    )


def _round(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    unit = np.ldexp(1.0, -x.exponent)
    # Values that are whole already stay as they are, and keep the bound of their sums.
    rounds = x.free | (x.exponent > 0)
    low, high = (np.where(rounds, np.rint(n * unit), n) for n in (x.low, x.high))
    rounded = x.bounded(low, high, np.where(rounds, 0, x.exponent))
    return dataclasses.replace(
        rounded,
        peak=np.where(rounds, rounded.peak, x.peak),
        free=np.zeros(x.channels, np.bool_),
    )


def _clip(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    limits = [
        given.per_channel(node, k, x) if len(node.inputs) > k and node.inputs[k] else None
        for k in (1, 2)
    ]
    low, high = limits
    if low is not None and high is not None and (low > high).any():
        raise refusal(node, "the lower limit is above the upper one")
    x = x if low is None else _limited(node, x, low, np.maximum)
    return x if high is None else _limited(node, x, high, np.minimum)


def _relu(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    return _limited(node, x, np.zeros(x.channels), np.maximum)


def _extreme(given: Operands, node: Node) -> Values:
    choose = np.maximum if node.op == "Max" else np.minimum
    if any(name in given.constants for name in node.inputs):
        if len(node.inputs) != 2:
            raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
        k = 0 if node.inputs[0] in given.constants else 1
        x = given.tensor(node, 1 - k)
        return _limited(node, x, given.per_channel(node, k, x), choose)
    x, y = given.pair(node)
    if x.free.any() or y.free.any():
        raise refusal(node, "reads values that are on no grid: Round and Clip them first")
    grid = np.maximum(x.exponent, y.exponent)
    x, y = x.on_grid(grid), y.on_grid(grid)
    peak = np.maximum(x.peak, y.peak)
    found = x.bounded(choose(x.low, y.low), choose(x.high, y.high))
    return dataclasses.replace(found, peak=peak, source="", scale=None)


def _concat(given: Operands, node: Node) -> Values:
    parts = [given.tensor(node, k) for k in range(len(node.inputs))]
    if not parts or len({part.rank for part in parts}) != 1:
        raise refusal(node, "joins nothing, or tensors of different rank")
    attributes.channel_axis(node, parts[0].rank)
    if sum(part.channels for part in parts) > MAX_CHANNELS:
        raise refusal(node, f"more than {MAX_CHANNELS} channels")
    return concatenated(parts)


def _depth_to_space(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    if x.rank != 4:
        raise refusal(node, "is not two-dimensional")
    blocks = attributes.depth_to_space(node, x.channels)
    return merged(x, blocks.reshape(len(blocks), -1))


def _slice(given: Operands, node: Node) -> Values:
    x = given.tensor(node)
    taken = attributes.slices(node, given.constants, x.rank)
    channels = np.arange(x.channels)[taken[1]]
    if not channels.size:
        raise refusal(node, "takes no channels")
    return x.take(channels)


def _gather(given: Operands, node: Node) -> Values:
    """Looks values up in a table; every possible index must be within it."""
    if len(node.inputs) != 2:
        raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
    attributes.number(node, "axis", 0, 0, 0)
    table, x = given.stored(node, 0), given.tensor(node, 1, floats=False)
    if table.ndim != 1:
        raise refusal(node, "the table must be one-dimensional")
    if x.dtype != "int32":
        raise refusal(node, "looks up with float32 indexes: Cast them to int32")
    x = x.on_grid(np.zeros_like(x.exponent))
    outside = (x.low < 0) | (x.high >= table.size)
    if outside.any():
        channel = int(outside.argmax())
        raise refusal(
            node,
            f"the indexes of channel {channel} go from {x.low[channel]:.0f} to "
            f"{x.high[channel]:.0f}; the table has 0 to {table.size - 1}. Clip them first",
        )
    spans, which = np.unique(
        np.stack([x.low, x.high]).astype(np.int64), axis=1, return_inverse=True
    )
    exponent, low, high = (np.empty(spans.shape[1], kind) for kind in (np.int64, float, float))
    for k, (first, last) in enumerate(spans.T):
        given.spend(node, int(last - first) + 1)
        met = table[first : last + 1].astype(np.float64)
        exponent[k] = (-lowest_bits(met)).max() if met.any() else 0
        low[k], high[k] = np.ldexp([met.min(), met.max()], exponent[k])
    which = which.reshape(-1)
    found = dataclasses.replace(x, dtype="float32", source="", scale=None)
    return found.bounded(low[which], high[which], exponent[which])


def _split(given: Operands, node: Node) -> list[Values]:
    x = given.tensor(node)
    sizes = attributes.split_sizes(node, given.constants, x.channels, x.rank)
    return [x.take(part) for part in np.split(np.arange(x.channels), np.cumsum(sizes)[:-1])]


def _limited(node: Node, x: Values, limit: F64, choose: np.ufunc) -> Values:
    """Values after a maximum or minimum with a constant per channel."""
    units = np.ldexp(limit, x.exponent)
    # If the limit can become a value, the grid must hold it, even beyond all values so far.
    taken = units > x.low if choose is np.maximum else units < x.high
    taken &= ~x.free & (limit != 0)
    finer = np.where(taken, np.maximum(x.exponent, -lowest_bits(limit)), x.exponent)
    if (finer > 2 * MAX_EXPONENT).any():
        raise refusal(node, "a limit is on a grid that is far too fine")
    x = x.on_grid(finer)
    units = np.ldexp(limit, finer)
    return x.bounded(choose(x.low, units), choose(x.high, units))


RULES: dict[str, Callable[[Operands, Node], Values | list[Values] | Sum]] = {
    "Add": _add,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "DepthToSpace": _depth_to_space,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "MatMul": _gemm,
    "Max": _extreme,
    "Min": _extreme,
    "Mul": _mul,
    "Relu": _relu,
    "Round": _round,
    "Slice": _slice,
    "Split": _split,
    "Sub": _add,
}
"""The rule for each operator that exact graphs may have."""
