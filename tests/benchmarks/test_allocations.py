"""Allocations of engines that keep their levels apart."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from benchmarks.allocations import EQUAL, IMPORTANCE, MSE, LeastError, allocations
from benchmarks.engine_coder import engine_systems
from benchmarks.entropy import ideal_bits
from benchmarks.systems import PLAIN
from tests.allocating import picture, tiny_allocating
from tests.level_engine import tiny_levels


def pair(engine: fcmrt.Engine) -> tuple[fcmrt.Encoder, fcmrt.Decoder]:
    return fcmrt.Encoder(engine), fcmrt.Decoder(engine)


def features_of(engine: fcmrt.Engine, seed: int) -> dict[str, np.ndarray]:
    names = [feature.name for feature in engine.manifest.features]
    return dict(zip(names, picture(seed, engine), strict=True))


def test_engines_have_the_allocations_that_go_with_them() -> None:
    assert set(allocations(*pair(fcmrt.Engine.builtin()))) == {PLAIN}
    assert set(allocations(*pair(tiny_levels()))) == {PLAIN, MSE}
    assert set(allocations(*pair(tiny_allocating()))) == {PLAIN, EQUAL, IMPORTANCE, MSE}
    names = [system.allocation for system in engine_systems([tiny_allocating()], (PLAIN, MSE))]
    assert names == [PLAIN, MSE]


@pytest.mark.parametrize("seed", range(3))
def test_least_error_is_no_larger_in_no_more_bits(seed: int) -> None:
    engine = tiny_levels()
    encoder, decoder = pair(engine)
    features = features_of(engine, seed)
    least = LeastError(encoder, decoder)
    better = []
    for quality in range(1, len(engine.manifest.quality.levels) + 1):
        found = {}
        for name, importance in (
            ("plain", None),
            ("mse", least.importance(features, quality)),
        ):
            packet = encoder.encode(features, quality=quality, importance=importance)
            decoded = decoder.decode(packet)
            error = sum(float(np.sum((features[k] - decoded[k]) ** 2)) for k in features)
            found[name] = ideal_bits(engine, decoder.integers(packet).values()), error
        assert found["mse"][0] <= found["plain"][0]
        assert found["mse"][1] <= found["plain"][1] * (1 + 1e-6)
        better.append(found["mse"][1] < found["plain"][1])
    assert any(better)


def test_a_coder_follows_its_allocation() -> None:
    engine = tiny_allocating()
    features = features_of(engine, 5)
    systems = {system.allocation: system for system in engine_systems([engine])}
    encoder = fcmrt.Encoder(engine)
    for name, importance in ((PLAIN, None), (IMPORTANCE, True)):
        coder = systems[name].coders[1]
        expected = encoder.encode(features, quality=2, importance=importance)
        assert coder.encode(features) == expected
