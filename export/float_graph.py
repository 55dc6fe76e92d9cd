"""A float graph off the exact path, and how its nodes are connected."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable

import onnx
from onnx import TensorProto

from fcmrt.errors import EngineError
from fcmrt.exact import prove
from fcmrt.onnxgraph import read_graph

_OF_SHAPE = frozenset({"Shape", "Size"})


def read_float_graph(graph: bytes) -> onnx.ModelProto:
    """Reads a model whose numbers may be rounded differently.

    Args:
        graph: The serialised model.

    Raises:
        EngineError: It has inputs or outputs other than float32, as networks have that decide what
            is coded; or `fcmrt.exact.prove` finds it exact.
    """
    parsed = read_graph(graph, "the graph")
    for port in (*parsed.inputs, *parsed.outputs):
        if port.dtype != TensorProto.FLOAT:
            raise EngineError(
                f"{port.name!r} is not float32: graphs that compute means and indexes stay as they "
                "are, since both sides must compute the same"
            )
    try:
        prove(parsed, "the graph")
    except EngineError:
        return onnx.load_from_string(graph)
    raise EngineError("the graph is exact and must stay so; only others take another precision")


class FloatGraph:
    """The nodes that write and read each value.

    Args:
        model: With the types of its values stated; borrowed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        graph = model.graph
        self.nodes = {node.name: node for node in graph.node}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {port.name for port in graph.input}
        self.outputs = {port.name for port in graph.output}
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in filter(None, node.input):
                self.readers[name].append(node)
        ports = itertools.chain(graph.input, graph.output, graph.value_info)
        self.floats = {p.name for p in ports if p.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.floats |= {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
        self.data_nodes = self._data_nodes()

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Returns the nodes whose results a node reads."""
        return [self.producers[name] for name in node.input if name in self.producers]

    def after(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Returns the nodes that read a node's results."""
        return [reader for name in node.output for reader in self.readers[name]]

    def heads(self, passes: Callable[[onnx.NodeProto], bool]) -> set[str]:
        """Returns the names of nodes that pass and are preceded only by such nodes."""
        found: set[str] = set()
        for node in self.nodes.values():  # in the order of computation
            if passes(node) and self.follows(node, found):
                found.add(node.name)
        return found

    def tails(self, passes: Callable[[onnx.NodeProto], bool]) -> set[str]:
        """Returns the names of nodes that pass and are followed only by such nodes."""
        found: set[str] = set()
        for node in reversed(self.nodes.values()):
            if passes(node) and self.leads(node, found):
                found.add(node.name)
        return found

    def follows(self, node: onnx.NodeProto, names: set[str]) -> bool:
        """Returns whether a node reads only inputs of the graph, constants and these nodes."""
        values = (name for name in node.input if name and name not in self.constants)
        return all(name in self.inputs or self.producers[name].name in names for name in values)

    def leads(self, node: onnx.NodeProto, names: set[str]) -> bool:
        """Returns whether a node's results are read only by these nodes, or not at all."""
        return all(reader.name in names for reader in self.after(node))

    def _data_nodes(self) -> set[str]:
        """Returns the names of nodes that work on values, not only on constants or shapes."""
        first = [node for name in self.inputs for node in self.readers[name]]
        return reached(
            [node for node in first if node.op_type not in _OF_SHAPE],
            lambda node: (n for n in self.after(node) if n.op_type not in _OF_SHAPE),
        )


def reached(
    start: Iterable[onnx.NodeProto],
    neighbours: Callable[[onnx.NodeProto], Iterable[onnx.NodeProto]],
) -> set[str]:
    """Returns the names of all nodes that can be reached, the first ones included."""
    waiting, found = list(start), set[str]()
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += neighbours(node)
    return found
