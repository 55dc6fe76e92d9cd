"""The proof that a graph computes the same integers wherever it runs.

Every value of an exact graph is an integer times a power of two, carried in float32. The proof
follows the bounds of these integers, channel by channel, from the clips of the inputs on. In a sum
whose terms' magnitudes add up to less than 2^24 units of its grid, every product and every partial
sum is an integer of less than 25 bits, so float32 rounds none of them, in whatever order, blocking
or number of threads, with fused multiply-add or without. Multiplying by a power of two, rounding
to even and clipping are exact in IEEE 754, and so is looking up a table at integers that are proved
to be within it. Nothing else is allowed.

Why it is sound: padding is 0, which every interval of a sum includes. A transposed convolution is
bounded phase by phase, and its phases are all the ways in which taps can meet. Channels may have
different grids: the layer that reads them takes their exponents into its weights, and its bound is
in units of the finest grid that a product or the bias needs. Libraries merge a layer with the scale
or the addition after it; so a value carries the bound of the sums that led to it (`Values.peak`),
and whatever is added or multiplied before the next rounding or clip counts it in full. Exponents
stay within 2^±40, so that nothing overflows or becomes small enough for a library to flush it as a
denormal. Inputs are any finite values that are 0 or normal; Round makes integers of them, and Clip
bounds them.

What it leaves open: that the library sums the products that the graph specifies. Winograd, Fourier
and Strassen algorithms do not, and units that accumulate in less than float32 round. Libraries
choose those by shape, silently; `bringup` finds out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ..errors import EngineError
from ..onnxgraph import Graph, Node
from ..onnxwire import FLOAT32, INT32, Port
from . import attributes
from .attributes import refusal
from .operands import Operands
from .rules import RULES
from .sums import LIMIT, Factors, Sum
from .values import F64, I64, MAX_CHANNELS, MAX_EXPONENT, Values, free_values

OPSETS = range(13, 25)
"""Versions of ONNX's operator set whose definitions this proof was checked against."""

