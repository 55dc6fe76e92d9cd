"""No other choice of steps has less error in as few bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fcmrt
from benchmarks.entropy import ideal_bits
from benchmarks.least_error import LeastError, Trials
from fcmrt.groups import quality_groups
from tests.allocating import STEPS, picture, tiny_allocating
from tests.level_engine import tiny_levels


def hand_made(seed: int, pictures: int = 2, levels: int = 2, steps: int = 4) -> Trials:
    """Bits that fall and errors that rise from step to step, neither evenly; no two are alike."""
    rng = np.random.default_rng(seed)
    shape = pictures, levels, steps
    bits = np.cumsum(rng.uniform(1, 100, shape), axis=2)[:, :, ::-1]
    return Trials(bits, np.cumsum(rng.uniform(0.01, 1, shape) ** 3, axis=2))


def everything(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """Bits and errors of every choice that there is."""
    pictures, levels, steps = trials.bits.shape
    found = []
    for choice in itertools.product(range(steps), repeat=pictures * levels):
        places = np.array(choice).reshape(pictures, levels, 1)
        found.append(
            [np.take_along_axis(table, places, 2).sum() for table in (trials.bits, trials.errors)]
        )
    bits, errors = np.array(found).T
    return bits, errors


@pytest.mark.parametrize("seed", range(8))
def test_no_choice_of_as_few_bits_has_less_error(seed: int) -> None:
    trials = hand_made(seed)
    bits, errors = everything(trials)
    for plain in range(trials.bits.shape[2]):
        allowed = trials.bits[:, :, plain].sum()
        places = trials.within(float(allowed))[:, :, None]
        taken = np.take_along_axis(trials.bits, places, 2).sum()
        error = np.take_along_axis(trials.errors, places, 2).sum()
        assert taken <= allowed
        assert error == pytest.approx(errors[bits <= taken * (1 + 1e-12)].min())
        # Nor is there more to have: the choice that gives most for each further bit is too much.
        more = bits > taken * (1 + 1e-12)
        if more.any():
            gain = (error - errors[more]) / (bits[more] - taken)
            assert bits[more][np.argmax(gain)] > allowed


def test_bits_move_to_the_level_of_the_picture_that_needs_them() -> None:
    bits = np.tile([30.0, 20.0, 10.0], (2, 2, 1))
    errors = np.tile([1.0, 2.0, 3.0], (2, 2, 1))
    errors[1, 0] = [1.0, 50.0, 90.0]
    trials = Trials(bits, errors)
    assert trials.within(60).tolist() == [[2, 2], [0, 2]]
    assert trials.taken(trials.within(60)) == 60


def features_of(engine: fcmrt.Engine, seed: int) -> dict[str, np.ndarray]:
    names = [feature.name for feature in engine.manifest.features]
    return dict(zip(names, picture(seed, engine), strict=True))


def test_steps_are_tried_as_far_as_the_importance_model_goes() -> None:
    without, with_model = (
        LeastError(fcmrt.Encoder(engine), []).steps for engine in (tiny_levels(), tiny_allocating())
    )
    levels = set(tiny_levels().manifest.quality.levels)
    assert levels <= set(without)
    assert (without[0], without[-1]) == (min(levels), max(levels))
    assert levels <= set(with_model)
    assert (with_model[0], with_model[-1]) == (min(STEPS), max(STEPS))


def test_trials_are_what_packets_take_and_lose() -> None:
    """Tried on all levels at once, and without analysis: the same as each level by itself."""
    engine = tiny_allocating()
    encoder, decoder = fcmrt.Encoder(engine), fcmrt.Decoder(engine)
    pictures = [features_of(engine, seed) for seed in range(2)]
    least = LeastError(encoder, pictures)
    groups = quality_groups(engine.manifest)
    rng = np.random.default_rng(0)
    for number, features in enumerate(pictures):
        places = rng.integers(0, len(least.steps), len(groups))
        offsets = tuple(least.steps[place] for place in places)
        packet = encoder.encode(features, step=0, importance=fcmrt.Importance(offsets))
        integers, decoded = decoder.integers(packet), decoder.decode(packet)
        for k, (group, place) in enumerate(zip(groups, places, strict=True)):
            bits = ideal_bits(engine, [integers[name] for name in group.latents])
            error = np.sum((features[group.name].astype(np.float64) - decoded[group.name]) ** 2)
            assert least.trials.bits[number, k, place] == pytest.approx(bits)
            assert least.trials.errors[number, k, place] == pytest.approx(error)


def test_the_set_takes_no_more_bits_than_the_quality() -> None:
    engine = tiny_allocating()
    pictures = [features_of(engine, seed) for seed in range(3)]
    pictures[2] = {name: 0.01 * level for name, level in pictures[2].items()}
    least = LeastError(fcmrt.Encoder(engine), pictures)
    trials = least.trials
    for quality in range(1, len(engine.manifest.quality.levels) + 1):
        plain = least.steps.index(engine.manifest.quality.shift(quality))
        places = np.array(
            [[least.steps.index(s) for s in least.steps_of(one, quality)] for one in pictures]
        )
        allowed = trials.bits[:, :, plain].sum()
        assert trials.taken(places) <= allowed
        taken = np.take_along_axis(trials.bits, places[:, :, None], 2).sum((1, 2))
        assert (taken != trials.bits[:, :, plain].sum(1)).any()
