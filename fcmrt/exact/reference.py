"""An exact graph's integers, computed in float64 NumPy.

A proved graph's sums stay below 2^24 units, so float64 rounds none of them, in whatever order a
matrix product adds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ..onnxgraph import Graph, Node
from ..onnxwire import FLOAT32
from . import attributes
from .attributes import refusal
from .values import F64

_Array = npt.NDArray[Any]

_COPIED = 1 << 22  # most elements that a convolution lays out for one matrix product


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
    """A graph, ready to be computed at any size.

    Args:
        graph: One that `prove` accepts; borrowed.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants: dict[str, _Array] = dict(graph.constants)
        self._weights: dict[str, F64] = {}

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
            EngineError: The graph cannot be computed at these sizes.
        """
        statistics = statistics or Statistics()
        values: dict[str, _Array] = {n: np.asarray(a, np.float64) for n, a in inputs.items()}
        for node in self._graph.nodes:
            try:
                self._step(node, values, statistics)
            except ValueError as error:  # NumPy's, about shapes
                raise refusal(node, f"does not fit the sizes of its inputs: {error}") from error
        results = (values[name] for name in outputs)
        return [r if r.dtype == np.int32 else r.astype(np.float32) for r in results]

    def _step(self, node: Node, values: dict[str, _Array], statistics: Statistics) -> None:
        if node.inputs[0] in self._constants and node.op in ("Cast", "Identity"):
            self._constants[node.outputs[0]] = self._constants[node.inputs[0]]
            return
        if node.op == "Split":
            values.update(zip(node.outputs, self._split(node, values), strict=True))
            return
        found = _OPERATORS[node.op](self, node, values)
        if node.op == "Round":
            ties = _ties(values[node.inputs[0]], found)
            statistics.ties[node.name] = statistics.ties.get(node.name, 0) + ties
        elif node.op in _SUMS:
            cells = (0, *range(2, found.ndim))
            largest = np.maximum(found.max(cells), -found.min(cells))
            known = statistics.largest.get(node.name, largest)
            statistics.largest[node.name] = np.maximum(known, largest)
            statistics.products += self._products(node, values, found)
        values[node.outputs[0]] = found

    def _input(self, node: Node, k: int, values: Mapping[str, _Array]) -> _Array:
        name = node.inputs[k]
        return values[name] if name in values else self._constants[name].astype(np.float64)

    def _products(self, node: Node, values: Mapping[str, _Array], found: _Array) -> int:
        if node.op in ("Add", "Sub"):
            return 0
        cells = values[node.inputs[0]] if node.op == "ConvTranspose" else found
        return self._constants[node.inputs[1]].size * math.prod(cells.shape[2:])

    def _matrices(self, node: Node, group: int) -> F64:
        """A convolution's weights, as one matrix for each group.

        `[groups, outputs, inputs * taps]`, or `[groups, outputs * taps, inputs]` if transposed.
        """
        if node.name not in self._weights:
            weights = self._constants[node.inputs[1]].astype(np.float64)
            if node.op == "Conv":
                matrices = weights.reshape(group, len(weights) // group, -1)
            else:
                matrices = weights.reshape(group, len(weights) // group, -1).transpose(0, 2, 1)
            self._weights[node.name] = np.ascontiguousarray(matrices)
        return self._weights[node.name]

    def _biased(self, node: Node, sums: F64) -> F64:
        if len(node.inputs) > 2 and node.inputs[2]:
            bias = self._constants[node.inputs[2]].astype(np.float64)
            sums += bias.reshape(-1, *[1] * (sums.ndim - 2))
        return sums

    def _conv(self, node: Node, values: Mapping[str, _Array]) -> F64:
        x, form = self._input(node, 0, values), attributes.convolution(node)
        matrices = self._matrices(node, form.group)
        kernel = self._constants[node.inputs[1]].shape[2:]
        if (kernel, form.strides, form.pads) == ((1, 1), (1, 1), (0, 0, 0, 0)):
            product = matrices @ x.reshape(form.group, matrices.shape[2], -1)
            return self._biased(node, product.reshape(1, -1, *x.shape[2:]))
        top, left, bottom, right = form.pads
        x = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
        spans = [d * (k - 1) + 1 for d, k in zip(form.dilations, kernel, strict=True)]
        down, across = form.strides
        # What each output cell sees: [C, rows, columns, kernel rows, kernel columns], a view.
        seen = sliding_window_view(x, spans, (1, 2))
        seen = seen[:, ::down, ::across, :: form.dilations[0], :: form.dilations[1]]
        channels, rows, columns = seen.shape[:3]
        sums = np.empty((form.group, matrices.shape[1], rows, columns))
        height = max(1, _COPIED // (channels * columns * math.prod(kernel)))
        for start in range(0, rows, height):
            part = seen[:, start : start + height].transpose(0, 3, 4, 1, 2)
            cells = part.shape[3] * columns
            product = matrices @ part.reshape(form.group, -1, cells)
            sums[:, :, start : start + height] = product.reshape(*sums.shape[:2], -1, columns)
        return self._biased(node, sums.reshape(1, -1, rows, columns))

    def _conv_transpose(self, node: Node, values: Mapping[str, _Array]) -> F64:
        x, form = self._input(node, 0, values), attributes.convolution(node)
        rows, columns = x.shape[2:]
        kernel = self._constants[node.inputs[1]].shape[2:]
        down, across = form.strides
        height, width = (rows - 1) * down + 1, (columns - 1) * across + 1
        full_height = height + form.dilations[0] * (kernel[0] - 1) + form.output_padding[0]
        full_width = width + form.dilations[1] * (kernel[1] - 1) + form.output_padding[1]
        matrices = self._matrices(node, form.group)
        products = matrices @ x.reshape(form.group, -1, rows * columns)
        products = products.reshape(-1, *kernel, rows, columns)
        sums = np.zeros((len(products), full_height, full_width))
        for tap in np.ndindex(*kernel):
            row, column = (d * k for d, k in zip(form.dilations, tap, strict=True))
            into = sums[:, row : row + height : down, column : column + width : across]
            into += products[:, *tap]
        top, left, bottom, right = form.pads
        kept = sums[None, :, top : full_height - bottom, left : full_width - right]
        return self._biased(node, kept)

    def _matmul(self, node: Node, values: Mapping[str, _Array]) -> F64:
        weights = self._constants[node.inputs[1]].astype(np.float64)
        if node.attributes.get("transB"):
            weights = weights.T
        return self._biased(node, self._input(node, 0, values) @ weights)

    def _add(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.asarray(self._input(node, 0, values) + self._input(node, 1, values))

    def _sub(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.asarray(self._input(node, 0, values) - self._input(node, 1, values))

    def _mul(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.asarray(self._input(node, 0, values) * self._input(node, 1, values))

    def _min(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.minimum(self._input(node, 0, values), self._input(node, 1, values))

    def _max(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.maximum(self._input(node, 0, values), self._input(node, 1, values))

    def _clip(self, node: Node, values: Mapping[str, _Array]) -> F64:
        x = self._input(node, 0, values)
        for k, choose in (1, np.maximum), (2, np.minimum):
            if len(node.inputs) > k and node.inputs[k]:
                x = choose(x, self._input(node, k, values))
        return x

    def _relu(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.maximum(self._input(node, 0, values), 0)

    def _round(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.rint(self._input(node, 0, values))

    def _cast(self, node: Node, values: Mapping[str, _Array]) -> _Array:
        x = values[node.inputs[0]]
        return x if node.attributes["to"] == FLOAT32 else x.astype(np.int32)

    def _identity(self, node: Node, values: Mapping[str, _Array]) -> _Array:
        return values[node.inputs[0]]

    def _concat(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return np.concatenate([values[name] for name in node.inputs], 1)

    def _depth_to_space(self, node: Node, values: Mapping[str, _Array]) -> F64:
        x = values[node.inputs[0]]
        blocks = attributes.depth_to_space(node, x.shape[1])
        channels, block, _ = blocks.shape
        rows, columns = x.shape[2:]
        tiles: F64 = x[0, blocks.reshape(-1)].reshape(channels, block, block, rows, columns)
        return tiles.transpose(0, 3, 1, 4, 2).reshape(1, channels, rows * block, columns * block)

    def _gather(self, node: Node, values: Mapping[str, _Array]) -> F64:
        return self._input(node, 0, values)[values[node.inputs[1]]]

    def _slice(self, node: Node, values: Mapping[str, _Array]) -> F64:
        x = values[node.inputs[0]]
        taken: F64 = x[attributes.slices(node, self._constants, x.ndim)]
        return taken

    def _split(self, node: Node, values: Mapping[str, _Array]) -> list[F64]:
        x = values[node.inputs[0]]
        sizes = attributes.split_sizes(node, self._constants, x.shape[1], x.ndim)
        return np.split(x, np.cumsum(sizes)[:-1], 1)


_SUMS = frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul", "Sub"})

_OPERATORS: dict[str, Callable[[Reference, Node, Mapping[str, _Array]], _Array]] = {
    "Add": Reference._add,
    "Cast": Reference._cast,
    "Clip": Reference._clip,
    "Concat": Reference._concat,
    "Conv": Reference._conv,
    "ConvTranspose": Reference._conv_transpose,
    "DepthToSpace": Reference._depth_to_space,
    "Gather": Reference._gather,
    "Gemm": Reference._matmul,
    "Identity": Reference._identity,
    "MatMul": Reference._matmul,
    "Max": Reference._max,
    "Min": Reference._min,
    "Mul": Reference._mul,
    "Relu": Reference._relu,
    "Round": Reference._round,
    "Slice": Reference._slice,
    "Sub": Reference._sub,
}


def _ties(values: _Array, rounded: _Array) -> int:
    away = values - rounded
    return int(np.count_nonzero(np.abs(away, out=away) == 0.5))
