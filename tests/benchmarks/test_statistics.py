"""Statistics on synthetic measurements whose answers are known."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as some

from benchmarks import statistics as st
from benchmarks.statistics import Curve, Measured, Values
from fcmrt.tasks.agreement import Matches, pooled_precision

GROUPS = [f"photo{k // 5}" for k in range(60)]


def measured(seed: int, size: float, quality: float) -> Measured:
    """A point with 60 pictures of about `size` bytes, a share `quality` of hits."""
    rng = np.random.default_rng(seed)
    matches = [
        Matches(rng.uniform(0.1, 1, 6), rng.random(6) < quality, 6) for _ in range(len(GROUPS))
    ]
    sums = np.stack([rng.uniform(0, 2 - 2 * quality, 60), np.full(60, 1.0)] * 2, 1)
    return Measured("x", rng.normal(size, size / 20, 60), pooled_precision(matches), sums)


def values(sizes: list[float], agreement: list[float], distance: list[float]) -> Values:
    return Values(np.array(sizes), np.array(agreement), np.array(distance))


def test_draws_keep_groups_together_and_start_with_all() -> None:
    drawn = st.draws(GROUPS, 50)
    assert drawn.shape == (51, 60)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(1) == 60).all()
    by_group = drawn.reshape(51, 12, 5)
    assert (by_group == by_group[:, :, :1]).all()
    assert (drawn == st.draws(GROUPS, 50)).all()
    assert (drawn != st.draws(GROUPS, 50, seed=2)).any()


def test_plain_values_are_the_figures_themselves() -> None:
    point = measured(0, 1000, 0.7)
    found = Curve([point]).values(np.ones(60))
    assert found.bytes[0] == pytest.approx(point.bytes.mean())
    assert found.agreement[0] == point.agreement(np.ones(60))
    total = point.sums.sum(0)
    assert found.distance[0] == pytest.approx(total[0] / total[1] + total[2] / total[3])


@pytest.mark.parametrize("quality", [0.3, 0.6, 0.9])
def test_intervals_contain_the_figure(quality: float) -> None:
    curve = Curve([measured(7, 2000, quality)])
    found = [curve.values(row) for row in st.draws(GROUPS, 400)]
    for name in Values._fields:
        samples = np.array([getattr(one, name)[0] for one in found])
        low, high = st.interval(samples[1:])
        assert low < samples[0] < high
        assert high - low < 0.8 * samples[0]


def test_bootstrap_interval_of_a_mean_has_the_textbook_width() -> None:
    point = measured(1, 1000, 0.5)
    alone = [str(k) for k in range(60)]
    found = [Curve([point]).values(row).bytes[0] for row in st.draws(alone, 2000)[1:]]
    low, high = st.interval(np.array(found))
    assert high - low == pytest.approx(2 * 1.96 * point.bytes.std() / np.sqrt(60), rel=0.1)


def test_interval_leaves_out_what_could_not_be_computed() -> None:
    assert st.interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert np.isnan(st.interval(np.array([np.nan]))).all()


def test_frontier_keeps_the_best_points_only() -> None:
    sizes = np.array([400.0, 100, 200, 300, 200, 500])
    quality = np.array([0.9, 0.5, 0.7, 0.6, 0.4, np.nan])
    best_sizes, best = st.frontier(sizes, quality)
    assert best_sizes.tolist() == [100, 200, 400]
    assert best.tolist() == [0.5, 0.7, 0.9]


def test_bytes_for_is_exact_on_points_and_geometric_between() -> None:
    sizes, quality = np.array([100.0, 10_000]), np.array([0.2, 0.8])
    found = st.bytes_for(np.array([0.2, 0.5, 0.8, 0.1, 0.9]), sizes, quality)
    assert found[:3] == pytest.approx([100, 1000, 10_000])
    assert np.isnan(found[3:]).all()  # no extrapolation
    assert np.isnan(st.bytes_for(np.array([0.5]), sizes[:0], quality[:0])).all()


@pytest.mark.parametrize("metric", st.METRICS)
def test_a_codec_at_a_quarter_of_the_bytes_has_ratio_four(metric: st.Metric) -> None:
    sizes = np.geomspace(1000, 100_000, 9)
    agreement = np.linspace(0.2, 0.99, 9)
    distance = np.geomspace(2, 0.01, 9)
    anchor = Values(sizes, agreement, distance)
    codec = Values(sizes / 4, agreement, distance)
    assert st.ratios(codec, anchor, metric) == pytest.approx(np.full(9, 4.0))
    assert st.bd_rate(codec, anchor, metric) == pytest.approx(-75, abs=0.1)
    assert st.overlap(codec, anchor, metric) == pytest.approx(1)


def test_a_point_worse_than_a_smaller_one_is_charged_its_bytes() -> None:
    anchor = values([1000, 10_000], [0.2, 0.8], [1, 0.1])
    codec = values([400, 100], [0.4, 0.5], [1, 1])
    found = st.ratios(codec, anchor, "agreement")
    needed = 1000 * 10**0.5  # for 0.5, which 100 bytes already give
    assert found == pytest.approx([needed / 400, needed / 100])


def test_nothing_is_said_where_the_anchor_has_nothing() -> None:
    anchor = values([1000, 10_000], [0.6, 0.8], [1, 0.1])
    codec = values([100, 200, 300], [0.5, 0.7, 0.9], [2, 0.5, 0.05])
    for metric in st.METRICS:
        found = st.ratios(codec, anchor, metric)
        assert np.isfinite(found).tolist() == [False, True, False]
        assert st.overlap(codec, anchor, metric) < 1


def test_summary_of_ratios_holds_points_minimum_and_intervals() -> None:
    rng = np.random.default_rng(0)
    anchor_sizes = np.geomspace(1000, 100_000, 9)
    agreement = np.linspace(0.2, 0.99, 9)
    anchor = Values(anchor_sizes, agreement, 1 - agreement)
    true = np.linspace(3, 6, 9)
    drawn = [Values(anchor_sizes / true, agreement, 1 - agreement)]
    drawn += [
        Values(anchor_sizes / true * np.exp(rng.normal(0, 0.05, 9)), agreement, 1 - agreement)
        for _ in range(200)
    ]
    found = st.summarise_ratios(drawn, [anchor] * 201, "agreement")
    assert found.points[:, 0] == pytest.approx(true)
    assert (found.points[1:-1, 1] < true[1:-1]).all()
    assert (found.points[1:-1, 2] > true[1:-1]).all()
    assert found.minimum[0] == pytest.approx(3)
    assert found.minimum[1] < 3


def test_without_overlap_there_is_no_bd_rate() -> None:
    low = values([100, 200, 300], [0.1, 0.2, 0.3], [3, 2.5, 2])
    high = values([1000, 2000, 3000], [0.6, 0.7, 0.8], [1, 0.5, 0.1])
    assert np.isnan(st.bd_rate(low, high, "agreement"))
    assert st.overlap(low, high, "agreement") == 0
    assert np.isnan(st.summarise_ratios([low] * 3, [high] * 3, "agreement").points).all()


def test_more_bytes_for_the_same_is_a_positive_bd_rate() -> None:
    sizes = np.geomspace(1000, 100_000, 9)
    agreement, distance = np.linspace(0.2, 0.99, 9), np.geomspace(2, 0.01, 9)
    anchor, codec = Values(sizes, agreement, distance), Values(1.5 * sizes, agreement, distance)
    assert st.bd_rate(codec, anchor, "distance") == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize("metric", st.METRICS)
@hypothesis.given(
    points=some.integers(2, 12), factor=some.floats(0.1, 10), seed=some.integers(0, 999)
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_bd_rate_of_a_curve_moved_by_a_factor_is_that_factor(
    metric: st.Metric, points: int, factor: float, seed: int
) -> None:
    """Identical curves: 0 %; half the bytes at equal merit: -50 %; whatever the curve's shape."""
    rng = np.random.default_rng(seed)
    sizes = 300 * np.exp(np.cumsum(rng.uniform(0.1, 1, points)))
    agreement = np.sort(rng.uniform(0.1, 0.99, points))
    distance = np.sort(rng.uniform(0.01, 2, points))[::-1]
    anchor = Values(sizes, agreement, distance)
    assert st.bd_rate(anchor, anchor, metric) == pytest.approx(0, abs=1e-9)
    codec = Values(factor * sizes, agreement, distance)
    assert st.bd_rate(codec, anchor, metric) == pytest.approx(100 * (factor - 1), rel=1e-6)
    halved = Values(sizes / 2, agreement, distance)
    assert st.bd_rate(halved, anchor, metric) == pytest.approx(-50, abs=1e-6)


def test_pooled_terms_of_a_distance() -> None:
    sums = np.array([[1.0, 4.0], [1.0, 0.0]])
    one = Measured("x", np.ones(2), lambda weights: 0.5, sums)
    assert Curve([one]).values(np.ones(2)).distance[0] == pytest.approx(2 / 4)
    assert Curve([one]).values(np.array([2.0, 0.0])).distance[0] == pytest.approx(1 / 4)
