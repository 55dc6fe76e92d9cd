"""Quality, importance by level, and regions, added up to one map of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder
from fcmrt.allocation import Allocator
from fcmrt.bitstream import Rectangle, Regions, peek_packet
from fcmrt.errors import ConfigError, ShapeError, TargetError
from fcmrt.kernels.api import StepMap
from fcmrt.target import offsets_of
from fcmrt.walk import Walk

from .allocating import picture, tiny_allocating
from .level_engine import tiny_levels

ROI = [(0.1, 0.0, 0.5, 0.6)]
OFFSETS = {"p3": 2, "p5": -3}
WEIGHTS = {"p3": 1, "p4": 2, "p5": 5}


def steps(walk: Walk) -> list[float]:
    return list(walk.d + offsets_of(walk.manifest, walk.importance))


def step_numbers(walk: Walk, latent: str) -> np.ndarray:
    """The step of each element, or of all."""
    found = walk.steps(latent)[0]
    return found.numbers.astype(int) if isinstance(found, StepMap) else np.array(found)


@pytest.mark.parametrize("importance", [True, WEIGHTS])
@pytest.mark.parametrize("seed", range(3))
def test_offsets_and_regions_are_added_to_what_importance_leads_to(
    importance: Any, seed: int
) -> None:
    encoder = Encoder(tiny_allocating())
    features = picture(seed)
    alone = encoder.walk(features, quality=2, importance=importance, roi=[])
    both = encoder.walk(
        features, quality=2, importance=importance, level_offsets=OFFSETS, roi=ROI, roi_gain=5
    )
    assert steps(both) == [
        a + OFFSETS.get(n, 0) for a, n in zip(steps(alone), WEIGHTS, strict=True)
    ]
    told = encoder.importance(features, roi=ROI, roi_gain=5)
    assert told.regions is not None
    assert both.importance.regions == told.regions
    packet = encoder.encode(
        features, quality=2, importance=importance, level_offsets=OFFSETS, roi=ROI, roi_gain=5
    )
    assert packet == encoder.code(both)
    decoded = Decoder(tiny_allocating()).decode(packet)
    assert [decoded[name].shape for name in WEIGHTS] == [f.shape for f in features]


def test_elements_have_the_sum_of_all_steps() -> None:
    encoder = Encoder(tiny_allocating())
    features = picture(3)
    mask = np.zeros(features[0].shape[1:], np.int16)
    mask[:16, :16], mask[32:, 32:] = -6, 3
    one = encoder.walk(features, quality=2, importance=True, roi=[])
    both = encoder.walk(features, quality=2, importance=True, roi=mask)
    for level in WEIGHTS:
        latent = f"{level}_y_even"
        change = step_numbers(both, latent) - step_numbers(one, latent)
        assert set(np.unique(change)) == {-6, 0, 3}


def test_the_bits_are_shared_out_as_without_regions() -> None:
    # Rates are measured on the picture as it is at one step, whatever is added afterwards.
    encoder = Encoder(tiny_allocating())
    features = picture(4)
    for gain in (1, 12):
        walk = encoder.walk(features, importance=True, roi=ROI, roi_gain=gain)
        assert steps(walk) == steps(encoder.walk(features, importance=True, roi=[]))


@pytest.mark.parametrize("importance", [True, WEIGHTS])
def test_sizes_are_met_with_both(importance: Any) -> None:
    encoder = Encoder(tiny_allocating())
    for seed in range(4):
        features = picture(seed)
        told = {"importance": importance, "roi": ROI, "level_offsets": OFFSETS}
        wanted = round(0.85 * len(encoder.encode(features, quality=3, **told)))
        packet = encoder.encode(features, target_bytes=wanted, **told)
        assert abs(len(packet) / wanted - 1) <= 0.03
        found = peek_packet(packet).head.importance
        assert found.regions == encoder.importance(features, roi=ROI).regions
        Decoder(tiny_allocating()).decode(packet)


def test_regions_are_those_that_are_told_or_those_that_are_found() -> None:
    encoder = Encoder(tiny_allocating())
    found = [encoder.walk(picture(k), quality=3, importance=True).importance for k in range(6)]
    assert any(one.regions for one in found)
    for told in (WEIGHTS, True):
        walk = encoder.walk(picture(0), quality=3, importance=told, roi=[])
        assert walk.importance.regions is None
    assert encoder.walk(picture(0), quality=3, importance=WEIGHTS).importance.regions is None


def test_batches_and_buffers_have_both() -> None:
    encoder = Encoder(tiny_allocating())
    pictures = [picture(seed) for seed in range(3)]
    told: dict[str, Any] = {"importance": True, "roi": ROI, "level_offsets": OFFSETS}
    alone = [encoder.encode(one, **told) for one in pictures]
    batch = [np.stack(level) for level in zip(*pictures, strict=True)]
    assert encoder.encode(batch, **told) == alone
    buffer = bytearray(1 << 16)
    size = encoder.encode_into(pictures[0], buffer, **told)
    assert bytes(buffer[:size]) == alone[0]


def test_an_importance_that_is_told_has_regions_of_its_own() -> None:
    encoder = Encoder(tiny_allocating())
    told = encoder.importance(picture(5), roi=ROI)
    for call in (encoder.encode, encoder.walk):
        with pytest.raises(ConfigError, match="not both"):
            call(picture(5), importance=told, roi=ROI)


def test_predicted_weights_stand_in_for_the_prediction() -> None:
    encoder = Encoder(tiny_allocating())
    for seed in range(3):
        features = picture(seed)
        weights = encoder.predict_weights(features)
        assert list(weights) == list(WEIGHTS)
        assert min(weights.values()) > 0
        wanted = round(1.1 * len(encoder.encode(features, quality=2)))
        told = encoder.encode(features, target_bytes=wanted, importance=weights)
        assert told == encoder.encode(features, target_bytes=wanted, importance=True, roi=[])


def test_weights_are_predicted_of_one_picture_by_engines_with_a_model() -> None:
    batch = [np.stack([level, level]) for level in picture(6)]
    with pytest.raises(ShapeError, match="batch"):
        Encoder(tiny_allocating()).predict_weights(batch)
    with pytest.raises(ConfigError, match="no importance model"):
        Encoder(tiny_levels()).predict_weights(picture(6))


def test_found_regions_do_not_keep_a_picture_from_the_ends_of_its_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = Encoder(tiny_allocating())
    manifest = tiny_allocating().manifest
    for offset, step in (-8, manifest.quality.levels[0]), (8, manifest.step_numbers[0]):
        everywhere = Regions(2, (Rectangle(0, 0, 12, 12, offset),))
        monkeypatch.setattr(Allocator, "regions", lambda *_, found=everywhere: (0, found))
        wanted = len(encoder.encode(picture(1), step=step))
        packet = encoder.encode(picture(1), target_bytes=wanted, importance=True)
        assert abs(len(packet) / wanted - 1) <= 0.03
        assert peek_packet(packet).head.importance.regions is None
        with pytest.raises(TargetError):
            encoder.encode(picture(1), target_bytes=10**6, importance=True)
