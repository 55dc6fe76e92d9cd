"""The bars against features in x265, and of importance against none."""

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


def test_importance_is_held_against_the_same_codec_without() -> None:
    codec = System("a", (), (), "importance")
    head = {"codec": "a", "allocation": "importance", "metric": "distance"}
    rates = [
        {**head, "anchor": "a", "percent": -21.0, "high": -3.0},
        {**head, "anchor": "a (mse)", "percent": -14.0, "high": 0.5},
    ]
    rows = [row for row in rate_bars([codec], rates, []) if row["measured"] is not None]
    assert [(row["measured"], row["met"]) for row in rows] == [
        (-21.0, "yes"),
        (-3.0, "yes"),
        (-14.0, "no"),
        (0.5, "no"),
    ]
    assert "against a, equal distance" in rows[0]["bar"]
    assert "against a (mse), equal distance" in rows[2]["bar"]


def test_more_is_wanted_of_elic_on_detection() -> None:
    met = {}
    for name in ("elic-nanodet-light", "elic-movenet-light", "lic-tcm-nanodet-light"):
        row = {"codec": name, "allocation": "importance", "metric": "distance", "anchor": name}
        rates = [{**row, "percent": -18.0, "high": -3.0}]
        found = rate_bars([System(name, (), (), "importance")], rates, [])
        met[name] = next(row["met"] for row in found if row["measured"] == -18.0)
    assert met == {
        "elic-nanodet-light": "no",
        "elic-movenet-light": "yes",
        "lic-tcm-nanodet-light": "yes",
    }
