"""Explicit int8: what stands in the graph, what it costs, and what is refused."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

from fcmrt import RuntimeOptions  # noqa: E402
from fcmrt.errors import EngineError  # noqa: E402
from fcmrt.export.calibration import METHODS  # noqa: E402
from fcmrt.export.cleaning import assert_clean  # noqa: E402
from fcmrt.export.int8 import outer_layers, with_int8  # noqa: E402
from fcmrt.export.onnx import export_graph  # noqa: E402
from fcmrt.runner import make_runner  # noqa: E402
from tests import engines  # noqa: E402

from .float_networks import NETWORKS, FloatNetwork  # noqa: E402

TOLERANCE = 0.1  # root of the mean squared error over the energy, of up to fifty layers


def run(graph: bytes, inputs: dict[str, npt.NDArray[np.float32]], runner: Any) -> list[Any]:
    names = [port.name for port in onnx.load_from_string(graph).graph.output]
    options = RuntimeOptions(runner=runner, threads=1)
    return make_runner(options).load("g", graph, exact=False).run(inputs, names)


def distance(found: list[Any], wanted: list[Any]) -> float:
    return max(
        float(np.sqrt(np.mean((one - other) ** 2) / np.mean(other**2)))
        for one, other in zip(found, wanted, strict=True)
    )


def attribute(node: Any, name: str) -> int:
    return int(next(value.i for value in node.attribute if value.name == name))


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_it_is_near_float32_and_symmetric(network: FloatNetwork) -> None:
    feeds = [network.inputs(seed) for seed in range(4)]
    graph = network.export(precision="int8", calibration=feeds)
    model = onnx.load_from_string(graph)
    assert_clean(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantising = [n for n in model.graph.node if n.op_type.endswith("eLinear")]
    assert quantising
    for node in quantising:
        assert stored[node.input[2]].dtype == np.int8
        assert not stored[node.input[2]].any()
        if node.input[0] in stored:
            assert stored[node.input[0]].min() >= -127
            assert stored[node.input[1]].shape == stored[node.input[2]].shape
            channels = stored[node.input[0]].shape[attribute(node, "axis")]
            assert stored[node.input[1]].shape == (channels,)
    dequantised = {n.output[0] for n in quantising if n.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert set(node.input[:2]) <= dequantised
            if len(node.input) > 2:
                assert stored[node.input[2]].dtype == np.float32
    ports = (*model.graph.input, *model.graph.output)
    assert {port.type.tensor_type.elem_type for port in ports} == {TensorProto.FLOAT}

    inputs = network.inputs(99)
    wanted = run(network.export(half_weights=False), inputs, "reference")
    found = run(graph, inputs, "torch")
    assert 1e-4 < distance(found, wanted) < TOLERANCE
    # Values at a tie round to either side, and later layers see it.
    assert distance(run(graph, inputs, "onnxruntime"), found) < TOLERANCE / 4


@pytest.mark.parametrize("layer", [
    nn.Conv2d(6, 8, 3), nn.Conv2d(6, 8, 3, groups=2), nn.ConvTranspose2d(6, 8, 3, 2),
    nn.Linear(6, 8), nn.Linear(6, 8, bias=False),
], ids=str)  # fmt: skip
def test_weights_are_rounded_by_output_channel(layer: nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        layer.weight.mul_(2.0 ** torch.arange(layer.weight.shape[0]).reshape(
            -1, *[1] * (layer.weight.ndim - 1)))  # fmt: skip
    x = torch.randn(4, 6) if isinstance(layer, nn.Linear) else torch.randn(1, 6, 8, 8)
    feed = {"x": x.numpy()}
    port = {"x": {0: "n"}, "y": {0: "n"}}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, see `export_graph`
        torch.onnx.export(layer.eval(), (x,), file, input_names=["x"], output_names=["y"],
                          dynamic_axes=port, opset_version=18, dynamo=False)  # fmt: skip
    model = onnx.load_from_string(with_int8(file.getvalue(), [feed], method="minmax"))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (node,) = (n for n in model.graph.node if n.input[0] in stored)
    whole, scales = (stored[name] for name in node.input[:2])
    axis = attribute(node, "axis")
    along = [-1 if k == axis else 1 for k in range(whole.ndim)]
    back = whole * scales.reshape(along)
    weights = layer.weight.detach().numpy()
    if back.shape != weights.shape:
        back = back.T
        axis = 1 - axis
    limits = scales.reshape([-1 if k == axis else 1 for k in range(whole.ndim)]) / 2
    assert (np.abs(back - weights) <= limits * 1.001).all()
    others = tuple(k for k in range(whole.ndim) if k != axis)
    assert (np.abs(back).max(others) == np.abs(weights).max(others)).mean() > 0.5
    # A layer that is not transposed has its outputs, which differ in size here, on the first axis.
    assert axis == (1 if isinstance(layer, nn.ConvTranspose2d) else 0)


@pytest.mark.parametrize("method", METHODS)
def test_outer_layers_can_be_kept(method: Any) -> None:
    network = NETWORKS[1]
    graph = network.export(half_weights=False)
    feeds = [network.inputs(seed, side=64) for seed in range(2)]
    outer = outer_layers(graph)
    assert {"/entry/main/main.0/body/body.0/Conv", "/entry/gate/gate.0/body/body.0/Conv"} < outer
    assert 3 <= len(outer) <= 6
    made = with_int8(graph, feeds, method=method, keep=outer)
    model = onnx.load_from_string(made)
    producers = {n.output[0]: n.op_type for n in model.graph.node}
    kept = {n.name for n in model.graph.node
            if n.op_type == "Conv" and producers.get(n.input[1]) != "DequantizeLinear"}  # fmt: skip
    assert kept == outer
    wanted = run(graph, feeds[0], "torch")
    # Entropy cuts more off than the others, here as on real features.
    limit = 3 * TOLERANCE if method == "entropy" else TOLERANCE
    assert distance(run(made, feeds[0], "torch"), wanted) < limit
    with pytest.raises(EngineError, match="no layer of the graph is named nowhere"):
        with_int8(graph, feeds, keep=["nowhere"])


def test_a_network_that_is_always_zero_survives() -> None:
    layer = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU())
    with torch.no_grad():
        layer[1].weight.zero_()
    x = -torch.ones(1, 2, 4, 4)
    graph = export_graph(layer, [x], ["x"], ["y"], precision="int8",
                         calibration=[{"x": x.numpy()}])  # fmt: skip
    with torch.no_grad():
        (found,) = run(graph, {"x": x.numpy()}, "torch")
        np.testing.assert_allclose(found, layer(x).numpy(), atol=1e-6)


def test_calibration_is_needed() -> None:
    with pytest.raises(EngineError, match="int8 needs calibration"):
        NETWORKS[0].export(precision="int8")


def test_what_decides_bytes_is_refused() -> None:
    engine = engines.tiny_hyperprior()
    for name in engine.manifest.exact:
        with pytest.raises(EngineError, match=r"is not float32|is exact and must stay so"):
            with_int8(engine.graph(name), [{}])
