"""Reads a whole ONNX graph from its bytes, in order to run it or to prove something about it.

Field numbers are those of `onnx.proto` (github.com/onnx/onnx, onnx/onnx.proto).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from .onnxwire import OnnxReader, Port, scan
from .protowire import BYTES, FIXED32, FIXED64, VARINT, Fields

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""Element type for bfloat16, which NumPy does not know: only the bits, without arithmetic."""

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of a graph."""

    op: str
    name: str
    """As in the file, or that of the first output if it has none there; unique in the graph."""
    inputs: tuple[str, ...]
    """Names of values; "" for an optional input that is left out."""
    outputs: tuple[str, ...]
    """Likewise."""
    attributes: Mapping[str, Attribute]
    """Only those in the file; arrays are read-only."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A graph without subgraphs."""

    opset: int
    """Version of ONNX's own operators."""
    inputs: tuple[Port, ...]
    """Without those that have an initializer."""
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]
    """In an order in which they can run."""
    constants: Mapping[str, npt.NDArray[Any]]
    """Initializers, and the outputs of `Constant` nodes, which are not among `nodes`; read-only."""


def read_graph(data: bytes | memoryview, place: str) -> Graph:
    """Reads an ONNX model's graph.

    Safe with untrusted bytes: what `scan` refuses is refused, and memory and time grow with the
    size of the bytes, whatever they say.

    Args:
        data: The model; borrowed, constants are copied out of it.
        place: What it is, for messages.

    Raises:
        EngineError: `scan` refuses it; it does not name one version of ONNX's operators; it has
            subgraphs, tensors of strings, or element types other than float16, bfloat16
            (`BFLOAT16`), float32, float64, int8, uint8, int32, int64 and bool; data does not have
            the size or range of its type; a value is written twice, read before it is written, or
            has no name; two nodes have the same name.
    """
    # A field or a stored element takes at least a byte, so no honest model exceeds these.
    size = memoryview(data).nbytes
    scan(data, place, max_fields=size, max_tensor_elements=size)
    return _GraphReader(data, place, size).model()