_MAX_NODES = 1 << 13


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class InputRange:
    """The integers that a graph input is rounded and clipped to; all arrays `[C]`.

    An input `n * 2^-exponent` becomes the integer `n`; all become one from `low` to `high`.
    """

    low: F64
    high: F64
    exponent: I64


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What was proved of a graph."""

    layers: Mapping[str, int]
    """The bound of each summing layer, by the node's name: the largest magnitude of its partial
    sums, in units of the output's grid; below 2^24."""
    factors: Mapping[str, Factors]
    """For each layer with weights, the largest factors of its products."""
    units: Mapping[str, I64]
    """The grid of each summing layer's output: channel `c` is in units of 2^-units[c]; `[C]`."""
    roundings: Mapping[str, str]
    """For each Round that drops bits, the summing layer that they come from, or the node that
    joined several layers; other Rounds turn inputs into integers, or do nothing."""
    inputs: Mapping[str, InputRange]
    """Ranges of the inputs that are rounded and clipped before anything else happens to them."""


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

    Cost: reads the weights a few times; bounded for hostile graphs.
    """
    try:
        return _Prover(graph).prove()
    except EngineError as error:
        raise EngineError(f"{place} is not exact: {error}") from None


class _Prover:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._given = Operands(graph.constants)
        self._layers: dict[str, int] = {}
        self._factors: dict[str, Factors] = {}
        self._units: dict[str, I64] = {}
        self._roundings: dict[str, str] = {}
        # By value, the summing layer that it comes from, or the node that joined several.
        self._origins: dict[str, str] = {}
        self._inputs: dict[str, InputRange] = {}

    def prove(self) -> Proof:
        graph = self._graph
        if graph.opset not in OPSETS:
            raise EngineError(
                f"operator set {graph.opset} is not supported; it must be {OPSETS[0]} to "
                f"{OPSETS[-1]}"
            )
        if len(graph.nodes) > _MAX_NODES:
            raise EngineError(f"{len(graph.nodes)} nodes; at most {_MAX_NODES} are allowed")
        for port in graph.inputs:
            self._given.values[port.name] = _input_values(port)
        for node in graph.nodes:
            self._node(node)
        for port in graph.outputs:
            self._check_output(port)
        return Proof(
            MappingProxyType(self._layers),
            MappingProxyType(self._factors),
            MappingProxyType(self._units),
            MappingProxyType(self._roundings),
            MappingProxyType(self._inputs),
        )

    def _node(self, node: Node) -> None:
        rule = RULES.get(node.op)
        if rule is None:
            raise refusal(
                node, f"exact graphs may not have this operator, only {', '.join(sorted(RULES))}"
            )
        if self._folds(node):
            return
        origins = {self._origins[name] for name in node.inputs if name in self._origins}
        origin = origins.pop() if len(origins) == 1 else node.name
        if node.op == "Round" and _has_fractions(self._given.tensor(node)):
            self._roundings[node.name] = origin
        found = rule(self._given, node)
        if isinstance(found, Sum):
            found = self._layer(node, found)
            origin = node.name
        outputs = found if isinstance(found, list) else [found]
        if len(outputs) != len(node.outputs) or not all(node.outputs):
            raise refusal(node, f"has {len(node.outputs)} outputs")
        for name, values in zip(node.outputs, outputs, strict=True):
            self._given.spend(node, values.channels)
            assert values.holds(), f"bounds of integers after {node.op} are not integers"
            if values.channels > MAX_CHANNELS:
                raise refusal(node, f"more than {MAX_CHANNELS} channels")
            if (np.abs(values.exponent) > MAX_EXPONENT).any():
                raise refusal(
                    node, f"values on a grid finer than 2^-{MAX_EXPONENT}, or as much coarser"
                )
            self._given.values[name] = self._settled(values)
            self._origins[name] = origin

    def _layer(self, node: Node, found: Sum) -> Values:
        """Records a summing layer."""
        self._layers[node.name] = found.bound
        self._units[node.name] = found.values.exponent
        if found.factors is not None:
            self._factors[node.name] = found.factors
        return found.values

    def _folds(self, node: Node) -> bool:
        """Evaluates casts of constants, such as of float16 weights; False for other nodes."""
        constant = self._given.constants.get(node.inputs[0]) if node.inputs else None
        if constant is None or node.op not in ("Cast", "Identity") or len(node.inputs) != 1:
            return False
        if node.op == "Cast":
            if attributes.number(node, "to", None, 0, 1 << 16) != FLOAT32:
                raise refusal(node, "constants are cast to float32 only")
            if constant.dtype not in (np.float16, np.float32):
                raise refusal(node, f"casts a constant of {constant.dtype}; it must be float16")
            self._given.spend(node, constant.size)
            constant = constant.astype(np.float32)
        self._given.constants[node.outputs[0]] = constant
        return True

    def _settled(self, values: Values) -> Values:
        """Records the range of an input that has become bounded integers."""
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
        values = self._given.values.get(port.name)
        if values is None:
            raise EngineError(f"{who} is constant")
        if port.dtype != {"float32": FLOAT32, "int32": INT32}[values.dtype]:
            raise EngineError(f"{who} is {values.dtype}, but declared as ONNX type {port.dtype}")
        if values.free.any() or not (values.largest <= LIMIT).all():
            raise EngineError(
                f"{who} is not integers up to 2^24 times a power of two: Round and Clip it"
            )


def _input_values(port: Port) -> Values:
    dims = port.dims
    if port.dtype != FLOAT32 or dims is None or len(dims) not in (2, 4) or dims[1] is None:
        raise EngineError(
            f"input {port.name[:80]!r} must be float32 of rank 4 (or 2), of a fixed number of "
            "channels"
        )
    if not 1 <= dims[1] <= MAX_CHANNELS:
        raise EngineError(f"input {port.name[:80]!r} has {dims[1]} channels")
    return free_values(port.name, len(dims), dims[1])


def _has_fractions(x: Values) -> bool:
    return bool((~x.free & (x.exponent > 0)).any())


def _width(found: InputRange) -> float:
    return float(np.ldexp(found.high - found.low, -found.exponent).max())
