"""The bars against features in x265."""

from __future__ import annotations

from benchmarks.rate_bars import ANCHOR, rate_bars
from benchmarks.systems import PLAIN, System

CODEC = System("a", (), ())
HEAD = {"codec": "a", "allocation": PLAIN, "anchor": ANCHOR}


def verdicts(agreement: float, distance: float, ratio: float) -> list[str]:
    rates = [
        {**HEAD, "metric": "agreement", "percent": agreement},
        {**HEAD, "metric": "distance", "percent": distance},
    ]
    rows = rate_bars([CODEC], rates, [{**HEAD, "ratio": ratio}])
    assert [row["measured"] for row in rows] == [agreement, distance, ratio]
    return [row["met"] for row in rows]


def test_bars_are_met_or_not() -> None:
    assert verdicts(-52, -60, 5) == ["yes", "yes", "yes"]
    assert verdicts(-51.9, -52, 4.9) == ["no", "yes", "no"]


def test_another_anchor_or_allocation_says_nothing() -> None:
    other = [
        {**HEAD, "anchor": "pixels+avif", "metric": "agreement", "percent": -90.0, "ratio": 9.0},
        {**HEAD, "allocation": "mse", "metric": "agreement", "percent": -90.0, "ratio": 9.0},
    ]
    assert [row["met"] for row in rate_bars([CODEC], other, other)] == ["not measured"] * 3
