"""The proof of exact graphs: what bounds it finds, and what it refuses by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from fcmrt.errors import EngineError
from fcmrt.exact.proof import Proof, prove
from fcmrt.exact.reference import Reference, Statistics
from fcmrt.exact.sums import LIMIT

from .graphs import Maker


@pytest.fixture
def g() -> Maker:
    maker = Maker(np.random.default_rng(0))
    maker.input("x", 1, 2, "H", "W")
    return maker


def proof_of(g: Maker, output: str, dtype: str = "float32") -> Proof:
    return prove(g.graph({output: dtype}), "graph 'it'")


def refuse(g: Maker, output: str, message: str, dtype: str = "float32") -> None:
    with pytest.raises(EngineError, match=message):
        proof_of(g, output, dtype)


def output(g: Maker, x: str) -> str:
    return g.whole(x, -9, 9)


# Bounds.


def test_bound_of_a_convolution(g: Maker) -> None:
    x = g.whole("x", -10, 7)
    y = g.conv(x, np.array([[[[3]], [[-4]]], [[[1]], [[0]]]]), np.array([5, -2]))
    proof = proof_of(g, output(g, y))
    assert proof.layers == {y: 10 * 7 + 5}
    assert proof.factors[y].activation == 10
    assert proof.factors[y].weight == 4


def test_bound_is_in_units_of_the_finest_product(g: Maker) -> None:
    x = g.op("Mul", g.whole("x", -10, 10), g.constant(np.array([0.25, 2]).reshape(1, 2, 1, 1)))
    y = g.conv(x, np.array([[[[0.5]], [[3]]]]), np.array([0.125]))
    proof = proof_of(g, output(g, y))
    # 2^-3 is the unit of 0.25 * 0.5; 2 * 3 is 48 of them.
    assert proof.layers == {y: 10 + 10 * 48 + 1}
    assert proof.units[y] == 3
    assert proof.factors[y].weight == 6  # 0.5 and 3 on a grid of 0.5


def test_transposed_convolution_counts_the_taps_that_meet(g: Maker) -> None:
    x = g.whole("x", 0, 1)
    weights = np.zeros((2, 1, 1, 4))
    weights[0, 0, 0] = [1, 10, 100, 1000]
    y = g.conv(x, weights, kind="ConvTranspose", strides=[1, 2])
    assert proof_of(g, output(g, y)).layers == {y: 1010}


def test_groups_see_their_own_channels(g: Maker) -> None:
    x = g.op("Mul", g.whole("x", -1, 1), g.constant(np.array([1, 100]).reshape(1, 2, 1, 1)))
    x = g.op("Add", x, g.constant(np.array([0, 1.0]).reshape(1, 2, 1, 1)))
    y = g.conv(x, np.array([[[[1001]]], [[[2]]]]), group=2)
    assert proof_of(g, output(g, y)).layers[y] == 1001


def test_depth_to_space_moves_bounds_as_the_mode_says(g: Maker) -> None:
    x = g.op("Concat", *["x"] * 4, axis=1)
    x = g.whole(x, -1, 1)
    x = g.op("Mul", x, g.constant(np.arange(1.0, 9).reshape(1, 8, 1, 1)))
    pick = np.array([[[[1]], [[0]]]])
    dcr = g.conv(g.op("DepthToSpace", x, blocksize=2), pick)
    crd = g.conv(g.op("DepthToSpace", x, blocksize=2, mode="CRD"), pick)
    proof = proof_of(g, output(g, g.op("Concat", dcr, crd, axis=1)))
    # Channels with the factors 1, 3, 5, 7 in units of 1; or 1, 2, 3, 4.
    assert proof.layers == {dcr: 7, crd: 4}


def test_relu_halves_the_range_and_sums_follow_it(g: Maker) -> None:
    x = g.op("Relu", g.whole("x", -9, 4))
    y = g.conv(x, np.array([[[[2]], [[-3]]]]))
    z = g.conv(g.clip(y, -100, 100), np.array([[[[1]]]]))
    assert proof_of(g, output(g, z)).layers == {y: 20, z: 12}


def test_a_scale_after_a_sum_counts_the_sum_in_full(g: Maker) -> None:
    # A library may put the factor into the weights, so that the partial sums grow with it.
    x = g.whole("x", 1, 1)
    y = g.conv(x, np.array([[[[4095]], [[-4095]]]]))  # always 0
    refuse(g, output(g, g.op("Mul", y, g.constant(2049))), "products up to")


def test_an_addition_after_a_sum_counts_the_sum_in_full(g: Maker) -> None:
    # The outputs of the convolution stay small, its partial sums do not.
    x = g.whole("x", 1, 1)
    y = g.conv(x, np.array([[[[1 << 22]], [[-(1 << 22)]]]]))
    z = g.op("Add", y, g.constant(1.0))
    assert proof_of(g, output(g, z)).layers == {y: 2, z: (1 << 23) + 1}


def test_a_limit_beyond_all_values_becomes_the_value(g: Maker) -> None:
    x = g.whole("x", -3, 3)
    up, down = g.op("Max", x, g.constant(4.25)), g.op("Min", x, g.constant(-9.5))
    total = g.op("Add", up, down)
    rounded = g.op("Add", g.op("Round", up), g.op("Round", down))
    proof = proof_of(g, output(g, g.op("Add", total, rounded)))
    assert proof.layers[total] == 4 * (4.25 + 9.5)
    assert proof.units[total].tolist() == [2, 2]
    assert proof.layers[rounded] == 4 + 10
    assert list(proof.roundings)[:2] == [g.nodes[5].name, g.nodes[6].name]


def test_roundings_of_one_layer_are_told_from_those_of_another(g: Maker) -> None:
    x = g.whole("x", -9, 9)
    half = np.full((4, 2, 1, 1), 0.5)
    first, second = g.conv(x, half), g.conv(x, half[:1])
    names = ["left", "right"]
    sizes = g.constant([1, 3], np.int64)
    g.nodes.append(helper.make_node("Split", [first, sizes], names, name="split", axis=1))
    parts = [g.op("Round", g.clip(part, -3, 3)) for part in (*names, second)]
    both = g.op("Round", g.op("Concat", second, first, output="both", axis=1))
    proof = proof_of(g, g.op("Concat", *parts, both, axis=1))
    assert list(proof.roundings.values()) == [first, first, second, "both"]


def test_ranges_of_inputs(g: Maker) -> None:
    g.input("y", 1, 2, "H", "W")
    first = g.whole("x", -100, 50, 4)
    second = g.op("Round", g.clip("y", -2.5, 3.25))
    total = g.op("Add", first, second)
    proof = proof_of(g, output(g, total))
    assert proof.layers == {total: 103}
    x, y = proof.inputs["x"], proof.inputs["y"]
    assert (x.low[0], x.high[0], x.exponent[0]) == (-100, 50, 4)
    assert (y.low[0], y.high[0], y.exponent[0]) == (-2, 3, 0)


def test_vectors() -> None:
    g = Maker(np.random.default_rng(0))
    g.input("x", 1, 3)
    x = g.whole("x", -4, 4)
    y = g.op("Gemm", x, g.constant(np.ones((2, 3))), g.constant([1, 2]), transB=1)
    z = g.op("MatMul", y, g.constant(np.ones((2, 1))))
    graph = g.graph({z: "float32"})
    proof = prove(graph, "graph")
    assert proof.layers == {y: 14, z: 27}
    ones = np.full((1, 3), 9, np.float32)
    (found,) = Reference(graph).run({"x": ones}, [f"{z}_out"])
    assert found.tolist() == [[27]]


def test_a_lookup_is_bounded_by_the_entries_that_can_come_up(g: Maker) -> None:
    x = g.op("Mul", g.whole("x", -2, 3), g.constant(np.array([1, 2]).reshape(1, 2, 1, 1)))
    x = g.op("Add", x, g.constant(np.array([2, 4]).reshape(1, 2, 1, 1)))  # 0 to 5, and 0 to 10
    table = g.constant([7, -3, 0.5, 1, 2, 4, 0, 0, 0, 0, 100.25])
    y = g.op("Gather", table, g.op("Cast", x, to=TensorProto.INT32))
    first, second = (g.conv(y, np.array([[[[a]], [[1 - a]]]])) for a in (1, 0))
    proof = proof_of(g, output(g, g.op("Concat", first, second, axis=1)))
    # In units of 1/2, and of 1/4.
    assert proof.layers[first] == 14
    assert proof.layers[second] == 401
    assert [int(proof.units[name][0]) for name in (first, second)] == [1, 2]


# The edge: 2^24 - 1 passes, 2^24 does not.


@settings(max_examples=60)
@given(st.data())
def test_one_unit_over_the_bound_is_refused(data: st.DataObject) -> None:
    draw = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    most = int(draw.integers(1, 1 << 10))
    size = int(draw.integers(1, 4))
    weights = draw.integers(-(1 << 10), 1 << 10, (3, 2, size, size)).astype(np.float64)
    sums = most * np.abs(weights).sum((1, 2, 3))
    heavy = int(draw.integers(0, 3))
    weights[heavy] *= (LIMIT - 1) // max(sums[heavy], 1)  # now just below
    if weights[heavy, 0, 0, 0] % 2 == 0:  # else the grid may be coarser
        weights[heavy, 0, 0, 0] -= np.sign(weights[heavy, 0, 0, 0]) or 1
    rest = LIMIT - 1 - most * int(np.abs(weights[heavy]).sum())
    bias = np.zeros(3)
    bias[heavy] = rest * (1 if draw.random() < 0.5 else -1)
    scale = 2.0 ** draw.integers(-8, 8)
    for over in 0, 1:
        g = Maker(draw)
        x = g.whole(g.input("x", 1, 2, "H", "W"), -most, most)
        bias[heavy] += over * np.sign(bias[heavy] or 1)
        y = g.conv(x, weights * scale, bias * scale, pads=[size // 2] * 4)
        if over:
            refuse(g, output(g, y), f"layer '{y}' .Conv.: the sums of output channel {heavy}")
            continue
        graph = g.graph({output(g, y): "float32"})
        proof = prove(graph, "graph")
        assert proof.layers == {y: LIMIT - 1}
        signs = np.sign(weights[heavy]) * (1 if bias[heavy] >= 0 else -1)
        statistics = Statistics()
        probe = (most * signs[None]).astype(np.float32)
        Reference(graph).run({"x": probe}, [graph.outputs[0].name], statistics)
        if size % 2:  # one cell of the output sees all of the weights
            reached = statistics.largest[y][heavy] / scale
            assert reached == LIMIT - 1


# What is refused, each by name.

X = "x_whole"


def _lookup(g: Maker, low: float, high: float, entries: int, **attributes: int) -> str:
    """A table of so many entries, looked up at integers between the bounds."""
    index = g.op("Cast", g.whole("x", low, high), to=TensorProto.INT32)
    return g.op("Gather", g.constant(np.arange(entries) / 4), index, **attributes)


def _whole(g: Maker) -> str:
    return g.clip(g.op("Round", "x", output=X), -9, 9)


def _two(n: float, m: float) -> Any:
    return np.array([n, m]).reshape(1, 2, 1, 1)


REFUSED: dict[str, tuple[Callable[[Maker], str], str]] = {
    "operator": (lambda g: g.op("Sigmoid", _whole(g)), r"\(Sigmoid\): exact graphs may not have"),
    "raw input": (lambda g: g.conv("x", np.ones((1, 2, 1, 1))), "on no grid: Round and Clip"),
    "not rounded": (lambda g: g.op("Add", g.clip("x", -1, 1), g.constant(1)), "on no grid"),
    "not clipped": (lambda g: g.op("Add", g.op("Round", "x"), g.constant(1)), "without bounds"),
    "half clipped": (
        lambda g: g.op("Add", g.op("Relu", g.op("Round", "x")), g.constant(1)),
        "without bounds",
    ),
    "not dyadic": (lambda g: g.op("Mul", _whole(g), g.constant(0.3)), "products up to"),
    "weights": (lambda g: g.conv(_whole(g), np.full((1, 2, 1, 1), 1 / 3)), "stay below 16777216"),
    "bias": (lambda g: g.conv(_whole(g), np.ones((1, 2, 1, 1)), np.array([0.1])), "stay below"),
    "endless weights": (lambda g: g.conv(_whole(g), np.full((1, 2, 1, 1), np.inf)), "not finite"),
    "half weights": (
        lambda g: g.op("Conv", _whole(g), g.constant(np.ones((1, 2, 1, 1)), np.float64)),
        "input 1 must be a float32 constant",
    ),
    "free factor": (lambda g: g.op("Mul", "x", g.constant(3)), "powers of two only"),
    "two tensors": (lambda g: g.op("Mul", _whole(g), X), "input 1 must be a float32 constant"),
    "fine grid": (lambda g: g.op("Mul", _whole(g), g.constant(2.0**-41)), "finer than"),
    "per cell": (
        lambda g: g.op("Add", _whole(g), g.constant(np.ones((1, 1, 3, 3)))),
        "is not per channel",
    ),
    "channels": (lambda g: g.op("Mul", _whole(g), g.constant(np.ones((3, 1, 1)))), "3 channels"),
    "half": (lambda g: g.op("Cast", _whole(g), to=TensorProto.FLOAT16), "casts to ONNX type 10"),
    "cast of fractions": (
        lambda g: g.op("Cast", g.op("Mul", _whole(g), g.constant(0.5)), to=TensorProto.INT32),
        "not integers within int32",
    ),
    "wide cast": (
        lambda g: g.op("Cast", g.op("Mul", _whole(g), g.constant(2.0**30)), to=TensorProto.INT32),
        "not integers within int32",
    ),
    "int arithmetic": (
        lambda g: g.op("Relu", g.op("Cast", _whole(g), to=TensorProto.INT32)),
        "reads int32 values",
    ),
    "auto_pad": (
        lambda g: g.conv(_whole(g), np.ones((1, 2, 1, 1)), auto_pad="SAME_UPPER"),
        "auto_pad is not supported",
    ),
    "index over the table": (
        lambda g: _lookup(g, 0, 9, 9),
        "the indexes of channel 0 go from 0 to 9; the table has 0 to 8",
    ),
    "index below the table": (
        lambda g: _lookup(g, -1, 8, 9),
        "the indexes of channel 0 go from -1 to 8; the table has 0 to 8",
    ),
    "index not cast": (
        lambda g: g.op("Gather", g.constant(np.arange(19.0)), g.whole("x", 0, 9)),
        "float32 indexes: Cast them",
    ),
    "lookup along another axis": (lambda g: _lookup(g, 0, 8, 9, axis=-1), "axis is -1"),
    "lookup of rows": (
        lambda g: g.op(
            "Gather",
            g.constant(np.ones((9, 2))),
            g.op("Cast", g.whole("x", 0, 8), to=TensorProto.INT32),
        ),
        "the table must be one-dimensional",
    ),
    "computed table": (lambda g: g.op("Gather", _whole(g), X), "input 0 must be a float32 const"),
    "limits": (lambda g: g.clip(_whole(g), 3, 2), "lower limit is above"),
    "spatial concat": (lambda g: g.op("Concat", _whole(g), X, axis=2), "axis 2 is not supported"),
    "backwards": (
        lambda g: g.op(
            "Slice",
            _whole(g),
            *(g.constant([n], np.int64) for n in (-1, -9, 1, -1)),
        ),
        "steps must be positive",
    ),
    "products": (
        lambda g: g.op("Mul", _whole(g), g.constant(_two(3, LIMIT / 8 - 1))),
        "products up to",
    ),
    "sum": (
        lambda g: g.op("Add", _whole(g), g.constant(_two(1, LIMIT - 9))),
        r"the sum in channel 1 reaches up to 1.678e\+07",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(g: Maker, name: str) -> None:
    build, message = REFUSED[name]
    refuse(g, build(g), f"^graph 'it' is not exact: layer .*{message}")


def test_outputs_must_be_integers(g: Maker) -> None:
    refuse(g, "x", "output 'x_out' is not integers up to 2.24")
    g.nodes.clear()
    refuse(g, g.op("Round", "x"), "is not integers up to 2.24")


@pytest.mark.parametrize("shift", [-5, 0, 6])
def test_outputs_may_be_floats_on_a_grid(g: Maker, shift: int) -> None:
    power = g.constant(2.0**shift)
    proof_of(g, g.op("Mul", g.whole("x", -2000, 2000), power))
    refuse(g, g.op("Mul", g.clip("x", -2000, 2000), power), "Round and Clip it")
    refuse(g, g.op("Mul", g.whole("x", -(2.0**25), 0), power), "Round and Clip it")


def test_inputs_tell_their_channels() -> None:
    g = Maker(np.random.default_rng(0))
    g.input("x", 1, "C", "H", "W")
    refuse(g, output(g, "x"), "input 'x' must be float32 of rank 4")


def test_operator_sets(g: Maker) -> None:
    x = output(g, "x")
    g.opset = 12
    refuse(g, x, "operator set 12 is not supported")


def test_weights_may_be_kept_in_half_precision(g: Maker) -> None:
    stored = g.constant(np.full((1, 2, 1, 1), 0.5), np.float16)
    wide = g.op("Cast", stored, to=TensorProto.FLOAT)
    y = g.op("Conv", g.whole("x", -4, 4), wide)
    assert proof_of(g, output(g, y)).layers == {y: 8}


def test_hostile_graphs_end_soon(g: Maker) -> None:
    x = _whole(g)
    for _ in range(30):  # 2^31 channels
        x = g.op("Concat", x, x, axis=1)
    start = time.process_time()
    refuse(g, x, "more than 65536 channels")
    assert time.process_time() - start < 5


def test_hostile_nodes_end_soon(g: Maker) -> None:
    x = _whole(g)
    g.nodes += [helper.make_node("Relu", [x], [f"r{k}"]) for k in range(1 << 13)]
    refuse(g, output(g, x), "nodes; at most 8192 are allowed")
