"""The proof that a graph computes the same integers wherever it runs.

Every value of an exact graph is an integer times a power of two, carried in float32. The proof
follows the bounds of these integers, channel by channel, from the clips of the inputs on. In a sum
whose terms' magnitudes add up to less than 2^24 units of its grid, every product and every partial
sum is an integer of less than 25 bits, so float32 rounds none of them, in whatever order, blocking
or number of threads, with fused multiply-add or without. Multiplying by a power of two, rounding
to even and clipping are exact in IEEE 754 as such. Nothing else is allowed.

What makes it sound: padding is 0, which every interval of a sum includes. A transposed convolution
is bounded phase by phase, and its phases are all the ways in which taps can meet. Channels of
different grids may stand side by side: the layer that reads them brings their exponents into its
weights, and its bound is in units of the finest grid that a product or the bias needs. Libraries
merge a layer with the scale or the addition after it; a value carries the bound of the sums that
led to it (`Values.peak`), and what is added or multiplied before the next rounding or clip counts
it in full. Exponents stay within 2^±40, so that nothing overflows, and nothing gets so small that
a library that flushes denormals shows. Inputs are any finite values that are 0 or normal; they
become integers by Round, and bounded by Clip.

What it leaves open: that the library sums the products that the graph tells of. Winograd, Fourier
and Strassen forms do not, and units that accumulate in less than float32 round. Libraries choose
those by shape, and say nothing; `bringup` finds out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from ..onnxgraph import Graph, Node
from ..onnxwire import FLOAT32, INT32, Port
from . import attributes
from .attributes import refusal
from .sums import LIMIT, Factors, Sum, added, grouped_weights, weighted_sum
from .values import (
    F64,
    I64,
    Values,
    concatenated,
    constant_values,
    free_values,
    lowest_bits,
    merged,
)

OPSETS = range(13, 25)
"""Versions of ONNX's operators whose definitions were read for this proof."""

_MAX_EXPONENT = 40
_MAX_NODES = 1 << 13
_MAX_CHANNELS = 1 << 16
_MAX_WORK = 1 << 28  # channels and weights looked at, over all nodes

_Constant = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InputRange:
    """Which integers a graph input is rounded and clipped to; all arrays `[C]`.

    The input `n * 2^-exponent` becomes `n`, and every input becomes one from `low` to `high`.
    """

    low: F64
    high: F64
    exponent: I64


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What was proved of a graph."""

    layers: Mapping[str, int]
    """The bound of each summing layer by the node's name: its partial sums are whole numbers up to
    it, in units of the output's grid; below 2^24."""
    factors: Mapping[str, Factors]
    """Of the layers with weights: the largest factors of their products."""
    units: Mapping[str, I64]
    """The grid of each summing layer's output: channel `c` is in units of 2^-units[c]; `[C]`."""
    inputs: Mapping[str, InputRange]
    """Of the inputs that are rounded and clipped before anything else happens to them."""


def prove(graph: Graph, place: str) -> Proof:
    """Proves that a graph is exact.

    Args:
        graph: Untrusted.
        place: What it is, for messages.

    Returns:
        The proof; equal graphs have equal proofs.

    Raises:
        EngineError: It cannot be proved: an operator that is not on the list, a sum that may reach
            2^24, values that are not known to be bounded integers; the text names the layer.

    Cost: about the time it takes to read the weights a few times; bounded for hostile graphs.
    """
    try:
        return _Prover(graph).prove()
    except EngineError as error:
        raise EngineError(f"{place} is not exact: {error}") from None