class _GraphReader(OnnxReader):
    """Reads a model that `scan` has passed."""

    def model(self) -> Graph:
        fields = self.read(0, len(self.data), "model")
        imports = [self.read(*span, "opset_import") for span in self.spans(fields, 8, "opset")]
        if len(imports) != 1:
            raise self.error(f"{len(imports)} operator sets are named; it must be one")
        graph = self.span(fields, 7, "graph")
        assert graph is not None, "scan passes no model without one"
        fields = self.read(*graph, "graph")
        constants = dict(self._initializer(*span) for span in self.spans(fields, 5, "initializer"))
        if len(constants) != len(fields.get(5, ())):
            raise self.error("two initializers have the same name")
        inputs = tuple(p for p in self.ports(fields, 11, "input") if p.name not in constants)
        outputs = self.ports(fields, 12, "output")
        known = {"", *constants, *(port.name for port in inputs)}
        nodes = []
        for number, span in enumerate(self.spans(fields, 1, "node")):
            node = self._node(*span, number)
            self._place_in_order(node, known)
            if node.op == "Constant":
                constants[node.outputs[0]] = self._constant(node)
            else:
                nodes.append(node)
        if len({node.name for node in nodes}) != len(nodes):
            raise self.error("two nodes have the same name")
        if not all(port.name for port in (*inputs, *outputs)):
            raise self.error("an input or output of the graph has no name")
        for port in outputs:
            if port.name not in known:
                raise self.error(f"no node gives the graph's output {port.name[:80]!r}")
        opset = self.number(imports[0], 2, "version")
        return Graph(opset, inputs, outputs, tuple(nodes), MappingProxyType(constants))

    def _node(self, start: int, end: int, number: int) -> Node:
        fields = self.read(start, end, f"node {number}")
        op = self.text(fields, 4, "op_type")
        outputs = self._texts(fields, 2)
        if not outputs or not outputs[0]:
            raise self.error(f"node {number} ({op[:40]!r}) has no output")
        attributes: dict[str, Attribute] = {}
        for span in self.spans(fields, 5, "attribute"):
            name, value = self._attribute(*span, f"node {number} ({op[:40]!r})")
            if name in attributes:
                raise self.error(f"node {number} ({op[:40]!r}) has {name[:40]!r} twice")
            attributes[name] = value
        name = self.text(fields, 3, "name of a node") or outputs[0]
        return Node(op, name, self._texts(fields, 1), outputs, MappingProxyType(attributes))

    def _place_in_order(self, node: Node, known: set[str]) -> None:
        for name in node.inputs:
            if name not in known:
                raise self.error(
                    f"node {node.name[:80]!r} reads {name[:80]!r} before anything writes it"
                )
        for name in filter(None, node.outputs):
            if name in known:
                raise self.error(f"node {node.name[:80]!r} writes {name[:80]!r} again")
            known.add(name)

    def _constant(self, node: Node) -> npt.NDArray[Any]:
        """Gives the value of a Constant node."""
        known = {
            "value": None,
            "value_float": np.float32,
            "value_floats": np.float32,
            "value_int": np.int64,
            "value_ints": np.int64,
        }
        if len(node.attributes) != 1 or not node.attributes.keys() <= known.keys():
            raise self.error(f"node {node.name[:80]!r}: a constant of a kind that is not taken")
        (kind, value), *_ = node.attributes.items()
        array = np.asarray(value, known[kind])
        array.setflags(write=False)
        return array

    def _attribute(self, start: int, end: int, who: str) -> tuple[str, Attribute]:
        fields = self.read(start, end, f"attribute of {who}")
        name = self.text(fields, 1, "name of an attribute")
        kind = self.number(fields, 20, "type of an attribute")
        readers: dict[int, Callable[[], Attribute]] = {
            1: lambda: float(self._one(self._fixed(fields, 2, "<f4"), name)),
            2: lambda: _signed(self.number(fields, 3, who)),
            3: lambda: self.text(fields, 4, f"attribute {name[:40]!r}"),
            4: lambda: self._one([self._tensor(*t)[1] for t in self.spans(fields, 5, who)], name),
            6: lambda: tuple(self._fixed(fields, 7, "<f4").tolist()),
            7: lambda: tuple(self._varints(fields, 8).tolist()),
        }
        if not name or kind not in readers:
            raise self.error(f"{who} has the attribute {name[:40]!r} of a kind that is not taken")
        return name, readers[kind]()

    def _initializer(self, start: int, end: int) -> tuple[str, npt.NDArray[Any]]:
        name, array = self._tensor(start, end)
        if not name:
            raise self.error("an initializer has no name")
        return name, array

    def _tensor(self, start: int, end: int) -> tuple[str, npt.NDArray[Any]]:
        fields = self.read(start, end, "tensor")
        name = self.text(fields, 8, "name of a tensor")
        who = f"tensor {name[:80]!r}"
        kind = self.number(fields, 2, "data_type")
        if kind not in _ELEMENT_TYPES:
            raise self.error(f"{who} has the element type {kind}, which is not taken")
        dtype, field = _ELEMENT_TYPES[kind]
        dims = self.dims(fields, who)
        held = {4, 5, 7, 9, 10, 11} & fields.keys()
        if math.prod(max(dim, 1) for dim in dims) >= 1 << 31:
            raise self.error(f"{who} has dimensions that no tensor of a codec has")
        if math.prod(dims) and held != {9} and held != {field}:
            raise self.error(f"{who} does not have its data in one form")
        if 9 in held:
            raw = self.span(fields, 9, "raw_data")
            assert raw is not None, "the field is there"
            values = self._elements(*raw, "<u1" if dtype == np.bool_ else dtype)
        elif field in (4, 10):
            values = self._fixed(fields, field, dtype)
        else:
            values = self._typed(self._varints(fields, field), dtype, who)
        if values.size != math.prod(dims):
            raise self.error(f"{who} has {values.size} elements, but {math.prod(dims)} by its dims")
        array = values.reshape(dims).astype(dtype.newbyteorder("="))
        array.setflags(write=False)
        return name, array

    def _typed(
        self, values: npt.NDArray[np.int64], dtype: np.dtype[Any], who: str
    ) -> npt.NDArray[Any]:
        """Turns what stands in `int32_data` and `int64_data` into elements."""
        bits = np.dtype("<u2") if dtype in (np.float16, BFLOAT16) else dtype
        elements = values.astype(bits)
        if np.any(elements != values):
            raise self.error(f"{who} has values that its element type cannot hold")
        return elements.view(dtype)

    # Repeated numbers stand one by one, packed, or mixed.

    def _fixed(self, fields: Fields, number: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        parts = [np.empty(0, dtype)]
        for wire, start, end in fields.get(number, ()):
            if wire not in (BYTES, FIXED32 if parts[0].itemsize == 4 else FIXED64):
                raise self.error(f"field {number} holds numbers of another size")
            parts.append(self._elements(start, end, dtype))
        return np.concatenate(parts)

    def _elements(self, start: int, end: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        if (end - start) % np.dtype(dtype).itemsize:
            raise self.error("numbers that are cut off")
        return np.frombuffer(self.data[start:end], dtype)

    def _varints(self, fields: Fields, number: int) -> npt.NDArray[np.int64]:
        parts = [np.empty(0, np.int64)]
        for wire, start, end in fields.get(number, ()):
            if wire == VARINT:
                parts.append(np.array([_signed(start)]))
            elif wire == BYTES:
                parts.append(self._packed_varints(start, end))
            else:
                raise self.error(f"field {number} holds no integers")
        return np.concatenate(parts)

    def _packed_varints(self, start: int, end: int) -> npt.NDArray[np.int64]:
        data = np.frombuffer(self.data[start:end], np.uint8)
        if not data.size:
            return np.empty(0, np.int64)
        (ends,) = np.nonzero(data < 128)
        sizes = np.diff(ends, prepend=-1)
        if not ends.size or ends[-1] != data.size - 1 or sizes.max() > 10:
            raise self.error("not protobuf (a number without an end)")
        starts = ends - sizes + 1
        shifts = 7 * (np.arange(data.size) - np.repeat(starts, sizes)).astype(np.uint64)
        # Beyond 64 bits nothing is left, as in protobuf.
        return np.add.reduceat((data & 127).astype(np.uint64) << shifts, starts).view(np.int64)

    def _texts(self, fields: Fields, number: int) -> tuple[str, ...]:
        return tuple(
            self.text({number: [value]}, number, "name of a value")
            for value in fields.get(number, ())
        )

    def _one(self, values: Any, name: str) -> Any:
        if len(values) != 1:
            raise self.error(f"attribute {name[:40]!r} has {len(values)} values; it must have one")
        return values[0]


_ELEMENT_TYPES: dict[int, tuple[np.dtype[Any], int]] = {
    # TensorProto.DataType: elements, field of those that are not raw
    1: (np.dtype("<f4"), 4),
    2: (np.dtype("<u1"), 5),
    3: (np.dtype("<i1"), 5),
    6: (np.dtype("<i4"), 5),
    7: (np.dtype("<i8"), 7),
    9: (np.dtype(np.bool_), 5),
    10: (np.dtype("<f2"), 5),
    11: (np.dtype("<f8"), 10),
    16: (BFLOAT16, 5),
}


def _signed(value: int) -> int:
    """Reads the two's complement of 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
