"""A paired test finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.paired import Paired
from benchmarks.statistics import Measured

pytest.importorskip("scipy")

Float64 = NDArray[np.float64]

PICTURES = 24
GROUPS = [f"photo {k // 2}" for k in range(PICTURES)]  # a photo and its crop


def point(label: int, first: Float64, second: Float64) -> Measured:
    """A picture's agreement is what is given; its distance as far from 1 as the agreement."""
    both = np.concatenate([first, second])

    def agreement(weights: Float64) -> float:
        return float(both @ weights / weights.sum())

    sums = np.stack([1 - both, np.ones(len(both))], 1)
    return Measured(label, np.ones(len(both)), agreement, sums)


def noise(seed: int) -> Float64:
    return np.random.default_rng(seed).uniform(0.4, 0.6, PICTURES)


def test_a_way_that_is_better_in_every_picture_is_found() -> None:
    first = noise(0)
    paired = Paired([point(1, first, first + 0.05)], GROUPS)
    agreement, distance = paired.compare("agreement", [0]), paired.compare("distance", [0])
    assert agreement.change == pytest.approx(5)
    assert (agreement.low, agreement.high) == pytest.approx((5, 5))
    mean = 1 - first.mean()
    assert distance.change == pytest.approx(-5 / mean)
    assert distance.low < distance.change < distance.high < 0
    # 12 photos: one of 2^12 exchanges is as good, that in which nothing is exchanged.
    assert agreement.p == distance.p == pytest.approx(1 / 2**12)


def test_a_way_that_is_worse_is_not_taken_for_better() -> None:
    first = noise(1)
    paired = Paired([point(1, first, first - 0.05)], GROUPS)
    assert paired.compare("agreement", [0]).p == pytest.approx(1)
    assert paired.compare("distance", [0]).change > 0


def test_chance_alone_is_seldom_found() -> None:
    found = [
        Paired([point(1, noise(2 * k), noise(2 * k + 1))], GROUPS, 199).compare("distance", [0]).p
        for k in range(30)
    ]
    assert np.mean(np.array(found) < 0.05) < 0.2
    assert 0.3 < np.mean(found) < 0.7


def test_a_photo_and_its_crops_are_one() -> None:
    """The more pictures are exchanged together, the less the same advantage says."""
    first = noise(3)
    one = [point(1, first, first + 0.05)]
    few = Paired(one, [f"photo {k // 8}" for k in range(PICTURES)]).compare("agreement", [0])
    assert few.p == pytest.approx(1 / 2**3)
    assert np.isnan(Paired(one, ["photo"] * PICTURES).compare("agreement", [0]).p)


def test_operating_points_are_tested_together() -> None:
    first = noise(4)
    paired = Paired([point(1, first, first + 0.04), point(2, first, first - 0.02)], GROUPS)
    assert paired.compare("agreement", [0, 1]).change == pytest.approx(1)
    assert paired.compare("agreement", [1]).change == pytest.approx(-2)
    assert paired.compare("agreement", [0, 1]).p == pytest.approx(1 / 2**12)
