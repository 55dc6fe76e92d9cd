"""Bits shared out over the levels of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine
from fcmrt.allocation import Allocator
from fcmrt.config import RuntimeOptions
from fcmrt.errors import ConfigError
from fcmrt.executor import executor_for
from fcmrt.groups import quality_groups
from fcmrt.walk import Walk

from .allocating import STEPS, picture, tiny_allocating
from .engines import tiny_context, tiny_gain
from .level_engine import tiny_levels


def allocator(engine: Engine) -> Allocator:
    return Allocator(executor_for(engine, RuntimeOptions(threads=1)))


def steps(walk: Walk) -> list[int]:
    groups = range(len(quality_groups(walk.manifest)))
    return [walk.d + walk.importance.offset(k) for k in groups]


@pytest.mark.parametrize("d", [-4, 2, 8, 12])
def test_a_picture_of_mean_importance_and_rates_keeps_its_step(d: int) -> None:
    found = allocator(tiny_allocating())
    walk = Encoder(tiny_allocating()).walk(picture(0), step=3)
    taken = found.measured(walk)._replace(log_rates=found._log_rates)
    assert found.steps_at(taken, np.ones(3), d) == pytest.approx([d] * 3, abs=0.5)


def test_what_is_worth_more_gets_finer_steps() -> None:
    found = allocator(tiny_allocating())
    walk = Encoder(tiny_allocating()).walk(picture(1), step=12)
    even = found.steps_at(found.measured(walk), np.ones(3), 12)
    for level in range(3):
        importances = np.ones(3)
        importances[level] = 8
        more = found.steps_at(found.measured(walk), importances, 12)
        assert more[level] < even[level]


def test_steps_within_a_size_do_not_depend_on_how_important_the_picture_is() -> None:
    found = allocator(tiny_allocating())
    walk = Encoder(tiny_allocating()).walk(picture(2), step=4)
    importances = np.array([0.5, 1, 2])
    taken = found.measured(walk)
    once = found.steps_within(taken, importances, 0.8 * taken.bits)
    again = found.steps_within(taken, 100 * importances, 0.8 * taken.bits)
    assert once == pytest.approx(again, abs=0.26)
    assert once[2] < once[0]


def test_no_step_is_outside_of_what_was_measured_or_far_from_the_others() -> None:
    found = allocator(tiny_allocating())
    walk = Encoder(tiny_allocating()).walk(picture(3), step=4)
    for importances in ([1e-9, 1, 1e9], [1e9, 1e-9, 1e9], [1e-9] * 3):
        chosen = found.steps_at(found.measured(walk), np.array(importances), 4)
        assert chosen.min() >= STEPS[0]
        assert chosen.max() <= STEPS[-1]
        assert np.abs(chosen - chosen.mean()).max() <= 20


def test_packets_of_predicted_importance_decode_and_differ_by_picture() -> None:
    encoder, decoder = Encoder(tiny_allocating()), Decoder(tiny_allocating())
    pictures = [picture(seed) for seed in range(4)]
    packets = [encoder.encode(one, quality=2, importance=True) for one in pictures]
    walks = [encoder.walk(one, quality=2, importance=True) for one in pictures]
    assert len({tuple(steps(walk)) for walk in walks}) > 1
    for one, packet, walk in zip(pictures, packets, walks, strict=True):
        assert packet == encoder.code(walk)
        decoded = decoder.decode(packet)
        assert [decoded[name].shape for name in ("p3", "p4", "p5")] == [f.shape for f in one]


def test_a_batch_is_encoded_as_its_pictures_are() -> None:
    encoder = Encoder(tiny_allocating())
    pictures = [picture(seed) for seed in range(3)]
    batch = [np.stack(level) for level in zip(*pictures, strict=True)]
    alone = [encoder.encode(one, importance=True) for one in pictures]
    assert encoder.encode(batch, importance=True) == alone


def test_importance_off_gives_the_bytes_of_an_engine_without_the_model() -> None:
    # Their digests differ, and with them the checksums at the ends.
    with_model, without = Encoder(tiny_allocating()), Encoder(tiny_levels())
    for importance in (None, False):
        found = with_model.encode(picture(4), quality=2, importance=importance)
        assert found[:-2] == without.encode(picture(4), quality=2)[:-2]


def test_weights_take_the_place_of_what_is_predicted() -> None:
    encoder = Encoder(tiny_allocating())
    even, tilted = (
        encoder.walk(picture(5), quality=2, importance=weights)
        for weights in ({"p3": 1, "p4": 1, "p5": 1}, {"p3": 1, "p4": 1, "p5": 20})
    )
    assert steps(tilted)[2] < steps(even)[2]
    assert steps(tilted)[0] >= steps(even)[0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"p3": 1, "p4": 1}, "a weight for each level: p3, p4, p5"),
        ({"p3": 1, "p4": 1, "p5": 0}, "above 0"),
        ({"p3": 1, "p4": 1, "p5": float("nan")}, "above 0"),
    ],
)
def test_weights_that_are_none_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Encoder(tiny_allocating()).encode(picture(6), importance=weights)


@pytest.mark.parametrize("make", [tiny_levels, tiny_context, tiny_gain])
def test_engines_without_a_model_say_so(make: object) -> None:
    engine = make()  # type: ignore[operator]
    with pytest.raises(ConfigError, match="has no importance model"):
        Encoder(engine).encode(picture(7, engine), importance=True)
