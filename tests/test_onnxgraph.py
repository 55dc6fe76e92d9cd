"""The reader of whole graphs: it reads what the onnx package reads, or refuses."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fcmrt.engine import Engine
from fcmrt.errors import EngineError
from fcmrt.onnxgraph import BFLOAT16, Graph, read_graph
from fcmrt.onnxwire import FLOAT32, Port

from .engines import context_parts, hyperprior_parts


def read(proto: Any) -> Graph:
    return read_graph(proto if isinstance(proto, bytes) else proto.SerializeToString(), "'g'")


def model(*nodes: Any, stored: Any = (), inputs: Any = None, opsets: Any = None) -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes or [relu()], "g", inputs or [x], [y], stored)
    return helper.make_model(graph, opset_imports=opsets or [helper.make_opsetid("", 18)])


def relu(x: str = "x", y: str = "y", **attributes: Any) -> Any:
    return helper.make_node("Relu", [x], [y], **attributes)


def refuse(proto: Any, message: str) -> None:
    with pytest.raises(EngineError, match=f"'g': .*{message}"):
        read(proto)


def same(one: Any, other: Any) -> bool:
    if isinstance(other, onnx.TensorProto):
        other = numpy_helper.to_array(other)
    if isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(other, bytes):
        other = other.decode()
    return bool(one == (tuple(other) if isinstance(other, list) else other))


def agree(data: bytes) -> Graph:
    """Compares with the onnx package's own reading."""
    graph, proto = read(data), onnx.load_from_string(data)
    assert graph.opset == proto.opset_import[0].version
    assert [port.name for port in graph.inputs] == [port.name for port in proto.graph.input]
    assert [port.name for port in graph.outputs] == [port.name for port in proto.graph.output]
    expected = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Constant":
            expected[node.output[0]] = node.attribute[0].t
        else:
            nodes.append(node)
    assert graph.constants.keys() == expected.keys()
    assert all(same(graph.constants[name], value) for name, value in expected.items())
    assert len(graph.nodes) == len(nodes)
    for one, other in zip(graph.nodes, nodes, strict=True):
        assert (one.op, one.inputs, one.outputs) == (
            other.op_type,
            tuple(other.input),
            tuple(other.output),
        )
        assert one.name == (other.name or other.output[0])
        attributes = {a.name: helper.get_attribute_value(a) for a in other.attribute}
        assert one.attributes.keys() == attributes.keys()
        assert all(same(one.attributes[name], value) for name, value in attributes.items())
    return graph


def test_the_shipped_engine_is_read_as_onnx_reads_it() -> None:
    engine = Engine.builtin()
    for name in engine.manifest.graphs:
        graph = agree(engine.graph(name))
        assert len(graph.nodes) > 5
        assert any(array.dtype == np.float16 for array in graph.constants.values())


@pytest.mark.parametrize("parts", [hyperprior_parts, context_parts])
def test_made_graphs_are_read_as_onnx_reads_them(parts: Any) -> None:
    for data in parts().graphs.values():
        agree(data)


def test_ports() -> None:
    graph = read(model())
    assert graph.inputs == (Port("x", FLOAT32, (1, 2, None, None)),)
    assert graph.outputs == (Port("y", FLOAT32, None),)
    assert graph.opset == 18


@pytest.mark.parametrize(
    "value",
    [
        3,
        -1,
        0,
        1.5,
        -0.0,
        "SAME_UPPER",
        "",
        [1, -2, 300],
        [0.5, -2.0],
        np.arange(6.0).reshape(2, 3),
    ],
    ids=repr,
)
def test_attributes_of_each_kind(value: Any) -> None:
    stored = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
    agree(model(relu(alpha=stored)).SerializeToString())


