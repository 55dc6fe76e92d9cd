"""The bring-up check: exact runners pass, and every kind of inexact one is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice, pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.config import RuntimeOptions
from fcmrt.exact import Proof, Reference, Verdict, bring_up, bringup, prove
from fcmrt.exact.bringup import Runnable
from fcmrt.exact.probes import make_probes
from fcmrt.onnxgraph import Graph, read_graph
from fcmrt.runner import make_runner

from .graphs import Array, Maker, provable_model

Convolve = Callable[[Array, Array], Array]

_DRAW = np.random.default_rng(5)
WEIGHTS = _DRAW.integers(-900, 901, (8, 8, 3, 3)).astype(np.float32)
WEIGHTS[3] = 899 * _DRAW.choice([-1, 1], (8, 3, 3))
MIX = _DRAW.integers(-60, 61, (4, 8, 1, 1)).astype(np.float32)


def two_layers() -> bytes:
    """A 3x3 layer whose bound is nearly 2^24, a rounding to 12 bits, and a 1x1 layer."""
    g = Maker(np.random.default_rng(0))
    x = g.whole(g.input("z", 1, 8, "H", "W"), -255, 255, 2)
    x = g.conv(x, WEIGHTS, pads=[1] * 4)
    x = g.whole(g.op("Relu", x), 0, 4095, -12)
    x = g.conv(x, MIX)
    return g.model({g.whole(x, -(2.0**20), 2.0**20, -2): "int32"})


def one_layer() -> bytes:
    """The 3x3 layer alone."""
    g = Maker(np.random.default_rng(0))
    x = g.whole(g.input("z", 1, 8, "H", "W"), -255, 255, 2)
    return g.model({g.conv(x, WEIGHTS, pads=[1] * 4): "int32"})


class OneLayer:
    """`one_layer` as a library might run it."""

    def __init__(self, convolve: Convolve) -> None:
        self._convolve = convolve

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = np.clip(np.rint(inputs["z"] * 4), -255, 255)
        x = self._convolve(np.pad(x[0], ((0, 0), (1, 1), (1, 1))), WEIGHTS)
        return [x[None].astype(np.int32)]


class TwoLayers:
    """`two_layers` as a library might run it, in float32 but for the 3x3 layer."""

    def __init__(self, convolve: Convolve) -> None:
        self._convolve = convolve

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        x = np.clip(np.rint(inputs["z"] * 4), -255, 255)
        x = self._convolve(np.pad(x[0], ((0, 0), (1, 1), (1, 1))), WEIGHTS)
        x = np.clip(np.rint(np.maximum(x, 0) / np.float32(4096)), 0, 4095)
        x = np.einsum("oi,ihw->ohw", MIX[:, :, 0, 0], x)
        return [np.rint(x / 4)[None].astype(np.int32)]


def direct(x: Array, weights: Array) -> Array:
    """Sums in float32, tap by tap."""
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    sums = np.zeros((len(weights), rows, columns), np.float32)
    for row, column in np.ndindex(3, 3):
        part = x[:, row : row + rows, column : column + columns]
        sums += np.einsum("oi,ihw->ohw", weights[:, :, row, column], part)
    return sums


def in_half_precision(x: Array, weights: Array) -> Array:
    """Sums that are kept in float16 between the taps."""
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    sums = np.zeros((len(weights), rows, columns), np.float16)
    for row, column in np.ndindex(3, 3):
        part = x[:, row : row + rows, column : column + columns]
        with np.errstate(over="ignore"):
            product = np.einsum("oi,ihw->ohw", weights[:, :, row, column] / 4096, part)
            sums = (sums + product).astype(np.float16)
    return sums.astype(np.float32) * 4096


def only_when_large(x: Array, weights: Array) -> Array:
    """Sums that lose their last bits above 2^22."""
    sums = direct(x, weights)
    return np.where(np.abs(sums) > 1 << 22, np.rint(sums / 8192) * 8192, sums)


def winograd(x: Array, weights: Array) -> Array:
    """F(4x4, 3x3) in float32 (Lavin and Gray 2016, arXiv 1509.09308)."""
    into = np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        np.float32,
    )
    kernel = np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        np.float32,
    )
    back = np.array(
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
        np.float32,
    )
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    x = np.pad(x, ((0, 0), (0, -rows % 4), (0, -columns % 4)))
    turned = np.einsum("ab,oibc,dc->oiad", kernel, weights, kernel)
    sums = np.empty((len(weights), x.shape[1] - 2, x.shape[2] - 2), np.float32)
    for row in range(0, rows, 4):
        for column in range(0, columns, 4):
            tile = x[:, row : row + 6, column : column + 6]
            tile = np.einsum("ab,ibc,dc->iad", into, tile, into)
            tile = np.einsum("oiad,iad->oad", turned, tile)
            tile = np.einsum("ab,obc,dc->oad", back, tile, back)
            sums[:, row : row + 4, column : column + 4] = tile
    return sums[:, :rows, :columns]


def fourier(x: Array, weights: Array) -> Array:
    """By the Fourier transform in float32."""
    shape = x.shape[1:]
    spectrum = np.fft.rfft2(x).astype(np.complex64)
    kernels = np.conj(np.fft.rfft2(weights, shape).astype(np.complex64))
    product = np.einsum("ihw,oihw->ohw", spectrum, kernels)
    sums = np.fft.irfft2(product, shape).astype(np.float32)
    return sums[:, : shape[0] - 2, : shape[1] - 2]


def proved(model: bytes) -> tuple[Graph, Proof]:
    graph = read_graph(model, "graph")
    return graph, prove(graph, "graph")


def verdict_of(model: bytes, network: Runnable, side: tuple[int, int] = (16, 16)) -> Verdict:
    graph, proof = proved(model)
    shapes = {port.name: (1, (port.dims or (0, 0))[1] or 0, *side) for port in graph.inputs}
    return bring_up(graph, proof, network, shapes, [graph.outputs[0].name])


def test_float32_in_another_order_is_exact() -> None:
    verdict = verdict_of(two_layers(), TwoLayers(direct))
    assert verdict.exact
    assert verdict.differing == 0
    assert verdict.values % (4 * 16 * 16) == 0
    assert verdict.ties > 500
    first, second = verdict.reach.values()
    assert first > 0.98  # the bound of the first layer is 0.984 of 2^24
    assert second > 0.01


@pytest.mark.parametrize("side", [(4, 4), (16, 16), (33, 18)])
@pytest.mark.parametrize("convolve", [in_half_precision, only_when_large, winograd, fourier])
def test_inexact_sums_are_refused(convolve: Convolve, side: tuple[int, int]) -> None:
    verdict = verdict_of(one_layer(), OneLayer(convolve), side)
    assert not verdict.exact
    assert verdict.differing > 0


@pytest.mark.parametrize("convolve", [in_half_precision, only_when_large, winograd])
def test_inexact_sums_are_refused_behind_a_rounding(convolve: Convolve) -> None:
    # Of 4096 sums that are off by one, one shows: what finds it is the number of sums.
    assert not verdict_of(two_layers(), TwoLayers(convolve), (32, 32)).exact


class OneWrongValue:
    """The reference, but for one value of one run."""

    def __init__(self, graph: Graph, wrong_run: int, cell: int) -> None:
        self._reference = Reference(graph)
        self._left = wrong_run
        self._cell = cell

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        found = self._reference.run(inputs, outputs)
        if self._left == 0:
            flat = found[0].reshape(-1)
            flat[self._cell % flat.size] += 1
        self._left -= 1
        return found


@given(st.integers(0, 3), st.integers(0, 1 << 20))
@settings(max_examples=20)
def test_one_wrong_value_is_enough(wrong_run: int, cell: int) -> None:
    model = two_layers()
    network = OneWrongValue(proved(model)[0], wrong_run, cell)
    verdict = verdict_of(model, network, (5, 6))
    assert not verdict.exact
    assert verdict.differing == 1


class WrongKind:
    """Right values of a wrong type, or in a wrong shape."""

    def __init__(self, graph: Graph, change: Callable[[Array], Array]) -> None:
        self._reference = Reference(graph)
        self._change = change

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        return [self._change(found) for found in self._reference.run(inputs, outputs)]


@pytest.mark.parametrize("change", [lambda a: a.astype(np.int64), lambda a: a[:, :, :-1]])
def test_wrong_types_and_shapes_differ(change: Callable[[Array], Array]) -> None:
    model = two_layers()
    verdict = verdict_of(model, WrongKind(proved(model)[0], change))
    assert verdict.differing == verdict.values > 0


@pytest.mark.parametrize("runner", ["onnxruntime", "torch"])
@pytest.mark.parametrize("optimise", [True, False])
@settings(max_examples=25)
@given(st.integers(0, 1 << 32), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_runners_are_exact(
    runner: Literal["onnxruntime", "torch"], optimise: bool, seed: int, side: tuple[int, int]
) -> None:
    pytest.importorskip(runner)
    model, _ = provable_model(seed)
    options = RuntimeOptions(runner=runner, threads=1, optimise=optimise)
    assert verdict_of(model, make_runner(options).load("graph", model, exact=True), side).exact


def test_large_shapes_take_fewer_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    products = 8 * 8 * 9 * 20 * 20 + 4 * 8 * 20 * 20
    for most, probes in ((products - 1, 1), (2 * products, 2), (3 * products - 1, 2)):
        monkeypatch.setattr(bringup, "_MOST_PRODUCTS", most)
        verdict = verdict_of(two_layers(), TwoLayers(direct), (20, 20))
        assert verdict.values == probes * 4 * 20 * 20


def fine_sums(bits: int, parts: int = 1) -> bytes:
    """A layer of 16 channels whose sums have bits of fraction, rounded in parts of its channels."""
    g = Maker(np.random.default_rng(0))
    x = g.whole(g.input("z", 1, 8, "H", "W"), -255, 255)
    weights = (2 * np.random.default_rng(1).integers(0, 400, (16, 8, 1, 1)) + 1) * 2.0**-bits
    y = g.conv(x, weights)
    bounds = np.linspace(0, 16, parts + 1).astype(int)
    rounded = []
    for first, last in pairwise(bounds):
        ends = (g.constant([n], np.int64) for n in (first, last, 1))
        rounded.append(g.op("Round", g.op("Slice", y, *ends)))
    return g.model({g.op("Concat", *rounded, axis=1): "int32"})


def test_half_way_cases_that_do_not_come_up_are_not_waited_for() -> None:
    for bits, probes in ((14, 16), (0, 4)):
        model = fine_sums(bits)
        verdict = verdict_of(model, Reference(proved(model)[0]), (4, 4))
        assert verdict.exact
        assert verdict.values == probes * 16 * 4 * 4


def test_half_way_cases_of_one_layer_count_together() -> None:
    for parts in (1, 16):
        model = fine_sums(8, parts)
        verdict = verdict_of(model, Reference(proved(model)[0]), (16, 16))
        # About 16 come up in a probe, one in each channel.
        assert verdict.values < 8 * 16 * 16 * 16


def test_probes_are_reproducible_and_in_range() -> None:
    graph, proof = proved(two_layers())
    shapes = {"z": (1, 8, 20, 40)}
    first, again = (list(islice(make_probes(graph, proof, shapes, 3), 8)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["z"], other["z"])
        assert one["z"].dtype == np.float32
        assert one["z"].shape == (1, 8, 20, 40)
        assert one["z"].flags.c_contiguous
        assert np.abs(one["z"]).max() > 60  # the range is 255 / 4
    other = next(make_probes(graph, proof, shapes, 4))
    assert (first[0]["z"] != other["z"]).any()


def test_probes_have_tiles_and_pictures_of_every_kind() -> None:
    graph, proof = proved(two_layers())
    shapes = {"z": (1, 8, 64, 64)}
    first, uniform_or_driven, *later = (
        probe["z"][0] * 4 for probe in islice(make_probes(graph, proof, shapes, 3), 8)
    )

    def kinds(x: Array) -> set[str]:
        found = {"ties"} if (x % 1 == 0.5).any() else set()
        found |= {"beyond"} if np.abs(x).max() > 255 else set()
        found |= {"ends"} if (np.abs(x) == 255).all() else set()
        return found | ({"whole"} if (x % 1 == 0).all() else set())

    tiles = [
        kinds(first[:, row : row + 16, column : column + 16])
        for row in range(0, 64, 16)
        for column in range(0, 64, 16)
    ]
    # Four drives, then uniform, ties, ends and beyond; and all of them once more.
    assert tiles[:8] == tiles[8:]
    assert all("ends" in tile for tile in tiles[:4])
    assert tiles[4:8] == [{"whole"}, {"ties"}, {"ends", "whole"}, {"beyond", "whole"}]
    assert kinds(uniform_or_driven) == {"ends", "whole"}
    assert [kinds(x) for x in later[::2]] == [{"ties"}, {"ends", "whole"}, {"beyond", "whole"}]


def test_drives_reach_the_bound_of_the_heaviest_channel_in_every_cell() -> None:
    graph, proof = proved(one_layer())
    probes = make_probes(graph, proof, {"z": (1, 8, 12, 12)}, 0)
    driven = next(islice(probes, 1, None))["z"]
    (found,) = Reference(graph).run({"z": driven}, [graph.outputs[0].name])
    (bound,) = proof.layers.values()
    # The pattern repeats every three cells, and so does the largest sum.
    assert (found[0, 3, 1::3, 1::3] == bound).all()