class _Prover:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = dict(graph.constants)
        self._values: dict[str, Values] = {}
        self._layers: dict[str, int] = {}
        self._factors: dict[str, Factors] = {}
        self._units: dict[str, I64] = {}
        self._inputs: dict[str, InputRange] = {}
        self._work = 0

    def prove(self) -> Proof:
        graph = self._graph
        if graph.opset not in OPSETS:
            raise EngineError(
                f"operator set {graph.opset} is not taken; it must be {OPSETS[0]} to {OPSETS[-1]}"
            )
        if len(graph.nodes) > _MAX_NODES:
            raise EngineError(f"{len(graph.nodes)} nodes; at most {_MAX_NODES} are taken")
        for port in graph.inputs:
            self._values[port.name] = _input_values(port)
        for node in graph.nodes:
            self._node(node)
        for port in graph.outputs:
            self._check_output(port)
        return Proof(
            MappingProxyType(self._layers),
            MappingProxyType(self._factors),
            MappingProxyType(self._units),
            MappingProxyType(self._inputs),
        )

    def _node(self, node: Node) -> None:
        rule = _RULES.get(node.op)
        if rule is None:
            raise refusal(
                node, f"the operator is not one of exact graphs, {', '.join(sorted(_RULES))}"
            )
        if self._folds(node):
            return
        found = rule(self, node)
        outputs = found if isinstance(found, list) else [found]
        if len(outputs) != len(node.outputs) or not all(node.outputs):
            raise refusal(node, f"has {len(node.outputs)} outputs")
        for name, values in zip(node.outputs, outputs, strict=True):
            self._spend(node, values.channels)
            if values.channels > _MAX_CHANNELS:
                raise refusal(node, f"more than {_MAX_CHANNELS} channels")
            if (np.abs(values.exponent) > _MAX_EXPONENT).any():
                raise refusal(
                    node, f"values on a grid finer than 2^-{_MAX_EXPONENT}, or as much coarser"
                )
            self._values[name] = self._settled(values)

    def _folds(self, node: Node) -> bool:
        """Casts constants, such as weights that are kept in float16."""
        constant = self._constants.get(node.inputs[0]) if node.inputs else None
        if constant is None or node.op not in ("Cast", "Identity") or len(node.inputs) != 1:
            return False
        if node.op == "Cast":
            if attributes.number(node, "to", None, 0, 1 << 16) != FLOAT32:
                raise refusal(node, "constants are cast to float32 only")
            if constant.dtype not in (np.float16, np.float32):
                raise refusal(node, f"casts a constant of {constant.dtype}; it must be float16")
            self._spend(node, constant.size)
            constant = constant.astype(np.float32)
        self._constants[node.outputs[0]] = constant
        return True

    def _settled(self, values: Values) -> Values:
        """Takes note of an input that has become bounded integers."""
        if not values.source or values.free.any() or not np.isfinite(values.peak).all():
            return values
        assert values.scale is not None, "values with a source have a scale"
        found = InputRange(values.low, values.high, values.exponent + values.scale)
        known = self._inputs.get(values.source)
        if known is None or _width(found) > _width(known):
            self._inputs[values.source] = found
        return dataclasses.replace(values, source="", scale=None)

    def _check_output(self, port: Port) -> None:
        who = f"output {port.name[:80]!r}"
        values = self._values.get(port.name)
        if values is None:
            raise EngineError(f"{who} is constant")
        if port.dtype != {"float32": FLOAT32, "int32": INT32}[values.dtype]:
            raise EngineError(f"{who} is {values.dtype}, but declared as ONNX type {port.dtype}")
        if values.free.any() or not (values.largest <= LIMIT).all():
            raise EngineError(f"{who} is not of integers up to 2^24: Round and Clip it")

    def _spend(self, node: Node, work: int) -> None:
        self._work += work
        if self._work > _MAX_WORK:
            raise refusal(node, "the graph has more weights than a proof takes")

    # Inputs of nodes

    def _tensor(self, node: Node, k: int = 0, floats: bool = True) -> Values:
        name = node.inputs[k] if k < len(node.inputs) else ""
        if name in self._constants:
            raise refusal(node, f"input {k} is constant; fold it when exporting")
        if name not in self._values:
            raise refusal(node, f"input {k} is missing")
        values = self._values[name]
        if floats and values.dtype != "float32":
            raise refusal(node, "reads int32 values; those are for outputs only")
        return values

    def _stored(self, node: Node, k: int) -> npt.NDArray[np.float32]:
        name = node.inputs[k] if k < len(node.inputs) else ""
        constant = self._constants.get(name)
        if constant is None or constant.dtype != np.float32:
            raise refusal(node, f"input {k} must be a float32 constant")
        self._spend(node, constant.size)
        if not constant.size or not np.isfinite(constant).all():
            raise refusal(node, f"input {k} is empty, or not finite")
        return constant

    def _per_channel(self, node: Node, k: int, x: Values) -> F64:
        """Reads a constant that is the same everywhere, or in each channel."""
        constant = self._stored(node, k).astype(np.float64)
        shape = (1,) * (x.rank - constant.ndim) + constant.shape
        if len(shape) != x.rank or any(n != 1 for n in (*shape[:1], *shape[2:])):
            raise refusal(node, f"the constant of shape {list(constant.shape)} is not per channel")
        if shape[1] not in (1, x.channels):
            raise refusal(node, f"a constant of {shape[1]} channels for {x.channels}")
        return np.broadcast_to(constant.reshape(-1), x.channels)

    def _operands(self, node: Node) -> tuple[Values, Values]:
        """Reads two inputs, of which one may be constant."""
        if len(node.inputs) != 2:
            raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
        first, second = (name in self._constants for name in node.inputs)
        if first:
            y = self._tensor(node, 1)
            return constant_values(self._per_channel(node, 0, y), y.rank), y
        x = self._tensor(node)
        if second:
            return x, constant_values(self._per_channel(node, 1, x), x.rank)
        y = self._tensor(node, 1)
        if x.rank != y.rank or x.channels != y.channels:
            raise refusal(node, "tensors of different rank or channels")
        return x, y

    # Operators

    def _identity(self, node: Node) -> Values:
        return self._tensor(node, floats=False)

    def _cast(self, node: Node) -> Values:
        x = self._tensor(node)
        to = attributes.number(node, "to", None, 0, 1 << 16)
        if to == FLOAT32:
            return x
        if to != INT32:
            raise refusal(
                node, f"casts to ONNX type {to}; values are float32, and int32 at outputs"
            )
        whole = (x.exponent <= 0) | (x.largest == 0)
        reach = np.ldexp(x.largest, -x.exponent)
        if x.free.any() or not whole.all() or not (reach < 2.0**31).all():
            raise refusal(node, "casts values that are not integers within int32: Round and Clip")
        return dataclasses.replace(x, dtype="int32")

    def _convolution(self, node: Node) -> Values:
        transposed = node.op == "ConvTranspose"
        x, weights = self._tensor(node), self._stored(node, 1)
        form = attributes.convolution(node)
        if x.rank != 4 or weights.ndim != 4:
            raise refusal(node, "is not of two dimensions")
        inputs = weights.shape[0] if transposed else weights.shape[1] * form.group
        if inputs != x.channels or weights.shape[0] % form.group:
            raise refusal(
                node,
                f"weights {list(weights.shape)} in {form.group} groups do not fit {x.channels} "
                "channels",
            )
        kernel = node.attributes.get("kernel_shape", weights.shape[2:])
        if kernel != weights.shape[2:]:
            raise refusal(node, "kernel_shape is not that of the weights")
        grouped, phases = grouped_weights(weights, form, transposed)
        outputs = grouped.shape[0] * grouped.shape[1]
        return self._layer(
            node, weighted_sum(node, x, grouped, self._bias(node, (outputs,)), phases)
        )

    def _gemm(self, node: Node) -> Values:
        x, weights = self._tensor(node), self._stored(node, 1)
        if node.op == "Gemm":
            if node.attributes.get("alpha", 1.0) != 1.0 or node.attributes.get("beta", 1.0) != 1.0:
                raise refusal(node, "alpha and beta must be 1")
            if attributes.number(node, "transA", 0, 0, 1):
                raise refusal(node, "transA is not taken")
            if not attributes.number(node, "transB", 0, 0, 1):
                weights = weights.T
        else:
            weights = weights.T
        if x.rank != 2 or weights.ndim != 2 or weights.shape[1] != x.channels:
            raise refusal(node, f"is not of a vector of {x.channels} with a matrix of that side")
        bias = self._bias(node, (len(weights),))
        return self._layer(node, weighted_sum(node, x, weights[None, :, :, None], bias, [[0]]))

    def _bias(self, node: Node, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
        if len(node.inputs) < 3 or not node.inputs[2]:
            return None
        bias = self._stored(node, 2)
        if bias.shape not in (shape, (1, *shape)):
            raise refusal(node, f"a bias of shape {list(bias.shape)} for {shape[0]} outputs")
        return bias.reshape(-1)

    def _add(self, node: Node) -> Values:
        x, y = self._operands(node)
        if node.op == "Sub":
            y = dataclasses.replace(y, low=-y.high, high=-y.low)
        return self._layer(node, added(node, x, y))

    def _layer(self, node: Node, found: Sum) -> Values:
        if node.name in self._layers:
            raise refusal(node, "another layer has the same name")
        self._layers[node.name] = found.bound
        self._units[node.name] = found.values.exponent
        if found.factors is not None:
            self._factors[node.name] = found.factors
        return found.values

    def _mul(self, node: Node) -> Values:
        if len(node.inputs) != 2:
            raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
        k = 0 if node.inputs[0] in self._constants else 1
        x = self._tensor(node, 1 - k)
        constant = self._per_channel(node, k, x)
        shift = np.where(constant == 0, 0, lowest_bits(constant))
        if (np.abs(shift) > 2 * _MAX_EXPONENT).any():
            raise refusal(node, "a factor far too small or large")
        odd = np.ldexp(constant, -shift)
        power = np.abs(odd) == 1
        if (~power & (x.free | np.isinf(x.peak))).any():
            raise refusal(
                node, "values on no grid, or without bounds, are multiplied by powers of two only"
            )
        peak = x.peak * np.abs(odd)
        if (~power & (peak >= LIMIT)).any():
            raise refusal(
                node, f"products up to {peak.max():.4g} units; they must be below {LIMIT}"
            )
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

    def _round(self, node: Node) -> Values:
        x = self._tensor(node)
        unit = np.ldexp(1.0, -x.exponent)
        # Values on a grid of whole numbers stay what they are, with the sums that led to them.
        rounds = x.free | (x.exponent > 0)
        low, high = (np.where(rounds, np.rint(n * unit), n) for n in (x.low, x.high))
        rounded = x.bounded(low, high, np.where(rounds, 0, x.exponent))
        return dataclasses.replace(
            rounded,
            peak=np.where(rounds, rounded.peak, x.peak),
            free=np.zeros(x.channels, np.bool_),
        )

    def _clip(self, node: Node) -> Values:
        x = self._tensor(node)
        limits = [
            self._per_channel(node, k, x) if len(node.inputs) > k and node.inputs[k] else None
            for k in (1, 2)
        ]
        low, high = limits
        if low is not None and high is not None and (low > high).any():
            raise refusal(node, "the lower limit is above the upper one")
        x = x if low is None else _limited(node, x, low, np.maximum)
        return x if high is None else _limited(node, x, high, np.minimum)

    def _relu(self, node: Node) -> Values:
        x = self._tensor(node)
        return _limited(node, x, np.zeros(x.channels), np.maximum)

    def _extreme(self, node: Node) -> Values:
        choose = np.maximum if node.op == "Max" else np.minimum
        if any(name in self._constants for name in node.inputs):
            if len(node.inputs) != 2:
                raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
            k = 0 if node.inputs[0] in self._constants else 1
            x = self._tensor(node, 1 - k)
            return _limited(node, x, self._per_channel(node, k, x), choose)
        x, y = self._operands(node)
        if x.free.any() or y.free.any():
            raise refusal(node, "reads values that are on no grid: Round and Clip them before")
        grid = np.maximum(x.exponent, y.exponent)
        x, y = x.on_grid(grid), y.on_grid(grid)
        peak = np.maximum(x.peak, y.peak)
        found = x.bounded(choose(x.low, y.low), choose(x.high, y.high))
        return dataclasses.replace(found, peak=peak, source="", scale=None)

    def _concat(self, node: Node) -> Values:
        parts = [self._tensor(node, k) for k in range(len(node.inputs))]
        if not parts or len({part.rank for part in parts}) != 1:
            raise refusal(node, "joins nothing, or tensors of different rank")
        attributes.channel_axis(node, parts[0].rank)
        if sum(part.channels for part in parts) > _MAX_CHANNELS:
            raise refusal(node, f"more than {_MAX_CHANNELS} channels")
        return concatenated(parts)

    def _depth_to_space(self, node: Node) -> Values:
        x = self._tensor(node)
        if x.rank != 4:
            raise refusal(node, "is not of two dimensions")
        blocks = attributes.depth_to_space(node, x.channels)
        return merged(x, blocks.reshape(len(blocks), -1))

    def _slice(self, node: Node) -> Values:
        x = self._tensor(node)
        taken = attributes.slices(node, self._constants, x.rank)
        channels = np.arange(x.channels)[taken[1]]
        if not channels.size:
            raise refusal(node, "takes no channels")
        return x.take(channels)

    def _split(self, node: Node) -> list[Values]:
        x = self._tensor(node)
        sizes = attributes.split_sizes(node, self._constants, x.channels, x.rank)
        return [x.take(part) for part in np.split(np.arange(x.channels), np.cumsum(sizes)[:-1])]


_RULES: dict[str, Callable[[_Prover, Node], Values | list[Values]]] = {
    "Add": _Prover._add,
    "Cast": _Prover._cast,
    "Clip": _Prover._clip,
    "Concat": _Prover._concat,
    "Conv": _Prover._convolution,
    "ConvTranspose": _Prover._convolution,
    "DepthToSpace": _Prover._depth_to_space,
    "Gemm": _Prover._gemm,
    "Identity": _Prover._identity,
    "MatMul": _Prover._gemm,
    "Max": _Prover._extreme,
    "Min": _Prover._extreme,
    "Mul": _Prover._mul,
    "Relu": _Prover._relu,
    "Round": _Prover._round,
    "Slice": _Prover._slice,
    "Split": _Prover._split,
    "Sub": _Prover._add,
}


def _input_values(port: Port) -> Values:
    dims = port.dims
    if port.dtype != FLOAT32 or dims is None or len(dims) not in (2, 4) or dims[1] is None:
        raise EngineError(
            f"input {port.name[:80]!r} must be float32 of rank 4 (or 2), with its channels told"
        )
    if not 1 <= dims[1] <= _MAX_CHANNELS:
        raise EngineError(f"input {port.name[:80]!r} has {dims[1]} channels")
    return free_values(port.name, len(dims), dims[1])


def _limited(node: Node, x: Values, limit: F64, choose: np.ufunc) -> Values:
    """Values after a maximum or minimum with a constant per channel."""
    units = np.ldexp(limit, x.exponent)
    # Where the limit can be reached it is one of the values, and the grid must hold it.
    reached = (x.low < units) & (units < x.high) & ~x.free & (limit != 0)
    finer = np.where(reached, np.maximum(x.exponent, -lowest_bits(limit)), x.exponent)
    if (finer > 2 * _MAX_EXPONENT).any():
        raise refusal(node, "a limit on a grid that is far too fine")
    x = x.on_grid(finer)
    units = np.ldexp(limit, finer)
    return x.bounded(choose(x.low, units), choose(x.high, units))


def _width(found: InputRange) -> float:
    return float(np.ldexp(found.high - found.low, -found.exponent).max())
