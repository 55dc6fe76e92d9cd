"""What an ONNX graph holds, read from its bytes without the onnx package, and without trust.

ONNX files are protobuf messages. `scan` reads the few fields that matter for safety and for the
schedule, and steps over weights without touching them; `onnxgraph.py` reads the rest. Field
numbers are those of `onnx.proto` (github.com/onnx/onnx, onnx/onnx.proto).
"""

from __future__ import annotations

import dataclasses
import math

from .protowire import BYTES, VARINT, Fields, ProtoReader

FLOAT32 = 1
INT32 = 6

_MAX_DEPTH = 32
_MAX_RANK = 16
_DOMAINS = ("", "ai.onnx")
# Without an end, or with another result each time: neither belongs into a codec.
_REFUSED_OPS = frozenset(
    {"Loop", "Scan", "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike"}
    | {"RandomUniform", "RandomUniformLike"}
)
# Bytes of an element, by TensorProto.DataType; strings and types below one byte are not taken.
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}

_MODEL = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25})
_GRAPH = frozenset({1, 2, 5, 10, 11, 12, 13, 14, 15, 16})
_NODE = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9})
_ATTRIBUTE = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 20, 21, 22, 23})
_TENSOR = frozenset({1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 16})
_TENSOR_DATA = (4, 5, 7, 9, 10, 11)


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    dtype: int
    """TensorProto.DataType, such as `FLOAT32` or `INT32`; 0 if it is no tensor, or not told."""
    dims: tuple[int | None, ...] | None
    """None for a dimension that is not fixed; None in all if the rank is not told."""


@dataclasses.dataclass(frozen=True, slots=True)
class GraphInfo:
    """What `scan` found."""

    inputs: tuple[Port, ...]
    """Without those that have an initializer."""
    outputs: tuple[Port, ...]
    ops: frozenset[str]
    """Operators in use, those of subgraphs included."""
    fields: int
    """How many protobuf fields were read; what the scan cost."""


def scan(
    data: bytes | memoryview, place: str, *, max_fields: int, max_tensor_elements: int
) -> GraphInfo:
    """Walks an ONNX model and refuses what an engine must not hold.

    Refused: data outside of the file, operators of other domains than ONNX's own, functions,
    training information, sparse and string tensors, loops, random operators, integer attributes
    beyond 32 bits, subgraphs nested deeper than 32, tensors whose dimensions do not fit their data,
    unknown fields of the messages that are read, and whatever is not protobuf.

    Args:
        data: The model; borrowed.
        place: What it is, for messages.
        max_fields: Protobuf fields that may be read; bounds the time, not the size.
        max_tensor_elements: Elements of one stored tensor.

    Raises:
        EngineError: Any of the above.

    Cost: about a microsecond for each field; weights are stepped over.
    """
    return _Scan(data, place, max_fields, max_tensor_elements).model()


class OnnxReader(ProtoReader):
    """Reads what scan and graph reader both need."""

    def dims(self, fields: Fields, who: str) -> list[int]:
        """Reads the dimensions of a stored tensor."""
        dims: list[int] = []
        for wire, start, end in fields.get(1, ()):
            if wire == VARINT:
                dims.append(start)
            while wire == BYTES and start < end and len(dims) <= _MAX_RANK:
                value, start = self.varint(start, end)
                dims.append(value)
        if len(dims) > _MAX_RANK or any(dim >= 1 << 31 for dim in dims):
            raise self.error(f"{who} has dimensions that no tensor of a codec has")
        return dims

    def ports(self, fields: Fields, number: int, what: str) -> tuple[Port, ...]:
        """Reads the inputs or outputs of a graph."""
        ports = tuple(self._port(*span, what) for span in self.spans(fields, number, what))
        if len({port.name for port in ports}) != len(ports):
            raise self.error(f"two of the graph's {what}s have the same name")
        return ports

    def _port(self, start: int, end: int, what: str) -> Port:
        fields = self.read(start, end, what)
        name = self.text(fields, 1, f"name of an {what}")
        kind = self.span(fields, 2, "type")
        tensor = self.span(self.read(*kind, "type"), 1, "tensor_type") if kind else None
        if tensor is None:
            return Port(name, 0, None)
        fields = self.read(*tensor, "tensor_type")
        dtype = self.number(fields, 1, "elem_type")
        shape = self.span(fields, 2, "shape")
        if shape is None:
            return Port(name, dtype, None)
        dims: list[int | None] = []
        for span in self.spans(self.read(*shape, "shape"), 1, "dim"):
            dim = self.read(*span, "dim")
            dims.append(self.number(dim, 1, "dim_value") if 1 in dim else None)
        return Port(name, dtype, tuple(dims))


