"""The float64 reference against ONNX's own evaluator and ONNX Runtime."""

from __future__ import annotations

from itertools import islice

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from fcmrt.errors import EngineError
from fcmrt.exact.probes import make_probes
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


@settings(max_examples=150)
@given(st.integers(0, 1 << 32), _SIDES)
def test_units_change_no_bit_and_inputs_stay_as_they_are(seed: int, side: tuple[int, int]) -> None:
    model, channels = provable_model(seed)
    graph = read_graph(model, "graph")
    proof = prove(graph, "graph")
    names = [port.name for port in graph.outputs]
    reference = Reference(graph, proof.units)
    shapes = {name: (1, count, *side) for name, count in channels.items()}
    for probe in islice(make_probes(graph, proof, shapes, seed), 4):
        given_before = {name: array.copy() for name, array in probe.items()}
        seen, wanted_seen = Statistics(), Statistics()
        (expected,) = Reference(graph).run(probe, names, wanted_seen)
        (found,) = reference.run(probe, names, seen)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert seen.ties == wanted_seen.ties
        for name, largest in wanted_seen.largest.items():
            np.testing.assert_array_equal(seen.largest[name], largest)
        for name, before in given_before.items():
            np.testing.assert_array_equal(probe[name], before)


@pytest.mark.parametrize("limits", [(), ("low",), ("", "high"), ("low", "high")])
def test_clips_may_lack_limits_and_leave_inputs_alone(limits: tuple[str, ...]) -> None:
    g = Maker(np.random.default_rng(0))
    bounds = {"low": -2.0, "high": 1.0}
    x = g.input("x", 1, 1, "H", "W")
    x = g.op("Clip", x, *(g.constant(bounds[name]) if name else "" for name in limits))
    graph = g.graph({g.whole(x, -3, 3, 1): "float32"})
    given_input = np.array([[[[-4, -1.25, 0.25, 4]]]], np.float32)
    (found,) = Reference(graph).run({"x": given_input}, [graph.outputs[0].name])
    low, high = (bounds[name] if name in limits else None for name in ("low", "high"))
    clipped = given_input if low is high is None else np.clip(given_input, low, high)
    assert found.tolist() == np.clip(np.rint(clipped * 2), -3, 3).tolist()
    assert given_input.reshape(-1).tolist() == [-4, -1.25, 0.25, 4]


def test_a_sum_beyond_float32_is_refused_by_name() -> None:
    g = Maker(np.random.default_rng(0))
    x = g.conv(g.whole(g.input("x", 1, 1, "H", "W"), -4097, 4097), np.full((1, 1, 1, 1), 4097))
    graph = g.graph({x: "float32"})
    for units in None, {x: np.array([0])}:
        with pytest.raises(EngineError, match=rf"layer '{x}' \(Conv\): is not exact: a value"):
            Reference(graph, units).run({"x": np.full((1, 1, 2, 2), 4097, "f")}, [f"{x}_out"])


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
