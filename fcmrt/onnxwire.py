"""What an ONNX graph holds, read from its bytes without the onnx package, and without trust.

ONNX files are protobuf messages. This reads the few fields that matter for safety and for the
schedule, and steps over weights without touching them. Field numbers are those of `onnx.proto`
(github.com/onnx/onnx, onnx/onnx.proto).
"""

from __future__ import annotations

import dataclasses
import math

from .errors import EngineError

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

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

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
    return _Scan(
        memoryview(data).toreadonly().cast("B"), place, max_fields, max_tensor_elements
    ).model()


_Field = tuple[int, int, int]  # wire type, then the value and 0, or the first byte and the end
_Fields = dict[int, list[_Field]]


class _Scan:
    def __init__(
        self, data: memoryview, place: str, max_fields: int, max_tensor_elements: int
    ) -> None:
        self._data = data
        self._place = place
        self._max_fields = max_fields
        self._max_tensor_elements = max_tensor_elements
        self._fields = 0
        self._ops: set[str] = set()

    def model(self) -> GraphInfo:
        fields = self._read(0, len(self._data), "model", _MODEL)
        if 25 in fields:
            raise self._error("model-local functions are not taken; inline them")
        if 20 in fields:
            raise self._error("training information is not taken")
        for start, end in self._spans(fields, 8, "opset_import"):
            self._check_domain(self._text(self._read(start, end, "opset_import"), 1, "domain"))
        graph = self._span(fields, 7, "graph")
        if graph is None:
            raise self._error("the model has no graph")
        inputs, outputs = self._graph(*graph, depth=1)
        return GraphInfo(inputs, outputs, frozenset(self._ops), self._fields)

    def _graph(self, start: int, end: int, depth: int) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        if depth > _MAX_DEPTH:
            raise self._error(f"subgraphs are nested deeper than {_MAX_DEPTH}")
        fields = self._read(start, end, "graph", _GRAPH)
        if 15 in fields:
            raise self._error("sparse initializers are not taken")
        stored = {self._tensor(*span) for span in self._spans(fields, 5, "initializer")}
        for i, span in enumerate(self._spans(fields, 1, "node")):
            self._node(*span, number=i, depth=depth)
        inputs = self._ports(fields, 11, "input")
        return tuple(p for p in inputs if p.name not in stored), self._ports(fields, 12, "output")

    def _node(self, start: int, end: int, number: int, depth: int) -> None:
        fields = self._read(start, end, f"node {number}", _NODE)
        op = self._text(fields, 4, "op_type")
        self._check_domain(self._text(fields, 7, "domain"), f"node {number} ({op[:40]!r})")
        if self._text(fields, 8, "overload"):
            raise self._error(f"node {number} ({op[:40]!r}) calls an overloaded function")
        if op in _REFUSED_OPS:
            raise self._error(f"node {number}: the operator {op} is not taken")
        self._ops.add(op)
        for span in self._spans(fields, 5, "attribute"):
            attribute = self._read(*span, f"attribute of node {number}", _ATTRIBUTE)
            if 21 in attribute:
                raise self._error(f"node {number}: references to a function's attributes")
            if 22 in attribute or 23 in attribute:
                raise self._error(f"node {number}: sparse tensors are not taken")
            # ONNX Runtime divides by the square of a block size, or what 64 bits keep of it.
            if (self._number(attribute, 3, "attribute") + (1 << 31)) % (1 << 64) >> 32:
                raise self._error(f"node {number} ({op[:40]!r}) has an attribute beyond 32 bits")
            for field in 5, 10:
                for tensor in self._spans(attribute, field, "tensor"):
                    self._tensor(*tensor)
            for field in 6, 11:
                for graph in self._spans(attribute, field, "subgraph"):
                    self._graph(*graph, depth=depth + 1)

    def _tensor(self, start: int, end: int) -> str:
        """Checks a stored tensor and gives its name."""
        fields = self._read(start, end, "tensor", _TENSOR)
        name = self._text(fields, 8, "name of a tensor")
        who = f"tensor {name[:80]!r}"
        if 13 in fields or self._number(fields, 14, "data_location"):
            raise self._error(f"{who} keeps its data outside of the file; store it inside")
        if 3 in fields:
            raise self._error(f"{who} is a segment of another")
        kind = self._number(fields, 2, "data_type")
        if kind not in _ITEM_BYTES:
            raise self._error(f"{who} has the element type {kind}, which is not taken")
        elements = math.prod(self._dims(fields, who))
        if elements > self._max_tensor_elements:
            raise self._error(
                f"{who} has {elements} elements; the limits allow {self._max_tensor_elements}"
            )
        held = sum(
            1 if wire == _VARINT else end - start
            for field in _TENSOR_DATA
            for wire, start, end in fields.get(field, ())
        )
        # Raw data must fit exactly; of other forms an element takes one byte at the least.
        exact = elements * _ITEM_BYTES[kind] == held if 9 in fields else elements <= held
        if not exact:
            raise self._error(
                f"{who} has {elements} elements by its dims, but {held} bytes of data"
            )
        return name

    def _dims(self, fields: _Fields, who: str) -> list[int]:
        dims: list[int] = []
        for wire, start, end in fields.get(1, ()):
            if wire == _VARINT:
                dims.append(start)
            while wire == _BYTES and start < end and len(dims) <= _MAX_RANK:
                value, start = self._varint(start, end)
                dims.append(value)
        if len(dims) > _MAX_RANK or any(dim >= 1 << 31 for dim in dims):
            raise self._error(f"{who} has dimensions that no tensor of a codec has")
        return dims

    def _ports(self, fields: _Fields, number: int, what: str) -> tuple[Port, ...]:
        ports = tuple(self._port(*span, what) for span in self._spans(fields, number, what))
        if len({port.name for port in ports}) != len(ports):
            raise self._error(f"two of the graph's {what}s have the same name")
        return ports

    def _port(self, start: int, end: int, what: str) -> Port:
        fields = self._read(start, end, what)
        name = self._text(fields, 1, f"name of an {what}")
        kind = self._span(fields, 2, "type")
        tensor = self._span(self._read(*kind, "type"), 1, "tensor_type") if kind else None
        if tensor is None:
            return Port(name, 0, None)
        fields = self._read(*tensor, "tensor_type")
        dtype = self._number(fields, 1, "elem_type")
        shape = self._span(fields, 2, "shape")
        if shape is None:
            return Port(name, dtype, None)
        dims: list[int | None] = []
        for span in self._spans(self._read(*shape, "shape"), 1, "dim"):
            dim = self._read(*span, "dim")
            dims.append(self._number(dim, 1, "dim_value") if 1 in dim else None)
        return Port(name, dtype, tuple(dims))

    def _check_domain(self, domain: str, who: str = "opset_import") -> None:
        if domain not in _DOMAINS:
            raise self._error(f"{who} is of the domain {domain[:80]!r}; only ONNX's own is taken")

    def _error(self, message: str) -> EngineError:
        return EngineError(f"{self._place}: {message}")

    # The wire format: https://protobuf.dev/programming-guides/encoding/

    def _read(
        self, start: int, end: int, what: str, known: frozenset[int] | None = None
    ) -> _Fields:
        """Reads one message's fields, without looking into them."""
        found: _Fields = {}
        while start < end:
            self._fields += 1
            if self._fields > self._max_fields:
                raise self._error(f"more than {self._max_fields} protobuf fields")
            key, start = self._varint(start, end)
            number, wire = key >> 3, key & 7
            if known is not None and number not in known:
                raise self._error(f"{what}: unknown field {number}")
            if wire == _VARINT:
                value, start = self._varint(start, end)
                found.setdefault(number, []).append((wire, value, 0))
                continue
            if wire == _BYTES:
                size, start = self._varint(start, end)
            elif wire in (_FIXED32, _FIXED64):
                size = 4 if wire == _FIXED32 else 8
            else:
                raise self._error(f"{what}: not protobuf (wire type {wire})")
            if size > end - start:
                raise self._error(f"{what}: a field of {size} bytes where {end - start} are left")
            found.setdefault(number, []).append((wire, start, start + size))
            start += size
        return found

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while start < end and shift < 70:
            byte = self._data[start]
            start += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, start
            shift += 7
        raise self._error("not protobuf (a number without an end)")

    def _spans(self, fields: _Fields, number: int, what: str) -> list[tuple[int, int]]:
        values = fields.get(number, [])
        if any(wire != _BYTES for wire, _, _ in values):
            raise self._error(f"{what}: not protobuf of ONNX (wire type)")
        return [(start, end) for _, start, end in values]

    def _span(self, fields: _Fields, number: int, what: str) -> tuple[int, int] | None:
        spans = self._spans(fields, number, what)
        if len(spans) > 1:
            # Protobuf would merge them, or take the last: one reading for all readers is safer.
            raise self._error(f"{what} stands {len(spans)} times")
        return spans[0] if spans else None

    def _text(self, fields: _Fields, number: int, what: str) -> str:
        span = self._span(fields, number, what)
        if span is None:
            return ""
        try:
            return bytes(self._data[slice(*span)]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"{what} is not UTF-8") from error

    def _number(self, fields: _Fields, number: int, what: str) -> int:
        values = fields.get(number, [])
        if not values:
            return 0
        if len(values) > 1 or values[0][0] != _VARINT:
            raise self._error(f"{what}: not one number")
        return values[0][1]
