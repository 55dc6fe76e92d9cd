"""Graphs in float16 and bfloat16: typed throughout, near float32, and never the exact path."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper, shape_inference  # noqa: E402

from fcmrt import RuntimeOptions  # noqa: E402
from fcmrt.errors import EngineError  # noqa: E402
from fcmrt.export.cleaning import assert_clean  # noqa: E402
from fcmrt.export.layers import GDN  # noqa: E402
from fcmrt.export.onnx import export_graph  # noqa: E402
from fcmrt.export.precision import Precision, with_precision  # noqa: E402
from fcmrt.runner import make_runner  # noqa: E402
from tests import engines  # noqa: E402

from .float_networks import NETWORKS, FloatNetwork  # noqa: E402

HALVES: tuple[Precision, ...] = ("fp16", "bf16")
TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
# Largest error in parts of the largest value, of networks of up to forty layers.
TOLERANCES = {"fp16": 0.01, "bf16": 0.08}
Arrays = dict[str, npt.NDArray[np.float32]]


@functools.cache
def graph_of(network: FloatNetwork, precision: Precision) -> bytes:
    return network.export(precision=precision, half_weights=False)


def run(graph: bytes, inputs: Arrays, runner: Any = "torch") -> Arrays:
    names = [port.name for port in onnx.load_from_string(graph).graph.output]
    network = make_runner(RuntimeOptions(runner=runner, threads=1)).load("g", graph, exact=False)
    return dict(zip(names, network.run(inputs, names), strict=True))


def error(found: Arrays, wanted: Arrays) -> float:
    assert found.keys() == wanted.keys()
    return max(
        float(np.abs(found[name] - values).max() / np.abs(values).max())
        for name, values in wanted.items()
    )


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("network", NETWORKS, ids=str)
@settings(max_examples=3)
@given(seed=st.integers(0, 1000), side=st.sampled_from([8, 16]))
def test_it_is_near_float32(
    network: FloatNetwork, precision: Precision, seed: int, side: int
) -> None:
    inputs = network.inputs(seed, side)
    wanted = run(graph_of(network, "fp32"), inputs, "reference")
    found = run(graph_of(network, precision), inputs)
    assert all(values.dtype == np.float32 for values in found.values())
    assert 0 < error(found, wanted) < TOLERANCES[precision]


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_types_stand_in_the_graph(network: FloatNetwork, precision: Precision) -> None:
    model = onnx.load_from_string(graph_of(network, precision))
    assert_clean(model)
    shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    ports = (*model.graph.input, *model.graph.output)
    assert {port.type.tensor_type.elem_type for port in ports} == {TensorProto.FLOAT}
    large = {t.name: t.data_type for t in model.graph.initializer if max(t.dims[2:], default=1) > 1}
    types = {"Conv": set[int](), "ConvTranspose": set[int]()}
    for node in model.graph.node:
        if node.op_type in types and node.input[1] in large:
            types[node.op_type].add(large[node.input[1]])
    narrow = TYPES[precision]
    assert types["Conv"] | types["ConvTranspose"]
    assert types["Conv"] <= {narrow}
    # TensorRT-RTX takes no transposed convolution in bfloat16.
    assert types["ConvTranspose"] <= {TensorProto.FLOAT if precision == "bf16" else narrow}
    full, half = len(graph_of(network, "fp32")), len(graph_of(network, precision))
    assert half < (1 if TensorProto.FLOAT in types["ConvTranspose"] else 0.9) * full


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_onnx_runtime_has_float16_and_says_who_has_bfloat16(network: FloatNetwork) -> None:
    inputs = network.inputs(1)
    wanted = run(graph_of(network, "fp32"), inputs)
    assert error(run(graph_of(network, "fp16"), inputs, "onnxruntime"), wanted) < 0.01
    with pytest.raises(EngineError, match="bfloat16, which the runner 'torch' has"):
        run(graph_of(network, "bf16"), inputs, "onnxruntime")


@pytest.mark.parametrize("inverse", [False, True])
def test_squares_do_not_overflow(inverse: bool) -> None:
    torch.manual_seed(0)
    x = 1000 * torch.randn(1, 8, 4, 4)
    gdn = GDN(8, inverse)
    with torch.no_grad():
        gdn.gamma.mul_(0.01)  # so that the inverse's results fit
    graph = export_graph(gdn, [x], ["x"], ["y"], precision="fp16")
    with torch.no_grad():
        wanted = {"y": gdn(x).numpy()}
    assert error(run(graph, {"x": x.numpy()}), wanted) < 0.002


def one_node(constant: npt.NDArray[np.float32], *, op: str = "Add") -> bytes:
    """Relu, the node with a constant, Relu: so that it stands at no border."""
    port = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node(op, ["a", "c"], ["b"], "middle"),
        helper.make_node("Relu", ["b"], ["y"], "last"),
    ]
    ports = [[port(name, TensorProto.FLOAT, [1, constant.size])] for name in "xy"]
    graph = helper.make_graph(nodes, "g", *ports, [numpy_helper.from_array(constant, "c")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    made: bytes = model.SerializeToString()
    return made


def test_constants_stay_within_the_type() -> None:
    values = np.array([1e6, -1e6, 1e-12, -1e-12, 0, np.inf, 0.1], np.float32)
    model = onnx.load_from_string(with_precision(one_node(values), "fp16"))
    (stored,) = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    assert stored.dtype == np.float16
    largest, smallest = np.finfo(np.float16).max, np.finfo(np.float16).smallest_subnormal
    wanted = [largest, -largest, smallest, -smallest, 0, np.inf, np.float16(0.1)]
    np.testing.assert_array_equal(stored, wanted)
    model = onnx.load_from_string(with_precision(one_node(values), "bf16"))
    (tensor,) = model.graph.initializer
    wanted = torch.from_numpy(values).to(torch.bfloat16)
    found = torch.from_numpy(np.frombuffer(tensor.raw_data, "<i2").copy()).view(torch.bfloat16)
    assert torch.equal(found, wanted)


class Scaled(torch.nn.Module):
    """A product with a number, and one with weights that take it back."""

    def __init__(self, number: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = (torch.nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.number = number
        with torch.no_grad():
            self.middle.weight.div_(number)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.first(x).relu() * self.number).relu())


@pytest.mark.parametrize("number", [1e-7, 1e-5, 1.0, 1e6, 1e9])
def test_products_with_what_float16_does_not_hold_stay_float32(number: float) -> None:
    network, x = Scaled(number), torch.randn(1, 8, 12, 12)
    graph = export_graph(network, [x], ["x"], ["y"], precision="fp16")
    with torch.no_grad():
        wanted = {"y": network(x).numpy()}
    assert error(run(graph, {"x": x.numpy()}), wanted) < 0.003
    kept = {t.data_type for t in onnx.load_from_string(graph).graph.initializer}
    assert (TensorProto.FLOAT in kept) == (number not in (1e-5, 1.0))


def test_nodes_can_be_kept() -> None:
    graph = one_node(np.ones(4, np.float32), op="Mul")
    kept = onnx.load_from_string(with_precision(graph, "fp16", keep=["middle"]))
    assert [tensor.data_type for tensor in kept.graph.initializer] == [TensorProto.FLOAT]
    assert [node.op_type for node in kept.graph.node].count("Cast") == 4
    with pytest.raises(EngineError, match="no node of the graph is named nowhere"):
        with_precision(graph, "fp16", keep=["nowhere"])


def test_equal_arguments_give_equal_bytes() -> None:
    graph = graph_of(NETWORKS[0], "fp32")
    assert with_precision(graph, "bf16") == with_precision(graph, "bf16")


@pytest.mark.parametrize("precision", [*HALVES, "fp32"])
def test_what_decides_bytes_is_refused(precision: Precision) -> None:
    engine = engines.tiny_hyperprior()
    for name in engine.manifest.exact:
        with pytest.raises(EngineError, match=r"is not float32|is exact and must stay so"):
            with_precision(engine.graph(name), precision)


def test_exact_graphs_are_refused_whatever_they_give() -> None:
    engine = engines.tiny_hyperprior()
    (name, *_) = engine.manifest.exact
    model = onnx.load_from_string(engine.graph(name))
    casts = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    for port in model.graph.output:  # the same integers, before they are cast
        port.type.tensor_type.elem_type = TensorProto.FLOAT
        port.name = casts[port.name]
    nodes = [node for node in model.graph.node if node.output[0] not in casts]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(EngineError, match=r"is not float32|is exact and must stay so"):
        with_precision(model.SerializeToString(), "fp16")
