"""Rows, pairs and comparisons of a rate-accuracy run, on values whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.comparisons import LEAST_OVERLAP, compare, pairs, rows_of, shown, smallest
from benchmarks.statistics import Curve, Measured, Values, draws
from benchmarks.systems import PLAIN, System
from fcmrt.tasks.mask_agreement import Overlap, pooled_iou
from fcmrt.tasks.task import SELFIE

HEAD = {"task": "selfie", "codec": "ours", "allocation": PLAIN, "anchor": "theirs"}
SIZES = np.geomspace(300, 30_000, 8)
AGREEMENT = np.linspace(0.3, 0.98, 8)


def drawn(factor: float, noise: float = 0.0, agreement: np.ndarray = AGREEMENT) -> list[Values]:
    """A curve and 100 drawings of it, `factor` times the bytes."""
    rng = np.random.default_rng(0)
    spread = [0.0, *rng.normal(0, noise, 100)]
    return [Values(factor * SIZES * np.exp(s), agreement, 1.2 - agreement) for s in spread]


def test_half_the_bytes_at_equal_merit_are_minus_fifty_percent() -> None:
    ratios, rates = compare(HEAD, drawn(0.5), drawn(1))
    assert [row["metric"] for row in ratios] == ["agreement", "distance"]
    for ratio, rate in zip(ratios, rates, strict=True):
        assert HEAD.items() <= rate.items()
        assert rate["percent"] == pytest.approx(-50)
        assert (rate["low"], rate["high"]) == pytest.approx((-50, -50))
        assert rate["overlap"] == pytest.approx(1)
        assert [point["ratio"] for point in ratio["points"]] == pytest.approx([2] * 8)
    assert [row["ratio"] for row in smallest(ratios)] == pytest.approx([2, 2])


def test_what_a_drawing_changes_for_both_is_not_in_the_interval() -> None:
    """Pictures are paired: when a drawing is of large pictures, both curves take more bytes."""
    _, rates = compare(HEAD, drawn(0.5, noise=0.3), drawn(1, noise=0.3))
    for rate in rates:
        assert (rate["low"], rate["high"]) == pytest.approx((-50, -50))


def test_what_changes_for_one_is_in_the_interval() -> None:
    _, rates = compare(HEAD, drawn(0.5, noise=0.1), drawn(1))
    for rate in rates:
        assert rate["low"] < rate["percent"] - 3
        assert rate["high"] > rate["percent"] + 3


def test_with_little_overlap_nothing_is_said() -> None:
    few = np.linspace(0.8, 0.999, 8)
    ratios, rates = compare(HEAD, drawn(1), drawn(1, agreement=few))
    assert rates == []
    assert all(np.isnan(ratios[0]["points"][0][key]) for key in ("ratio", "low", "high"))
    enough = np.linspace(0.98 - 0.68 * (LEAST_OVERLAP + 0.01), 0.999, 8)
    assert len(compare(HEAD, drawn(1), drawn(1, agreement=enough))[1]) >= 1


def test_drawings_without_a_figure_or_with_little_overlap_are_told() -> None:
    ours, theirs = drawn(0.5), drawn(1)
    (_, rates) = compare(HEAD, ours, theirs)
    assert [rate["draws"] for rate in rates] == [1, 1]
    assert [row["draws"] for row in shown(rates)] == [None, None]
    flat = np.full(8, 0.5)
    for k in range(1, 11):  # of 100: no curve at all
        theirs[k] = theirs[k]._replace(agreement=flat, distance=flat)
    few = np.linspace(0.9, 0.999, 8)
    for k in range(11, 31):  # and here one that covers an eighth of the other
        theirs[k] = theirs[k]._replace(agreement=few, distance=1.2 - few)
    (_, rates) = compare(HEAD, ours, theirs)
    assert [rate["draws"] for rate in rates] == pytest.approx([0.7, 0.7])
    assert [row["draws"] for row in shown(rates)] == pytest.approx([0.7, 0.7])
    assert all(np.isfinite(rate["low"]) for rate in rates)


def system(codec: str, allocation: str = PLAIN) -> System:
    return System(codec, (), (), allocation)


def test_allocations_are_compared_with_the_same_model_too() -> None:
    codecs = [system("a"), system("a", "mse"), system("a", "task"), system("b")]
    anchors = [system("x265")]
    names = [(codec.name, anchor.name) for codec, anchor in pairs(codecs, anchors)]
    assert names == [
        ("a", "x265"),
        ("a (mse)", "x265"),
        ("a (mse)", "a"),
        ("a (mse)", "a (task)"),
        ("a (task)", "x265"),
        ("a (task)", "a"),
        ("a (task)", "a (mse)"),
        ("b", "x265"),
    ]


def test_rows_tell_figures_and_intervals() -> None:
    rng = np.random.default_rng(0)
    groups = [str(k // 2) for k in range(12)]
    overlaps = [Overlap(int(n), 100, 1) for n in rng.integers(40, 90, 12)]
    sums = np.stack([rng.uniform(0, 1, 12), np.ones(12)], 1)
    point = Measured(7, rng.uniform(900, 1100, 12), pooled_iou(overlaps), sums)
    values = [Curve([point]).values(row) for row in draws(groups, 200)]
    (row,) = rows_of(SELFIE, system("a", "mse"), [point], values)
    assert (row["task"], row["codec"], row["allocation"], row["quality"]) == (
        "selfie",
        "a",
        "mse",
        7,
    )
    assert row["bytes"] == pytest.approx(point.bytes.mean())
    assert row["bits_per_pixel"] == pytest.approx(point.bytes.mean() * 8 / 256**2)
    assert row["agreement"] == pytest.approx(np.mean([o.intersection for o in overlaps]) / 100)
    assert row["distance"] == pytest.approx(sums[:, 0].mean())
    for metric in ("agreement", "distance"):
        assert row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"]
