"""Weights stored as float16."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from fcmrt.export.fp16 import store_weights_fp16  # noqa: E402


def make_model(weight: np.ndarray) -> onnx.ModelProto:
    """One matrix product and a sum with a small bias."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 8])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.full(8, 0.1, np.float32), "bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Output of a model on onnxruntime."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_large_weights_are_halved_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 8)).astype(np.float32)
    model = make_model(weight)
    before = model.SerializeToString()
    stored = store_weights_fp16(model)
    onnx.checker.check_model(stored)
    assert model.SerializeToString() == before
    kinds = {t.name: t.data_type for t in stored.graph.initializer}
    assert kinds == {"weight.fp16": TensorProto.FLOAT16, "bias": TensorProto.FLOAT}
    x = rng.standard_normal((2, 16)).astype(np.float32)
    rounded = weight.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(run(stored, x), x @ rounded + np.float32(0.1), rtol=1e-5, atol=1e-5)


def test_values_beyond_float16_stay() -> None:
    stored = store_weights_fp16(make_model(np.full((16, 8), 1e5, np.float32)))
    assert {t.data_type for t in stored.graph.initializer} == {TensorProto.FLOAT}


@pytest.mark.parametrize("scale", [1e-5, 1e-7, 1e-12])
def test_values_too_small_for_float16_stay(scale: float) -> None:
    weight = (scale * np.random.default_rng(0).standard_normal((16, 8))).astype(np.float32)
    stored = store_weights_fp16(make_model(weight))
    assert {t.data_type for t in stored.graph.initializer} == {TensorProto.FLOAT}


def test_a_few_small_values_hold_nothing_up() -> None:
    weight = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    weight[3] *= 1e-9
    stored = store_weights_fp16(make_model(weight))
    assert TensorProto.FLOAT16 in {t.data_type for t in stored.graph.initializer}
