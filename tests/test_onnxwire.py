"""The reader of ONNX files: what it finds, what it refuses, and that it never falls over."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fcmrt.errors import EngineError
from fcmrt.onnxwire import FLOAT32, INT32, GraphInfo, Port, scan

from .engines import hyperprior_parts


def look(data: bytes, max_fields: int = 1 << 16, max_tensor_elements: int = 1 << 20) -> GraphInfo:
    return scan(data, "graph 'g'", max_fields=max_fields, max_tensor_elements=max_tensor_elements)


def model(*nodes: Any, stored: Any = (), inputs: Any = None, domain: str = "") -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 2, None, 7])
    graph = helper.make_graph(nodes or [relu()], "g", inputs or [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, 17)])


def relu(**attributes: Any) -> Any:
    return helper.make_node("Relu", ["x"], ["y"], **attributes)


def refuse(proto: Any, message: str, **limits: int) -> None:
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    with pytest.raises(EngineError, match=f"graph 'g': .*{message}"):
        look(data, **limits)


def weights() -> Any:
    return numpy_helper.from_array(np.zeros((2, 2, 1, 1), np.float32), "w")


def test_ports_and_operators():
    info = look(model(stored=[weights()]).SerializeToString())
    assert info.inputs == (Port("x", FLOAT32, (1, 2, None, None)),)
    assert info.outputs == (Port("y", INT32, (1, 2, None, 7)),)
    assert info.ops == {"Relu"}


def test_inputs_with_an_initializer_are_not_inputs():
    x, w = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2, 3, 4]) for n in "xw")
    assert [
        port.name
        for port in look(model(stored=[weights()], inputs=[x, w]).SerializeToString()).inputs
    ] == ["x"]


def test_ports_without_shape_or_tensor():
    bare = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    assert look(model(inputs=[bare]).SerializeToString()).inputs == (Port("x", FLOAT32, None),)
    several = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    assert look(model(inputs=[several]).SerializeToString()).inputs == (Port("x", 0, None),)


def test_subgraphs_are_walked():
    branch = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "b", [], [])
    info = look(
        model(
            helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        ).SerializeToString()
    )
    assert info.ops == {"If", "Abs"}


def test_the_other_name_of_onnx_is_taken():
    look(model(relu(domain="ai.onnx"), domain="ai.onnx").SerializeToString())


@pytest.mark.parametrize("kind", ["initializer", "attribute", "location only", "in a subgraph"])
def test_external_data_is_refused(kind):
    tensor = weights()
    if kind != "location only":
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"
    tensor.data_location = TensorProto.EXTERNAL
    if kind in ("initializer", "location only"):
        proto = model(stored=[tensor])
    else:
        constant = helper.make_node("Constant", [], ["y"], value=tensor)
        if kind == "in a subgraph":
            branch = helper.make_graph([constant], "b", [], [])
            constant = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        proto = model(constant)
    refuse(proto, "'w' keeps its data outside of the file")


def test_foreign_domains_are_refused():
    refuse(model(relu(domain="com.microsoft")), r"node 0 \('Relu'\) is of the domain 'com.micro")
    refuse(model(domain="evil"), "opset_import is of the domain 'evil'")
    branch = helper.make_graph([relu(domain="evil")], "b", [], [])
    refuse(model(helper.make_node("If", ["x"], ["y"], then_branch=branch)), "domain 'evil'")


@pytest.mark.parametrize("op", ["Loop", "Scan", "RandomNormal", "Multinomial", "Dropout"])
def test_operators_without_end_or_with_chance_are_refused(op):
    refuse(model(helper.make_node(op, ["x"], ["y"])), f"the operator {op} is not taken")


@pytest.mark.parametrize("number", [1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 31) - 1, -(1 << 63)])
def test_attributes_beyond_32_bits_are_refused(number):
    """ONNX Runtime divides by the square of a block size, which 64 bits may leave as 0."""
    refuse(model(relu(blocksize=number)), r"node 0 \('Relu'\) has an attribute beyond 32 bits")


@pytest.mark.parametrize("number", [(1 << 31) - 1, 0, -1, -(1 << 31)])
def test_attributes_of_32_bits_are_taken(number):
    assert look(model(relu(blocksize=number)).SerializeToString()).ops == {"Relu"}


def test_functions_and_training_are_refused():
    proto = model()
    proto.functions.add().name = "f"
    refuse(proto, "functions")
    proto = model()
    proto.training_info.add()
    refuse(proto, "training information")
    node = relu()
    node.overload = "o"
    refuse(model(node), "overloaded")
    node = relu(alpha=1.0)
    node.attribute[0].ref_attr_name = "alpha"
    refuse(model(node), "references to a function")


def test_sparse_tensors_are_refused():
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "v"),
        numpy_helper.from_array(np.zeros(1, np.int64), "i"),
        [1 << 40],
    )
    proto = model()
    proto.graph.sparse_initializer.append(sparse)
    refuse(proto, "sparse")
    refuse(model(helper.make_node("Constant", [], ["y"], sparse_value=sparse)), "sparse")


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([1 << 30], "has 1073741824 elements; the limits allow 1048576"),
        ([1 << 20, 1 << 20], "the limits allow"),
        ([2, 2, 2], "has 8 elements by its dims, but 16 bytes of data"),
        ([1, 1], "has 1 elements by its dims, but 16 bytes of data"),
        ([-4], "dimensions that no tensor of a codec has"),
        ([1] * 17, "dimensions that no tensor of a codec has"),
    ],
)
def test_dims_must_fit_the_data(dims, message):
    tensor = weights()
    tensor.ClearField("dims")
    tensor.dims.extend(dims)
    refuse(model(stored=[tensor]), message)


def test_packed_dims_are_read_and_bounded():
    def packed_dims(dims: bytes) -> bytes:
        tensor = weights()
        tensor.ClearField("dims")
        size = len(dims)
        data = tensor.SerializeToString() + bytes([1 << 3 | 2, size & 127 | 128, size >> 7]) + dims
        graph = b"\x2a" + bytes([len(data) & 127 | 128, len(data) >> 7]) + data
        return b"\x3a" + bytes([len(graph) & 127 | 128, len(graph) >> 7]) + graph

    look(packed_dims(b"\x02\x02"))
    refuse(packed_dims(b"\x01" * 10_000), "dimensions that no tensor")


def test_data_in_typed_fields():
    look(
        model(
            stored=[helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])]
        ).SerializeToString()
    )
    look(
        model(
            stored=[helper.make_tensor("w", TensorProto.INT64, [3], [1, 2, 3])]
        ).SerializeToString()
    )
    tensor = helper.make_tensor("w", TensorProto.INT64, [3], [1, 2, 3])
    tensor.dims[0] = 4
    refuse(model(stored=[tensor]), "has 4 elements by its dims, but 3 bytes")


def test_odd_element_types_are_refused():
    refuse(
        model(stored=[helper.make_tensor("w", TensorProto.STRING, [1], [b"s"])]),
        "unknown field 6|element type 8",
    )
    tensor = weights()
    tensor.data_type = 99
    refuse(model(stored=[tensor]), "element type 99")


def test_depth_is_bounded():
    def field(number: int, payload: bytes) -> bytes:
        size = len(payload)
        return (
            bytes([number << 3 | 2, size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + payload
        )

    def nested(depth: int) -> bytes:
        graph = b""
        for _ in range(depth - 1):
            graph = field(1, field(4, b"If") + field(5, field(6, graph)))  # node, attribute, graph
        return field(7, graph)

    look(nested(32))
    refuse(nested(33), "nested deeper than 32")


def test_fields_are_bounded():
    refuse(model(*[relu() for _ in range(100)]), "more than 50 protobuf fields", max_fields=50)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no graph"),
        (b"\x3a", "number without an end"),
        (b"\x3a\x05\x00", "a field of 5 bytes where 1 are left"),
        (b"\x3a" + b"\xff" * 11, "number without an end"),
        (b"\x3b\x00", "wire type 3"),
        (b"\x3d\x00\x00\x00\x00", "graph: not protobuf of ONNX"),
        (b"\x3a\x00\x3a\x00", "graph stands 2 times"),
        (b"\xfa\x7f\x00", "unknown field 2047"),
        (b"\x3a\x05\x0a\x03\x22\x01\xff", "op_type is not UTF-8"),
    ],
)
def test_what_is_not_onnx(data, message):
    refuse(data, message)


def test_two_ports_of_one_name_are_refused():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 4])
    refuse(model(inputs=[x, x]), "two of the graph's inputs have the same name")


def test_large_graphs_take_no_time():
    big = numpy_helper.from_array(np.zeros(25_000_000, np.float32), "w")
    data = model(stored=[big]).SerializeToString()
    start = time.perf_counter()
    look(data, max_tensor_elements=1 << 28)
    assert time.perf_counter() - start < 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["analysis", "hyper_synthesis"]), st.data())
def test_damaged_graphs_are_read_or_refused(name, data):
    graph = bytearray(hyperprior_parts().graphs[name])
    for _ in range(data.draw(st.integers(1, 4))):
        graph[data.draw(st.integers(0, len(graph) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(EngineError):
        look(bytes(graph[: data.draw(st.integers(0, len(graph)))]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(data):
    with pytest.raises(EngineError):
        look(data)


def test_onnx_agrees_about_the_ports():
    for graph in hyperprior_parts().graphs.values():
        proto = onnx.load_from_string(graph).graph
        info = look(graph)
        assert [port.name for port in info.inputs] == [port.name for port in proto.input]
        assert [port.name for port in info.outputs] == [port.name for port in proto.output]
        assert info.ops == {node.op_type for node in proto.node}