def test_packed_attributes() -> None:
    """Some writers pack repeated numbers, as other versions of protobuf do."""
    ints = b"\x01\xac\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    floats = np.array([1.5, -2], "<f4").tobytes()
    attribute = onnx.AttributeProto(name="a", type=onnx.AttributeProto.INTS).SerializeToString()
    assert _with_attribute(attribute + bytes([8 << 3 | 2, len(ints)]) + ints) == (1, 300, -2)
    attribute = onnx.AttributeProto(name="a", type=onnx.AttributeProto.FLOATS).SerializeToString()
    assert _with_attribute(attribute + bytes([7 << 3 | 2, 8]) + floats) == (1.5, -2.0)


def _with_attribute(attribute: bytes) -> Any:
    """Reads a graph of one node with the attribute `a` of these bytes."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    node = relu().SerializeToString() + field(5, attribute)
    rest = model().graph
    del rest.node[:]
    graph = field(1, node) + rest.SerializeToString()
    opset = helper.make_opsetid("", 18).SerializeToString()
    return read(field(7, graph) + field(8, opset)).nodes[0].attributes["a"]


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -2.0], [np.inf, 1e-40]], np.float32),
        np.array([1.5, -1e300]),
        np.array([1.5, -65504, 6e-8], np.float16),
        np.array([-(1 << 31), (1 << 31) - 1], np.int32),
        np.array([-(1 << 63), 0, (1 << 63) - 1], np.int64),
        np.array([-128, 127], np.int8),
        np.array([0, 255], np.uint8),
        np.array([True, False, True]),
        np.array(7, np.int64),
        np.zeros((0, 3), np.float32),
    ],
    ids=lambda array: array.dtype.name + str(list(array.shape)),
)
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_each_kind(array: Any, raw: bool) -> None:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    values = array.tobytes() if raw else array.ravel()
    tensor = helper.make_tensor("w", kind, array.shape, values, raw=raw)
    stored = read(model(stored=[tensor])).constants["w"]
    assert same(stored, array)
    assert not stored.flags.writeable
    assert stored.flags.aligned


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value_float": 1.5}, np.float32(1.5)),
        ({"value_floats": [1.5, 2.0]}, np.array([1.5, 2], np.float32)),
        ({"value_int": -3}, np.int64(-3)),
        ({"value_ints": [1, 2]}, np.array([1, 2])),
        ({"value": numpy_helper.from_array(np.eye(2))}, np.eye(2)),
    ],
)
def test_constant_nodes_become_constants(attributes: Any, expected: Any) -> None:
    constant = helper.make_node("Constant", [], ["c"], **attributes)
    graph = read(model(constant, helper.make_node("Mul", ["x", "c"], ["y"])))
    assert [node.op for node in graph.nodes] == ["Mul"]
    assert same(graph.constants["c"], np.asarray(expected))


def test_inputs_with_an_initializer_are_constants() -> None:
    x, w = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 3, 4]) for n in "xw")
    weights = numpy_helper.from_array(np.zeros((1, 2, 3, 4), np.float32), "w")
    graph = read(model(inputs=[x, w], stored=[weights]))
    assert [port.name for port in graph.inputs] == ["x"]
    assert "w" in graph.constants


def test_optional_inputs_and_outputs_may_be_left_out() -> None:
    node = helper.make_node("Clip", ["x", "", "x"], ["y", ""])
    (read_node,) = read(model(node)).nodes
    assert read_node.inputs == ("x", "", "x")
    assert read_node.outputs == ("y", "")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([relu("t", "y"), relu("x", "t")], "node 'y' reads 't' before anything writes it"),
        ([relu("x", "y"), relu("x", "y")], "node 'y' writes 'y' again"),
        ([relu("x", "x"), relu("x", "y")], "node 'x' writes 'x' again"),
        ([relu("x", "t")], "no node gives the graph's output 'y'"),
        ([helper.make_node("Relu", ["x"], [])], r"node 0 \('Relu'\) has no output"),
        ([relu(name="n"), relu("x", "t", name="n")], "two nodes have the same name"),
        ([relu(alpha=["a", "b"])], r"node 0 \('Relu'\) has the attribute 'alpha' of a kind"),
    ],
)
def test_nodes_that_do_not_fit_are_refused(nodes: Any, message: str) -> None:
    refuse(model(*nodes), message)


def test_subgraphs_are_refused() -> None:
    branch = helper.make_graph([relu()], "b", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch)
    refuse(model(node), "attribute 'then_branch' of a kind that is not taken")


def test_what_scan_refuses_is_refused() -> None:
    refuse(model(helper.make_node("Loop", ["x"], ["y"])), "the operator Loop is not taken")


def test_one_operator_set_is_needed() -> None:
    both = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx", 17)]
    refuse(model(opsets=both), "2 operator sets")
    proto = model()
    del proto.opset_import[:]
    refuse(proto, "0 operator sets")


def test_names_are_needed_and_unique() -> None:
    weights = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    refuse(model(stored=[weights, weights]), "two initializers have the same name")
    refuse(model(stored=[numpy_helper.from_array(np.zeros(1))]), "an initializer has no name")
    nameless = helper.make_tensor_value_info("", TensorProto.FLOAT, [1])
    refuse(model(relu("w"), inputs=[nameless], stored=[weights]), "output of the graph has no name")
    node = relu(alpha=1)
    node.attribute.add().CopyFrom(node.attribute[0])
    refuse(model(node), "has 'alpha' twice")


def test_attributes_without_a_value_are_refused() -> None:
    node = relu(alpha=1.0)
    node.attribute[0].ClearField("f")
    refuse(model(node), "attribute 'alpha' has 0 values")
    node.attribute[0].ClearField("type")
    refuse(model(node), "attribute 'alpha' of a kind")


def test_constants_of_other_kinds_are_refused() -> None:
    refuse(model(helper.make_node("Constant", [], ["y"], value_string="s")), "a constant of a kind")
    refuse(model(helper.make_node("Constant", [], ["y"])), "a constant of a kind")


def _tensor(kind: int, dims: list[int], **data: Any) -> Any:
    return TensorProto(name="w", data_type=kind, dims=dims, **data)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (_tensor(TensorProto.INT8, [1], int32_data=[128]), "its element type cannot hold"),
        (_tensor(TensorProto.UINT8, [1], int32_data=[-1]), "its element type cannot hold"),
        (_tensor(TensorProto.BOOL, [1], int32_data=[2]), "its element type cannot hold"),
        (_tensor(TensorProto.FLOAT16, [1], int32_data=[65536]), "its element type cannot hold"),
        (_tensor(TensorProto.BFLOAT16, [1], int32_data=[65536]), "its element type cannot hold"),
        (_tensor(TensorProto.UINT16, [1], raw_data=b"ab"), "element type 4, which is not"),
        (_tensor(TensorProto.FLOAT, [1], int32_data=[1]), "its data in one form"),
        (_tensor(TensorProto.FLOAT, [1], float_data=[1, 2]), "has 2 elements, but 1 by its dims"),
        (_tensor(TensorProto.INT64, [4], int64_data=[300, 300]), "has 2 elements, but 4"),
        (_tensor(TensorProto.FLOAT, [0] + [(1 << 31) - 1] * 3), "dimensions that no tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensor: Any, message: str) -> None:
    refuse(model(stored=[tensor]), message)


@pytest.mark.parametrize(
    "data", [{"raw_data": b"\x80\x3f\x00\xc0"}, {"int32_data": [16256, 49152]}]
)
def test_bfloat16_is_read_as_bits(data: dict[str, Any]) -> None:
    stored = model(stored=[_tensor(TensorProto.BFLOAT16, [2], **data)])
    values = read(stored).constants["w"]
    assert values.dtype == BFLOAT16
    assert values["bfloat16"].tolist() == [0x3F80, 0xC000]  # 1.0 and -2.0
    with pytest.raises(TypeError):
        values + 1


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["analysis", "hyper_synthesis"]), st.data())
def test_damaged_graphs_are_read_or_refused(name: str, data: Any) -> None:
    graph = bytearray(hyperprior_parts().graphs[name])
    for _ in range(data.draw(st.integers(1, 4))):
        graph[data.draw(st.integers(0, len(graph) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(EngineError):
        read(bytes(graph))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(EngineError):
        read(data)
