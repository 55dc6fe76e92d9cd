"""Which magnitude becomes the largest integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from fcmrt.export.calibration import LEVELS, METHODS, Method, magnitudes  # noqa: E402


def choose(values: npt.NDArray[np.float32], method: Method) -> float:
    """The magnitude for a value inside a graph, told in two runs."""
    port = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Neg", ["x"], ["a"], "first"),
        helper.make_node("Neg", ["a"], ["y"], "last"),
    ]
    ports = [[port(name, TensorProto.FLOAT, ["n"])] for name in "xy"]
    graph = helper.make_graph(nodes, "g", *ports)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    feeds = [{"x": part} for part in np.array_split(values, 2)]
    found = magnitudes(model, ["a", "x", "y"], feeds, method)
    assert found["a"] == found["x"] == found["y"]
    return found["a"]


def gaussian(count: int = 200_000) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


def squared_error(values: npt.NDArray[Any], limit: float) -> float:
    step = limit / LEVELS
    whole = np.clip(np.rint(values / step), -LEVELS, LEVELS)
    return float(np.mean((values - whole * step) ** 2))


def test_minmax_takes_the_largest() -> None:
    values = gaussian()
    assert choose(values, "minmax") == np.abs(values).max()


def test_percentile_leaves_outliers_out() -> None:
    values = gaussian()
    values[:5] = -1000
    assert choose(values, "minmax") == 1000
    # Bins are as wide as the outlier makes them.
    wanted = np.percentile(np.abs(values[5:]), 99.99)
    assert wanted <= choose(values, "percentile") <= wanted + 2 * 1000 / 2048


@pytest.mark.parametrize("tails", [2.5, 4, 30])
def test_mse_is_near_the_best_limit(tails: float) -> None:
    values = np.random.default_rng(1).standard_t(tails, 100_000).astype(np.float32)
    values = values.clip(-60, 60)
    best = min(squared_error(values, limit) for limit in np.linspace(1, 60, 400))
    assert squared_error(values, choose(values, "mse")) < 1.1 * best


def test_entropy_leaves_outliers_out_and_keeps_a_flat_histogram() -> None:
    values = gaussian()
    values[:5] = 100
    assert 2 < choose(values, "entropy") < 20
    flat = np.random.default_rng(2).uniform(-1, 1, 200_000).astype(np.float32)
    assert choose(flat, "entropy") > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_zeros_has_magnitude_zero(method: Method) -> None:
    assert choose(np.zeros(100, np.float32), method) == 0
