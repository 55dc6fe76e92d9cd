"""The reference runner: exact graphs in NumPy, the others in the widest floats there are."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from fcmrt import RuntimeOptions
from fcmrt.errors import EngineError
from fcmrt.runner import make_runner
from tests import engines


def run(runner: Any, graph: str, exact: bool) -> list[Any]:
    engine = engines.tiny_hyperprior()
    draw = np.random.default_rng(0)
    inputs, outputs = {
        "hyper_synthesis": ({"z_hat": (1, 4, 3, 5)}, ("y_mean", "y_index")),
        "synthesis": ({"y_hat": (1, 12, 3, 5)}, ("p3_hat", "p4_hat")),
    }[graph]
    given = {n: np.round(draw.normal(0, 9, s)).astype(np.float32) for n, s in inputs.items()}
    return list(runner.load(graph, engine.graph(graph), exact=exact).run(given, outputs))


@pytest.mark.parametrize("torch", [True, False])
def test_it_agrees_with_onnxruntime(monkeypatch: pytest.MonkeyPatch, torch: bool) -> None:
    if torch:
        pytest.importorskip("torch")
    else:
        monkeypatch.setitem(sys.modules, "torch", None)
    reference = make_runner(RuntimeOptions(runner="reference"))
    assert ("torch" in reference.identity) == torch
    assert ("onnxruntime" in reference.identity) != torch
    plain = make_runner(RuntimeOptions())
    for wanted, found in zip(
        run(plain, "hyper_synthesis", True), run(reference, "hyper_synthesis", True), strict=True
    ):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, wanted)
    for wanted, found in zip(
        run(plain, "synthesis", False), run(reference, "synthesis", False), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_graph_it_cannot_read_is_refused() -> None:
    with pytest.raises(EngineError, match="graph 'x'"):
        make_runner(RuntimeOptions(runner="reference")).load("x", b"\xff", exact=True)
