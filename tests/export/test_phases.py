"""Transposed convolutions become plain ones that give the same values."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from fcmrt.export.phases import MIN_CHANNELS, phases_of, split_transposed  # noqa: E402


def traced(module: nn.Module, channels: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, channels, 3, 4),),
            buffer,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
            opset_version=18,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@settings(max_examples=40, deadline=None)
@given(
    stride=st.integers(2, 3),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    less=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    bias=st.booleans(),
)
def test_the_values_stay(
    stride: int,
    padding: tuple[int, int],
    less: tuple[int, int],
    sides: tuple[int, int],
    bias: bool,
) -> None:
    extra = [min(e, p, stride - 1) for e, p in zip(less, padding, strict=True)]
    kernel = [stride - e + 2 * p for e, p in zip(extra, padding, strict=True)]
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(
        3,
        MIN_CHANNELS,
        (kernel[0], kernel[1]),
        stride,
        padding,
        (extra[0], extra[1]),
        bias=bias,
    )
    before = traced(module, 3)
    model = split_transposed(before)
    assert operators(before) == {"ConvTranspose"}
    assert operators(model) == {"Conv", "Concat", "DepthToSpace"}
    x = np.random.default_rng(0).standard_normal((2, 3, *sides), np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def test_weights_are_stored_once_and_names_stay() -> None:
    before = traced(nn.Sequential(nn.ConvTranspose2d(4, 32, 5, 2, 2, 1), nn.ReLU()), 4)
    model = split_transposed(before)
    sizes = [np.prod(t.dims) for t in model.graph.initializer]
    assert sum(sizes) == 4 * 32 * 25 + 32
    names = {node.name for node in before.graph.node}
    assert names <= {node.name for node in model.graph.node}
    stored = {tensor.name for tensor in model.graph.initializer}
    assert before.graph.initializer[0].name not in stored


@pytest.mark.parametrize(
    "module",
    [
        nn.ConvTranspose2d(4, MIN_CHANNELS - 1, 5, 2, 2, 1),
        nn.ConvTranspose2d(4, 16, 3, 1, 1),
        nn.ConvTranspose2d(4, 32, 5, 2, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 16, 3, 2, 2, 1, dilation=2),
        nn.ConvTranspose2d(4, 16, 5, 2, 2),
        nn.ConvTranspose2d(4, 16, 5, (2, 1), 2),
    ],
    ids=["few outputs", "stride 1", "groups", "dilation", "shorter", "uneven"],
)
def test_others_stay_as_they_are(module: nn.Module) -> None:
    before = traced(module, 4)
    assert split_transposed(before) == before


def test_two_layers_may_share_weights() -> None:
    layer = nn.ConvTranspose2d(16, 16, 4, 2, 1)
    model = split_transposed(traced(nn.Sequential(layer, layer), 16))
    x = np.random.default_rng(1).standard_normal((1, 16, 2, 3), np.float32)
    with torch.no_grad():
        expected = layer(layer(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-5)


def test_a_remainder_that_looks_to_one_side_only_is_refused() -> None:
    assert phases_of(kernel=2, stride=2, begin=0, end=0, extra=0) is not None
    assert phases_of(kernel=3, stride=4, begin=0, end=0, extra=1) is None