class _Scan(OnnxReader):
    def __init__(
        self, data: bytes | memoryview, place: str, max_fields: int, max_tensor_elements: int
    ) -> None:
        super().__init__(data, place, max_fields)
        self._max_tensor_elements = max_tensor_elements
        self._ops: set[str] = set()

    def model(self) -> GraphInfo:
        fields = self.read(0, len(self.data), "model", _MODEL)
        if 25 in fields:
            raise self.error("model-local functions are not taken; inline them")
        if 20 in fields:
            raise self.error("training information is not taken")
        for start, end in self.spans(fields, 8, "opset_import"):
            self._check_domain(self.text(self.read(start, end, "opset_import"), 1, "domain"))
        graph = self.span(fields, 7, "graph")
        if graph is None:
            raise self.error("the model has no graph")
        inputs, outputs = self._graph(*graph, depth=1)
        return GraphInfo(inputs, outputs, frozenset(self._ops), self.fields_read)

    def _graph(self, start: int, end: int, depth: int) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        if depth > _MAX_DEPTH:
            raise self.error(f"subgraphs are nested deeper than {_MAX_DEPTH}")
        fields = self.read(start, end, "graph", _GRAPH)
        if 15 in fields:
            raise self.error("sparse initializers are not taken")
        stored = {self._tensor(*span) for span in self.spans(fields, 5, "initializer")}
        for i, span in enumerate(self.spans(fields, 1, "node")):
            self._node(*span, number=i, depth=depth)
        inputs = self.ports(fields, 11, "input")
        return tuple(p for p in inputs if p.name not in stored), self.ports(fields, 12, "output")

    def _node(self, start: int, end: int, number: int, depth: int) -> None:
        fields = self.read(start, end, f"node {number}", _NODE)
        op = self.text(fields, 4, "op_type")
        self._check_domain(self.text(fields, 7, "domain"), f"node {number} ({op[:40]!r})")
        if self.text(fields, 8, "overload"):
            raise self.error(f"node {number} ({op[:40]!r}) calls an overloaded function")
        if op in _REFUSED_OPS:
            raise self.error(f"node {number}: the operator {op} is not taken")
        self._ops.add(op)
        for span in self.spans(fields, 5, "attribute"):
            attribute = self.read(*span, f"attribute of node {number}", _ATTRIBUTE)
            if 21 in attribute:
                raise self.error(f"node {number}: references to a function's attributes")
            if 22 in attribute or 23 in attribute:
                raise self.error(f"node {number}: sparse tensors are not taken")
            # ONNX Runtime divides by the square of a block size, or what 64 bits keep of it.
            if (self.number(attribute, 3, "attribute") + (1 << 31)) % (1 << 64) >> 32:
                raise self.error(f"node {number} ({op[:40]!r}) has an attribute beyond 32 bits")
            for field in 5, 10:
                for tensor in self.spans(attribute, field, "tensor"):
                    self._tensor(*tensor)
            for field in 6, 11:
                for graph in self.spans(attribute, field, "subgraph"):
                    self._graph(*graph, depth=depth + 1)

    def _tensor(self, start: int, end: int) -> str:
        """Checks a stored tensor and gives its name."""
        fields = self.read(start, end, "tensor", _TENSOR)
        name = self.text(fields, 8, "name of a tensor")
        who = f"tensor {name[:80]!r}"
        if 13 in fields or self.number(fields, 14, "data_location"):
            raise self.error(f"{who} keeps its data outside of the file; store it inside")
        if 3 in fields:
            raise self.error(f"{who} is a segment of another")
        kind = self.number(fields, 2, "data_type")
        if kind not in _ITEM_BYTES:
            raise self.error(f"{who} has the element type {kind}, which is not taken")
        elements = math.prod(self.dims(fields, who))
        if elements > self._max_tensor_elements:
            raise self.error(
                f"{who} has {elements} elements; the limits allow {self._max_tensor_elements}"
            )
        held = sum(
            1 if wire == VARINT else end - start
            for field in _TENSOR_DATA
            for wire, start, end in fields.get(field, ())
        )
        # Raw data must fit exactly; of other forms an element takes one byte at the least.
        exact = elements * _ITEM_BYTES[kind] == held if 9 in fields else elements <= held
        if not exact:
            raise self.error(f"{who} has {elements} elements by its dims, but {held} bytes of data")
        return name

    def _check_domain(self, domain: str, who: str = "opset_import") -> None:
        if domain not in _DOMAINS:
            raise self.error(f"{who} is of the domain {domain[:80]!r}; only ONNX's own is taken")
