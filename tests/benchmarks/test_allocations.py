"""Allocations of engines that keep their levels apart."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from benchmarks.allocations import EQUAL, IMPORTANCE, LEVELS, MSE, WITHIN, allocations
from benchmarks.engine_coder import engine_systems
from benchmarks.systems import PLAIN
from fcmrt.allocation import Allocator
from tests.allocating import picture, tiny_allocating
from tests.level_engine import tiny_levels


def features_of(engine: fcmrt.Engine, seed: int) -> dict[str, np.ndarray]:
    names = [feature.name for feature in engine.manifest.features]
    return dict(zip(names, picture(seed, engine), strict=True))


def test_engines_have_the_allocations_that_go_with_them() -> None:
    one = [features_of(tiny_levels(), 0)]
    assert set(allocations(fcmrt.Encoder(fcmrt.Engine.builtin()), one)) == {PLAIN}
    assert set(allocations(fcmrt.Encoder(tiny_levels()), one)) == {PLAIN, MSE}
    assert set(allocations(fcmrt.Encoder(tiny_levels()))) == {PLAIN}
    all_of_them = {PLAIN, EQUAL, WITHIN, LEVELS, IMPORTANCE, MSE}
    assert set(allocations(fcmrt.Encoder(tiny_allocating()), one)) == all_of_them
    systems = engine_systems([tiny_allocating()], (PLAIN, MSE), one)
    assert [system.allocation for system in systems] == [PLAIN, MSE]


def test_a_coder_follows_its_allocation() -> None:
    engine = tiny_allocating()
    features = features_of(engine, 5)
    systems = {system.allocation: system for system in engine_systems([engine])}
    encoder = fcmrt.Encoder(engine)
    for name, importance, roi in (
        (PLAIN, None, None),
        (LEVELS, True, []),
        (IMPORTANCE, True, None),
    ):
        coder = systems[name].coders[1]
        expected = encoder.encode(features, quality=2, importance=importance, roi=roi)
        assert coder.encode(features) == expected


@pytest.mark.parametrize("quality", [1, 2, 3])
def test_within_a_picture_only_ratios_of_importances_count(
    quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tiny_allocating()
    features = features_of(engine, 6)
    coders = {s.allocation: s.coders[quality - 1] for s in engine_systems([engine])}
    found = {name: coders[name].encode(features) for name in (WITHIN, IMPORTANCE)}
    predicted = Allocator.predicted_map
    monkeypatch.setattr(Allocator, "predicted_map", lambda self, walk: 30 * predicted(self, walk))
    again = {name: coders[name].encode(features) for name in (WITHIN, IMPORTANCE)}
    assert again[WITHIN] == found[WITHIN]
    assert len(again[IMPORTANCE]) > len(found[IMPORTANCE])


def test_least_error_tells_every_level_its_step() -> None:
    engine = tiny_levels()
    encoder, decoder = fcmrt.Encoder(engine), fcmrt.Decoder(engine)
    pictures = [features_of(engine, seed) for seed in range(3)]
    find = allocations(encoder, pictures)[MSE]
    errors = {PLAIN: 0.0, MSE: 0.0}
    for features in pictures:
        step, importance, _ = find(features, 2)
        assert isinstance(importance, fcmrt.Importance)
        assert len(importance.offsets) < len(engine.manifest.features)  # the last has the step
        for name, packet in (
            (PLAIN, encoder.encode(features, quality=2)),
            (MSE, encoder.encode(features, step=step, importance=importance)),
        ):
            decoded = decoder.decode(packet)
            errors[name] += sum(float(np.sum((features[k] - decoded[k]) ** 2)) for k in features)
    assert errors[MSE] < errors[PLAIN]
