"""Explicit int8 for the layers of a float graph: QuantizeLinear and DequantizeLinear around them.

Symmetric, with zero point 0, as TensorRT requires: weights per output channel, stored as int8;
activations per tensor, quantised where a layer reads them. Biases and everything else stay float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from fcmrt.errors import EngineError

from .calibration import LEVELS, Feeds, Method, magnitudes
from .cleaning import clean, finish
from .float_graph import FloatGraph, read_float_graph

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_SMALLEST = float(np.finfo(np.float32).tiny)


def with_int8(
    graph: bytes, feeds: Feeds, *, method: Method = "mse", keep: Collection[str] = ()
) -> bytes:
    """Rewrites the convolutions and matrix products of a float32 graph for int8.

    Args:
        graph: A model off the exact path, with float32 inputs and outputs.
        feeds: Calibration inputs, see `magnitudes`.
        method: How the range of an activation is chosen.
        keep: Names of layers that stay in float32, such as `outer_layers`.

    Returns:
        The serialised model; equal arguments give equal bytes.

    Raises:
        EngineError: The graph is exact or has integer inputs or outputs, there are no calibration
            inputs, or no layer has a name in `keep`.
    """
    if not feeds:
        raise EngineError("int8 needs calibration: give features of some pictures")
    model = clean(read_float_graph(graph))
    known = FloatGraph(model)
    layers = {node.name: node for node in _layers(known)}
    missing = set(keep) - layers.keys()
    if missing:
        raise EngineError(f"no layer of the graph is named {', '.join(sorted(missing))}")
    chosen = [node for name, node in layers.items() if name not in keep]
    ranges = magnitudes(model, sorted({node.input[0] for node in chosen}), feeds, method)
    return finish(_Quantising(model, {node.name for node in chosen}, ranges).model)


def outer_layers(graph: bytes) -> set[str]:
    """Returns the names of the first and the last layers, usually the most sensitive ones.

    Args:
        graph: As for `with_int8`.
    """
    known = FloatGraph(clean(read_float_graph(graph)))
    layers = {node.name: node for node in _layers(known)}
    first = known.heads(lambda node: node.name not in layers)
    last = known.tails(lambda node: node.name not in layers)
    return {
        name
        for name, node in layers.items()
        if known.follows(node, first) or known.leads(node, last)
    }


def _layers(graph: FloatGraph) -> list[onnx.NodeProto]:
    """Returns the nodes that multiply a value by stored weights."""
    return [
        node
        for node in graph.nodes.values()
        if node.op_type in _LAYERS
        and node.input[0] not in graph.constants
        and node.input[1] in graph.constants
    ]


class _Quantising:
    """One pass over a model, whose result is `model`.

    Args:
        model: Clean; not changed.
        layers: Names of the nodes to quantise.
        ranges: By value that they read, the magnitude that becomes the largest integer.
    """

    def __init__(
        self, model: onnx.ModelProto, layers: Collection[str], ranges: dict[str, float]
    ) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        self._ranges = ranges
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._done: dict[tuple[str, int | None], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            new = onnx.NodeProto()
            new.CopyFrom(node)
            if node.name in layers:
                new.input[0] = self._activation(node.input[0])
                new.input[1] = self._weights(node.input[1], _channel_axis(node))
            self._nodes.append(new)
        read = set(itertools.chain.from_iterable(node.input for node in self._nodes))
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(t for name, t in self._constants.items() if name in read)

    def _activation(self, name: str) -> str:
        key = name, None
        if key not in self._done:
            scale = self._store(
                f"{name}.scale", np.float32(max(self._ranges[name] / LEVELS, _SMALLEST))
            )
            zero = self._zeros(())
            quantised, self._done[key] = f"{name}.int8", f"{name}.dequantised"
            self._add("QuantizeLinear", [name, scale, zero], quantised)
            self._add("DequantizeLinear", [quantised, scale, zero], self._done[key])
        return self._done[key]

    def _weights(self, name: str, axis: int) -> str:
        key = name, axis
        if key not in self._done:
            weights = numpy_helper.to_array(self._constants[name])
            others = tuple(i for i in range(weights.ndim) if i != axis)
            largest = np.abs(weights).max(axis=others)
            scales = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
            whole = np.rint(weights / np.expand_dims(scales, others)).clip(-LEVELS, LEVELS)
            stored = self._store(f"{name}.int8.{axis}", whole.astype(np.int8))
            scale = self._store(f"{name}.scale.{axis}", scales)
            self._done[key] = f"{name}.dequantised.{axis}"
            inputs = [stored, scale, self._zeros(scales.shape)]
            self._add("DequantizeLinear", inputs, self._done[key], axis=axis)
        return self._done[key]

    def _zeros(self, shape: tuple[int, ...]) -> str:
        name = "_".join(("int8_zero", *map(str, shape)))
        return name if name in self._constants else self._store(name, np.zeros(shape, np.int8))

    def _store(self, name: str, values: npt.ArrayLike) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def _add(self, op: str, inputs: list[str], output: str, **attributes: int) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], output, **attributes))


def _channel_axis(node: onnx.NodeProto) -> int:
    """Returns the axis of a layer's weights that counts its outputs."""
    if node.op_type == "Gemm":
        turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return 0 if turned else 1
    return 0 if node.op_type == "Conv" else 1
