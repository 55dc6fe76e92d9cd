"""The bars against features in x265, and of importance against none."""

from __future__ import annotations

import pytest

from benchmarks.engine_coder import engine_systems
from benchmarks.rate_bars import ANCHOR, rate_bars
from benchmarks.systems import PLAIN, System
from fcmrt import Engine
from fcmrt.tasks.task import MOVENET, NANODET, SELFIE, Task

CODEC = System("a", (), (), family="lmsfc-v1")
HEAD = {"codec": "a", "allocation": PLAIN, "anchor": ANCHOR}


def verdicts(agreement: float, distance: float, ratio: float) -> list[str]:
    rates = [
        {**HEAD, "metric": "agreement", "percent": agreement},
        {**HEAD, "metric": "distance", "percent": distance},
    ]
    rows = rate_bars(NANODET, [CODEC], rates, [{**HEAD, "ratio": ratio}])
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
    met = [row["met"] for row in rate_bars(NANODET, [CODEC], other, other)]
    assert met == ["not measured"] * 3


def test_bars_against_x265_are_of_lmsfc_on_detection() -> None:
    codecs = [System(name, (), (), family=name) for name in ("lmsfc-v1", "lmsfc-v2", "elic", "")]
    named = {row["bar"].split(":")[0] for row in rate_bars(NANODET, codecs, [], [])}
    assert named == {"lmsfc-v1", "lmsfc-v2"}
    assert rate_bars(MOVENET, codecs, [], []) == rate_bars(SELFIE, codecs, [], []) == []


def test_systems_tell_the_family_of_their_engine() -> None:
    (system,) = engine_systems([Engine.builtin()])
    assert system.family == Engine.builtin().manifest.family
    assert len(rate_bars(NANODET, [system], [], [])) == 3


def test_importance_is_held_against_the_same_codec_without() -> None:
    codec = System("a", (), (), "importance", family="lic-tcm")
    head = {"codec": "a", "allocation": "importance", "metric": "distance"}
    rates = [
        {**head, "anchor": "a", "percent": -21.0, "high": -3.0},
        {**head, "anchor": "a (mse)", "percent": -14.0, "high": 0.5},
    ]
    found = rate_bars(NANODET, [codec], rates, [])
    assert len(found) == 8
    rows = [row for row in found if row["measured"] is not None]
    assert [(row["measured"], row["met"]) for row in rows] == [
        (-21.0, "yes"),
        (-3.0, "yes"),
        (-14.0, "no"),
        (0.5, "no"),
    ]
    assert "against a, equal distance" in rows[0]["bar"]
    assert "against a (mse), equal distance" in rows[2]["bar"]


@pytest.mark.parametrize(
    ("family", "task", "met"),
    [
        ("elic", NANODET, "no"),
        ("elic", MOVENET, "yes"),
        ("lic-tcm", NANODET, "yes"),
        ("lic-tcm", MOVENET, "yes"),
        ("elic", SELFIE, None),
        ("mine", NANODET, None),
    ],
)
def test_what_is_wanted_follows_family_and_task(family: str, task: Task, met: str | None) -> None:
    rates = [
        {
            "codec": "a",
            "allocation": allocation,
            "metric": "distance",
            "anchor": "a",
            "percent": -18.0,
            "high": -3.0,
        }
        for allocation in ("importance", "within")
    ]
    codecs = [System("a", (), (), name, family=family) for name in ("importance", "within")]
    rows = rate_bars(task, codecs, rates, [])
    assert [row["met"] for row in rows if row["measured"] == -18.0] == ([met] if met else [])
