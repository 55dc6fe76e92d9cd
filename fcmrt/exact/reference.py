"""An exact graph's integers, computed in NumPy without rounding.

Sums are made in float64, which rounds none of a proved graph's, in whatever order a matrix product
adds. Between layers values are float32, as the graph says; that it holds them is checked, not
believed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Graph, Node
from ..onnxwire import FLOAT32
from . import attributes
from .attributes import refusal
from .convolve import F32, convolve, convolve_transposed, matrices_of, narrow
from .values import F64, I64

_Array = npt.NDArray[Any]

_NO_LIMITS = np.array([0, -np.inf, np.inf], np.float32)  # for a Clip that lacks inputs 1 and 2
_BLOCK = 1 << 16  # elements rounded together: they stay in the cache


@dataclasses.dataclass(slots=True)
class Statistics:
    """What was seen in the runs of a graph."""

    ties: dict[str, int] = dataclasses.field(default_factory=dict)
    """For each Round, how many values were half-way between two integers."""
    largest: dict[str, F64] = dataclasses.field(default_factory=dict)
    """The largest absolute output of each summing layer, for each channel, `[C]`."""
    products: int = 0
    """Multiplications of layers with weights."""


class Reference:
    """A graph, ready to be computed at any size, by any thread.

    Args:
        graph: One that `prove` accepts; borrowed.
        units: Its `Proof.units`, with which convolutions take half of the time; the results are
            the same.
    """

    def __init__(self, graph: Graph, units: Mapping[str, I64] | None = None) -> None:
        self._graph = graph
        self._units = units or {}
        self._constants: dict[str, _Array] = dict(graph.constants)
        for node in graph.nodes:
            if node.op in ("Cast", "Identity") and node.inputs[0] in self._constants:
                constant = self._constants[node.inputs[0]]
                self._constants[node.outputs[0]] = constant.astype(np.float32)
        self._matrices: dict[str, F64] = {}
        self._last_reads = _last_reads(graph)
        self._shared = _shared(graph)

    def run(
        self,
        inputs: Mapping[str, npt.NDArray[np.float32]],
        outputs: Sequence[str],
        statistics: Statistics | None = None,
    ) -> list[_Array]:
        """Computes the graph once.

        Args:
            inputs: By name, float32 `[1, C, H, W]` (or `[1, C]`), finite; borrowed.
            outputs: Names of the outputs wanted.
            statistics: Updated with what was seen; None: nothing is recorded.

        Returns:
            The outputs in the order asked for, float32 or int32; owned by the caller. Every runner
            must produce these bits, except for the sign of zero.

        Raises:
            EngineError: The graph cannot be computed at these sizes, or is not one that `prove`
                accepts.
        """
        statistics = statistics or Statistics()
        values: dict[str, _Array] = {n: np.asarray(a, np.float32) for n, a in inputs.items()}
        for node, spent in zip(self._graph.nodes, self._last_reads, strict=True):
            if node.outputs[0] in self._constants:
                continue
            spent = spent.difference(outputs)
            try:
                # What overflows or is no number here is an input, and is clipped later.
                with np.errstate(over="ignore", invalid="ignore"):
                    self._step(node, values, statistics, spent - self._shared)
            except ValueError as error:  # NumPy's, about shapes
                raise refusal(node, f"does not fit the sizes of its inputs: {error}") from error
            except OverflowError as error:
                raise refusal(node, f"is not exact: {error}") from error
            for name in spent:
                values.pop(name, None)
        results = (values[name] for name in outputs)
        return [r if r.dtype == np.int32 else r.astype(np.float32) for r in results]

    def _step(
        self, node: Node, values: dict[str, _Array], statistics: Statistics, free: Set[str]
    ) -> None:
        """Computes one node; it may overwrite the values that are free."""
        if node.op == "Split":
            values.update(zip(node.outputs, self._split(node, values), strict=True))
            return
        if node.op == "Round" or node.op in _ONE_BY_ONE:
            names = (*node.inputs, "", "")[:3] if node.op == "Clip" else node.inputs
            operands = [
                self._input(node, k, values) if name else _NO_LIMITS[k]
                for k, name in enumerate(names)
            ]
            tensors = [name for name in node.inputs if name in values]
            into = values[tensors[0]] if len(tensors) == 1 and tensors[0] in free else None
            if node.op == "Round":
                found, ties = _rounded(operands[0], into)
                statistics.ties[node.name] = statistics.ties.get(node.name, 0) + ties
            else:
                found = _ONE_BY_ONE[node.op](operands, into)
        else:
            found = _OPERATORS[node.op](self, node, values)
        if node.op in _SUMS:
            flat = found.reshape(found.shape[1], -1)
            largest = np.maximum(flat.max(1), -flat.min(1)).astype(np.float64)
            known = statistics.largest.get(node.name, largest)
            statistics.largest[node.name] = np.maximum(known, largest)
            statistics.products += self._products(node, values, found)
        values[node.outputs[0]] = found

    def _input(self, node: Node, k: int, values: Mapping[str, _Array]) -> _Array:
        name = node.inputs[k]
        return values[name] if name in values else self._constants[name]

    def _products(self, node: Node, values: Mapping[str, _Array], found: _Array) -> int:
        if node.op in ("Add", "Sub"):
            return 0
        cells = values[node.inputs[0]] if node.op == "ConvTranspose" else found
        return self._constants[node.inputs[1]].size * math.prod(cells.shape[2:])

    def _bias(self, node: Node, outputs: int) -> F64:
        """The bias, `[outputs, 1, 1]`; zeros if there is none."""
        if len(node.inputs) > 2 and node.inputs[2]:
            return self._constants[node.inputs[2]].astype(np.float64).reshape(outputs, 1, 1)
        return np.zeros((outputs, 1, 1))

    def _conv(self, node: Node, values: Mapping[str, _Array]) -> F32:
        x, form = values[node.inputs[0]], attributes.convolution(node)
        weights, transposed = self._constants[node.inputs[1]], node.op == "ConvTranspose"
        if node.name not in self._matrices:
            self._matrices[node.name] = matrices_of(weights, form.group, transposed)
        matrices, kernel = self._matrices[node.name], weights.shape[2:]
        if transposed:
            bias = self._bias(node, form.group * weights.shape[1])
            return convolve_transposed(x[0], matrices, bias, kernel, form)[None]
        bias, units = self._bias(node, len(weights)), self._units.get(node.name)
        return convolve(x[0], matrices, bias, kernel, form, units)[None]

    def _matmul(self, node: Node, values: Mapping[str, _Array]) -> F32:
        weights = self._constants[node.inputs[1]].astype(np.float64)
        if node.attributes.get("transB"):
            weights = weights.T
        return narrow(
            values[node.inputs[0]] @ weights + self._bias(node, weights.shape[1])[..., 0].T
        )

    def _add(self, node: Node, values: Mapping[str, _Array]) -> F32:
        x, y = self._input(node, 0, values), self._input(node, 1, values)
        return narrow(np.add(x, y, dtype=np.float64))

    def _sub(self, node: Node, values: Mapping[str, _Array]) -> F32:
        x, y = self._input(node, 0, values), self._input(node, 1, values)
        return narrow(np.subtract(x, y, dtype=np.float64))

    def _cast(self, node: Node, values: Mapping[str, _Array]) -> _Array:
        x = values[node.inputs[0]]
        return x if node.attributes["to"] == FLOAT32 else x.astype(np.int32)

    def _identity(self, node: Node, values: Mapping[str, _Array]) -> _Array:
        return values[node.inputs[0]]

    def _concat(self, node: Node, values: Mapping[str, _Array]) -> F32:
        return np.concatenate([values[name] for name in node.inputs], 1)

    def _depth_to_space(self, node: Node, values: Mapping[str, _Array]) -> F32:
        x = values[node.inputs[0]]
        blocks = attributes.depth_to_space(node, x.shape[1])
        channels, block, _ = blocks.shape
        rows, columns = x.shape[2:]
        tiles: F32 = x[0, blocks.reshape(-1)].reshape(channels, block, block, rows, columns)
        return tiles.transpose(0, 3, 1, 4, 2).reshape(1, channels, rows * block, columns * block)

    def _gather(self, node: Node, values: Mapping[str, _Array]) -> F32:
        found: F32 = self._constants[node.inputs[0]][values[node.inputs[1]]]
        return found

    def _slice(self, node: Node, values: Mapping[str, _Array]) -> _Array:
        x = values[node.inputs[0]]
        taken: _Array = x[attributes.slices(node, self._constants, x.ndim)]
        return taken

    def _split(self, node: Node, values: Mapping[str, _Array]) -> list[_Array]:
        x = values[node.inputs[0]]
        sizes = attributes.split_sizes(node, self._constants, x.shape[1], x.ndim)
        return np.split(x, np.cumsum(sizes)[:-1], 1)


def _last_reads(graph: Graph) -> list[frozenset[str]]:
    """For each node, the values that nothing reads after it."""
    spent: list[frozenset[str]] = []
    read = {port.name for port in graph.outputs}
    for node in reversed(graph.nodes):
        spent.append(frozenset(node.inputs) - read)
        read.update(node.inputs)
    return spent[::-1]


def _shared(graph: Graph) -> set[str]:
    """The values whose memory is the caller's, or may be another value's too."""
    shared = {port.name for port in graph.inputs}
    for node in graph.nodes:
        if node.op in ("Cast", "Identity", "Slice", "Split"):
            shared.update(node.inputs[:1], node.outputs)
    return shared


def _rounded(x: F32, into: F32 | None) -> tuple[F32, int]:
    """Whole numbers, ties to even, and how many ties there were."""
    x = np.ascontiguousarray(x)
    found = x if x is into else np.empty(x.shape, np.float32)
    source, target = x.reshape(-1), found.reshape(-1)
    ties = 0
    for start in range(0, source.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        whole = np.rint(source[part])
        away = source[part] - whole
        ties += int(np.count_nonzero(np.abs(away, out=away) == 0.5))
        target[part] = whole
    return found, ties


def _clip(operands: Sequence[F32], into: F32 | None) -> F32:
    x, low, high = operands
    return np.clip(x, low, high, out=into)


def _relu(operands: Sequence[F32], into: F32 | None) -> F32:
    return np.maximum(operands[0], np.float32(0), out=into)


def _max(operands: Sequence[F32], into: F32 | None) -> F32:
    x, y = operands
    return np.maximum(x, y, out=into)


def _min(operands: Sequence[F32], into: F32 | None) -> F32:
    x, y = operands
    return np.minimum(x, y, out=into)


def _mul(operands: Sequence[F32], into: F32 | None) -> F32:
    x, y = operands
    factors = x if x.size < y.size else y
    if (np.abs(np.frexp(factors)[0]) == 0.5).all():  # powers of two, which round nothing
        return np.multiply(x, y, out=into)
    return narrow(np.multiply(x, y, dtype=np.float64))


_ONE_BY_ONE: dict[str, Callable[[Sequence[F32], F32 | None], F32]] = {
    "Clip": _clip,
    "Max": _max,
    "Min": _min,
    "Mul": _mul,
    "Relu": _relu,
}

_SUMS = frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul", "Sub"})

_OPERATORS: dict[str, Callable[[Reference, Node, Mapping[str, _Array]], _Array]] = {
    "Add": Reference._add,
    "Cast": Reference._cast,
    "Concat": Reference._concat,
    "Conv": Reference._conv,
    "ConvTranspose": Reference._conv,
    "DepthToSpace": Reference._depth_to_space,
    "Gather": Reference._gather,
    "Gemm": Reference._matmul,
    "Identity": Reference._identity,
    "MatMul": Reference._matmul,
    "Slice": Reference._slice,
    "Sub": Reference._sub,
}
