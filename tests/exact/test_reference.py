"""The float64 reference against ONNX's own evaluator and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from fcmrt.exact.proof import prove
from fcmrt.exact.reference import Reference, Statistics
from fcmrt.onnxgraph import read_graph

from .graphs import Array, random_inputs, random_model

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
    model, channels = random_model(seed)
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
    model, channels = random_model(seed)
    graph = read_graph(model, "graph")
    inputs = random_inputs(channels, seed, side)
    names = [port.name for port in graph.outputs]
    (expected,) = Reference(graph).run(inputs, names)
    evaluator = ReferenceEvaluator(model)
    (found,) = evaluator.run(None, inputs)
    np.testing.assert_array_equal(found, expected)
