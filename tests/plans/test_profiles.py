"""Profiles: the shapes that the networks are really given, from the sizes of the features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt import Decoder, Encoder, Engine
from fcmrt.errors import ConfigError, EngineError
from fcmrt.executor import Executor
from fcmrt.plans import SizeRange, card_sizes, graph_profiles
from fcmrt.plans.profiles import canonical_sizes

from .. import engines
from ..allocating import tiny_allocating
from ..features import random_features

ENGINES = (
    engines.tiny_hyperprior,
    engines.tiny_context,
    engines.tiny_factorized,
    engines.tiny_gain,
    tiny_allocating,
)
sides = st.integers(1, 16384)


@given(sides, sides, sides, sides, sides, sides)
def test_what_is_written_is_read(a, b, c, d, e, f):
    (a, b, c), (d, e, f) = sorted((a, b, c)), sorted((d, e, f))
    for best in (a, d), (b, e), (c, f):
        size = SizeRange((a, d), best, (c, f))
        assert SizeRange.parse(str(size)) == size
    assert SizeRange.parse(f"{a}x{d}") == SizeRange.fixed(a, d)


def test_sizes_as_they_are_written():
    assert SizeRange.parse("52x64") == SizeRange.fixed(52, 64)
    assert SizeRange.parse("8x4..16x12") == SizeRange((8, 4), (16, 12), (16, 12))
    assert SizeRange.parse("8x4..8x4..16x12") == SizeRange((8, 4), (8, 4), (16, 12))


@pytest.mark.parametrize(
    "text",
    [
        *("", "52", "52x", "x52", "52X52", "-1x4", "1.5x2", "52x52..", "1x1..2x2..3x3..4x4"),
        *("p3=52x52", "٣x٣", "1x9999999999"),
    ],
)
def test_what_is_no_size(text):
    with pytest.raises(ConfigError, match="HEIGHTxWIDTH"):
        SizeRange.parse(text)


@pytest.mark.parametrize("text", ["0x4", "4x0", "8x8..4x16", "8x8..16x16..12x12", "16385x1"])
def test_what_is_no_range(text):
    with pytest.raises(ConfigError, match="sides must be 1 to 16384"):
        SizeRange.parse(text)


@pytest.mark.parametrize("make", ENGINES)
@pytest.mark.parametrize("size", [(20, 24), (19, 21), (1, 1), (5, 40)])
def test_profiles_are_what_the_networks_are_given(make, size):
    engine = make()
    seen: dict[str, dict[str, tuple[int, ...]]] = {}

    run = Executor.run

    def watch(self: Executor, name: str, inputs: Mapping, outputs):
        seen[name] = {key: array.shape for key, array in inputs.items()}
        return run(self, name, inputs, outputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "run", watch)
        importance = None if engine.manifest.importance is None else True
        packet = Encoder(engine).encode(random_features(engine, size), importance=importance)
        Decoder(engine).decode(packet)
    canonical = canonical_sizes(engine.manifest, [SizeRange.fixed(*size)])
    profiles = graph_profiles(engine.manifest, canonical)
    assert list(profiles) == list(seen)
    assert set(profiles) == set(engine.manifest.graphs)
    for graph, shapes in seen.items():
        (profile,) = profiles[graph]
        assert profile.least == profile.best == profile.most == shapes


def test_a_range_has_the_shapes_of_its_three_sizes():
    manifest = engines.tiny_hyperprior().manifest
    canonical = canonical_sizes(manifest, [SizeRange((3, 4), (8, 9), (16, 20))])
    (profile,) = graph_profiles(manifest, canonical)["analysis"]
    assert profile.least == {"p3": (1, 6, 4, 4), "p4": (1, 8, 2, 2)}
    assert profile.best == {"p3": (1, 6, 8, 12), "p4": (1, 8, 4, 6)}
    assert profile.most == {"p3": (1, 6, 16, 20), "p4": (1, 8, 8, 10)}


def test_sizes_that_padding_makes_equal_are_one():
    manifest = engines.tiny_hyperprior().manifest
    sizes = [SizeRange.fixed(5, 8), SizeRange.fixed(12, 4), SizeRange.fixed(8, 7)]
    assert canonical_sizes(manifest, sizes) == (SizeRange.fixed(8, 8), SizeRange.fixed(12, 4))
    with pytest.raises(ConfigError, match="at least one size"):
        canonical_sizes(manifest, [])
    padding = dataclasses.replace(manifest.padding, multiple=4096 * 5)
    too_large = dataclasses.replace(manifest, padding=padding)
    with pytest.raises(ConfigError, match="16384"):
        canonical_sizes(too_large, sizes)


def with_card(card: dict) -> Engine:
    parts = engines.hyperprior_parts()
    manifest = dataclasses.replace(parts.manifest, card=card)
    return Engine.load(dataclasses.replace(parts, manifest=manifest).pack())


def test_sizes_of_the_card():
    assert card_sizes(with_card({}).manifest) == ()
    told = with_card({"sizes": [[52, 52], [40, 64]]}).manifest
    assert card_sizes(told) == (SizeRange.fixed(52, 52), SizeRange.fixed(40, 64))


@pytest.mark.parametrize("sizes", [52, [], [52, 52], [[52]], [[0, 4]], [["52", 52]], [[True, 4]]])
def test_a_card_with_other_sizes(sizes):
    with pytest.raises(EngineError, match=r"manifest\.card\.sizes"):
        card_sizes(with_card({"sizes": sizes}).manifest)
