"""Exported graphs hold what a deployed network needs, and the check finds what it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from fcmrt.errors import EngineError  # noqa: E402
from fcmrt.export.cleaning import assert_clean, clean, leftovers, with_types  # noqa: E402
from fcmrt.export.layers import GDN  # noqa: E402
from fcmrt.export.onnx import export_graph  # noqa: E402

from .float_networks import NETWORKS, FloatNetwork  # noqa: E402


class Training(nn.Module):
    """What a network in training has, and a deployed one does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.conv, self.again = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.same = nn.Conv2d(8, 8, 1)
        self.same.load_state_dict(self.again.state_dict())
        self.gdn, self.dropout, self.nothing = GDN(8), nn.Dropout(0.5), nn.Identity()
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.uniform_(self.norm.running_mean, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.norm(self.conv(x)))
        x = self.nothing(self.gdn(self.again(x))).double().float()
        return self.same(x) + torch.ones(8, 1, 1).cumsum(0)


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_what_only_training_needs_is_gone() -> None:
    torch.manual_seed(0)
    module = Training().eval()
    x = torch.randn(1, 4, 6, 5)
    graph = export_graph(module, [x], ["x"], ["y"], half_weights=False)
    model = onnx.load_from_string(graph)
    assert_clean(model)
    ops = [node.op_type for node in model.graph.node]
    assert ops.count("Conv") == 4
    assert not {"BatchNormalization", "Dropout", "Identity", "Clip", "Max", "Cast"} & set(ops)
    assert model.opset_import[0].version == 18
    # Two convolutions share their weights, which are stored once.
    assert sum(list(tensor.dims) == [8, 8, 1, 1] for tensor in model.graph.initializer) == 2
    with torch.no_grad():
        np.testing.assert_allclose(run(graph, x.numpy()), module(x).numpy(), rtol=1e-4, atol=1e-5)


class Padding(nn.Module):
    """Two more channels, of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 0, 0, 0, 0, 2))


def test_the_widths_of_a_padding_are_stored() -> None:
    x = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    graph = export_graph(Padding(), [x], ["x"], ["y"])
    model = onnx.load_from_string(graph)
    assert_clean(model)
    assert [node.op_type for node in model.graph.node] == ["Pad"]
    np.testing.assert_array_equal(run(graph, x.numpy()), Padding()(x).numpy())


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("half_weights", [True, False])
def test_networks_of_the_families_are_clean(network: FloatNetwork, half_weights: bool) -> None:
    model = onnx.load_from_string(network.export(half_weights=half_weights))
    assert_clean(model)
    # Nodes are named after the modules that they come from: "/stages.0/.../body.2/Conv".
    children = {name for name, _ in network.module.named_children()}
    paths = [node.name.split("/") for node in model.graph.node if node.op_type == "Conv"]
    assert {path[1].split(".")[0] for path in paths} <= children


def model_of(nodes: Sequence[Any], stored: Sequence[Any] = (), opset: int = 18) -> Any:
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [port("x", TensorProto.FLOAT, [1, 4, "h", "w"])],
        [port("y", TensorProto.FLOAT, [1, None, None, None])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], output, **attributes)


C = numpy_helper.from_array(np.ones((4, 1, 1), np.float32), "c")
W = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
RANGE = numpy_helper.from_array(np.arange(4, dtype=np.float32), "s")


def outside() -> Any:
    tensor = numpy_helper.from_array(np.ones((4, 1, 1), np.float32), "c")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model_of([node("Add", "x c")], [tensor])


def double_name() -> Any:
    model = with_types(model_of([node("Relu", "x", "a"), node("Neg", "a")]))
    model.graph.node[0].name = "y"
    return model


def custom_domain() -> Any:
    model = with_types(model_of([node("Relu", "x")]))
    model.graph.node[0].domain = "com.microsoft"
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: model_of([node("Relu", "x")], opset=17), r"operator sets \[\('', 17\)\]"),
        (custom_domain, "domain 'com.microsoft'"),
        (double_name, "2 nodes are named 'y'"),
        (lambda: model_of([node("Relu", "x", "a"), node("Identity", "a")]), "has no effect"),
        (lambda: model_of([node("Dropout", "x")]), "has no effect"),
        (lambda: model_of([node("Add", "x c")], [C, W]), "constant 'w' is not used"),
        (lambda: model_of([node("Relu", "x", "a"), node("Neg", "x")]), r"'a' .*nothing reads it"),
        (
            lambda: model_of([node("Max", "c c", "bound"), node("Add", "x bound")], [C]),
            r"'bound' \(Max\): all its inputs are constant",
        ),
        (
            lambda: with_types(model_of([node("Cast", "x", "d", to=1), node("Add", "d x")])),
            "casts to the same type",
        ),
        (
            lambda: with_types(model_of([node("Cast", "x", "a", to=11), node("Cast", "a", to=1)])),
            "casts what was just cast",
        ),
        (
            lambda: model_of(
                [node("Conv", "x w", "a"), node("BatchNormalization", "a s s s s")], [W, RANGE]
            ),
            "could be folded into the convolution",
        ),
        (lambda: model_of([node("Relu", "x", "a"), node("Neg", "a")]), "type of 'a' is not stated"),
        (
            lambda: model_of(
                [node("Add", "x c", "a"), node("Add", "a d")],
                [C, numpy_helper.from_array(np.ones((4, 1, 1), np.float32), "d")],
            ),
            "constant 'd' is stored as 'c' as well",
        ),
        (outside, "constant 'c' is stored outside the file"),
    ],
)  # fmt: skip
def test_the_check_finds_it(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        assert_clean(make())


def test_training_mode_is_found() -> None:
    made = helper.make_node(
        "BatchNormalization", ["x", *"ssss"], ["y", "m", "v"], "y", training_mode=1
    )
    assert any("is in training mode" in found for found in leftovers(model_of([made], [RANGE])))


def test_cleaning_makes_it_clean_and_leaves_its_argument() -> None:
    nodes = [
        node("Max", "c c", "bound"),
        node("Identity", "x", "same"),
        node("Add", "same bound", "sum"),
        node("Cast", "sum", "wide", to=TensorProto.DOUBLE),
        node("Cast", "wide", to=TensorProto.FLOAT),
    ]
    model = model_of(nodes, [C, W])
    before = model.SerializeToString()
    assert len(leftovers(model)) > 4
    result = clean(model)
    assert model.SerializeToString() == before
    assert_clean(result)
    assert [kept.op_type for kept in result.graph.node] == ["Add"]
    assert result.graph.input == model.graph.input
