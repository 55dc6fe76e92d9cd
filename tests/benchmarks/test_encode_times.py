"""Times of encoding, on coders that take a known time."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import blocks
from benchmarks.encode_times import time_encoding, time_ratios
from benchmarks.systems import PLAIN, System


class Sleeper:
    """Takes its time, and notes what it was given."""

    def __init__(self, label: int, seconds: float) -> None:
        self.label, self.seconds = label, seconds
        self.given: list[str] = []

    def encode(self, source: str) -> None:
        self.given.append(source)
        time.sleep(self.seconds)

    def round_trip(self, source: str) -> tuple[int, str]:
        return 0, source


def system(codec: str, *milliseconds: float, pixels: bool = False) -> System:
    coders = tuple(Sleeper(k, 1e-3 * ms) for k, ms in enumerate(milliseconds))
    return System(codec, coders, coders, pixels=pixels)


def evaluation(pictures: int) -> Any:
    references = [
        SimpleNamespace(features=f"f{k}", pixels=f"p{k}", item=SimpleNamespace(whole=k % 2 == 1))
        for k in range(pictures)
    ]
    return SimpleNamespace(references=references, task=SimpleNamespace(name="nanodet"))


def test_features_and_pixels_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PAUSE_S", 0)
    fast, slow = system("fast", 1, 3), system("slow", 9, pixels=True)
    rows = time_encoding([fast, slow], evaluation(5), pictures=2, repeats=4)
    assert [(row["codec"], row["quality"]) for row in rows] == [
        ("fast", 0),
        ("fast", 1),
        ("slow", 0),
    ]
    for row, least in zip(rows, (1, 3, 9), strict=True):
        assert row["task"] == "nanodet"
        assert least <= row["encode_ms"] < least + 50
        assert row["spread"] >= 0
    given = [set(cast("Sleeper", one.few[0]).given) for one in (fast, slow)]
    assert given == [{"f1", "f3"}, {"p1", "p3"}]  # the whole ones


def test_ratios_of_means_and_of_the_anchors_best_to_the_codecs_worst() -> None:
    ours, theirs, picture = system("a"), system("x"), system("p", pixels=True)
    rows = [
        {"task": "t", "codec": codec, "allocation": PLAIN, "encode_ms": ms}
        for codec, ms in (("a", 10), ("a", 20), ("x", 60), ("x", 90), ("x", 150), ("p", 1))
    ]
    (row,) = time_ratios(rows, [ours], [theirs, picture])
    assert row == {
        "task": "t",
        "codec": "a",
        "allocation": PLAIN,
        "anchor": "x",
        "ratio": pytest.approx(100 / 15),
        "least": pytest.approx(3),
    }
