"""The float64 reference against ONNX's own evaluator and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from fcmrt.errors import EngineError
from fcmrt.exact.proof import prove
from fcmrt.exact.reference import Reference, Statistics
from fcmrt.onnxgraph import read_graph

from .graphs import Array, Maker, provable_model, random_inputs

_SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def run_onnxruntime(model: bytes, inputs: dict[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, inputs)
    return results


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), _SIDES)
def test_proved_graphs_agree_and_keep_their_bounds(seed: int, side: tuple[int, int]) -> None:
    model, channels = provable_model(seed)
    graph = read_graph(model, "graph")
    proof = prove(graph, "graph")
    inputs = random_inputs(channels, seed, side)
    statistics = Statistics()
    names = [port.name for port in graph.outputs]
    (expected,) = Reference(graph).run(inputs, names, statistics)
    (found,) = run_onnxruntime(model, inputs)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert statistics.largest.keys() == proof.layers.keys()
    for name, largest in statistics.largest.items():
        units = np.ldexp(largest, proof.units[name])
        assert (units == np.rint(units)).all()
        assert units.max() <= proof.layers[name]


@settings(max_examples=25)
@given(st.integers(0, 1 << 32), _SIDES)
def test_the_evaluator_of_onnx_agrees(seed: int, side: tuple[int, int]) -> None:
    model, channels = provable_model(seed)
    graph = read_graph(model, "graph")
    # The evaluator of onnx 1.23 does not work for these.
    assume(not any(n.op == "ConvTranspose" and n.attributes["group"] != 1 for n in graph.nodes))
    inputs = random_inputs(channels, seed, side)
    names = [port.name for port in graph.outputs]
    (expected,) = Reference(graph).run(inputs, names)
    evaluator = ReferenceEvaluator(model)
    (found,) = evaluator.run(None, inputs)
    np.testing.assert_array_equal(found, expected)


def test_sizes_that_do_not_fit_are_refused_by_name() -> None:
    g = Maker(np.random.default_rng(0))
    x = g.conv(g.whole(g.input("x", 1, 2, "H", "W"), -9, 9), np.ones((1, 2, 3, 3)))
    graph = g.graph({x: "float32"})
    with pytest.raises(EngineError, match=rf"layer '{x}' \(Conv\): does not fit the sizes"):
        Reference(graph).run({"x": np.ones((1, 2, 2, 5), np.float32)}, [f"{x}_out"])
