"""The arithmetic of the latency table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import latency
from benchmarks.latency import CallTimes

MS = 1_000_000
HEAD = {"engine": "x", "device": "cpu", "batch": 1, "direction": "encode"}


def test_runtime_is_what_networks_and_coder_leave() -> None:
    calls = [
        {"prepare": 1 * MS, "analysis": 6 * MS, "hyper": 2 * MS, "code": 3 * MS, "total": 14 * MS}
    ] * 3
    rows = {r["stage"]: r for r in latency.stage_rows(calls, ["analysis", "hyper"], HEAD)}
    assert rows["networks"]["p50"] == 8
    assert rows["runtime"]["p50"] == 3
    assert rows["total"]["p99"] == 14
    assert rows["runtime"]["share"] == pytest.approx(3 / 14)
    assert list(rows)[-1] == "total"
    assert rows["code"] | HEAD == rows["code"]


def test_a_stage_that_some_calls_lack_counts_as_nothing_there() -> None:
    calls = [{"code": 2 * MS, "total": 4 * MS}, {"total": 4 * MS}]
    rows = {r["stage"]: r for r in latency.stage_rows(calls, [], HEAD)}
    assert rows["code"]["mean"] == 1


@pytest.mark.parametrize(
    ("slow", "words"),
    [("net", "'net' network"), ("code", "coder would"), ("prepare", "surrounds")],
)
def test_the_diagnosis_names_the_largest_part(slow: str, words: str) -> None:
    call = {"net": MS, "code": MS, "prepare": MS}
    call[slow] = 10 * MS
    rows = latency.stage_rows([call | {"total": 12 * MS}], ["net"], HEAD)
    found = latency.diagnose(rows, ["net"])
    assert words in found
    assert "12.00 ms" in found


def test_calls_are_timed_after_a_warm_up_and_stages_of_a_batch_add_up() -> None:
    recorder = CallTimes()
    seen = []

    def call(k: int) -> None:
        seen.append(k)
        for _ in range(3):  # a batch of three
            recorder.record("code", 5)
            recorder.record("total", 7)

    calls = latency.time_calls(call, recorder, 4)
    assert seen == list(range(-latency.WARM_UP, 4))
    assert len(calls) == 4
    assert all(stages["code"] == 15 for stages in calls)
    assert all(stages["total"] != 21 for stages in calls)  # the caller's own clock


def test_batches_take_pictures_in_turn() -> None:
    features = [{"p3": np.full((2, 3, 3), k, np.float32)} for k in range(3)]
    assert latency.batches(features, 1) == features
    stacked = latency.batches(features, 2)
    assert [item["p3"].shape for item in stacked] == [(2, 2, 3, 3)] * 3
    assert [item["p3"][:, 0, 0, 0].tolist() for item in stacked] == [[0, 1], [1, 2], [2, 0]]
