"""Work that fails, and a device that stops answering."""

from __future__ import annotations

from typing import Any

from benchmarks.attempts import LOST, Attempts, failures


def fails() -> Any:
    raise ValueError("planted")


def test_a_failure_is_a_row_and_the_rest_goes_on() -> None:
    attempts = Attempts(lambda: True)
    head = {"source": "mid", "packets": 3}
    assert attempts.rows(head, lambda: [{"us": 1}]) == [{"us": 1}]
    (failed,) = attempts.rows(head, fails)
    assert failed == {"source": "mid", "packets": 3, "error": "ValueError: planted"}
    assert not attempts.lost
    assert attempts.rows(head, lambda: iter([{"us": 2}])) == [{"us": 2}]
    assert failures([failed, {"us": 2}]) == [failed]


def test_nothing_is_begun_on_a_lost_device() -> None:
    attempts = Attempts(lambda: False)
    attempts.rows({"n": 1}, fails)
    assert attempts.lost
    begun: list[int] = []
    (row,) = attempts.rows({"n": 2}, lambda: begun.append(1) or [])
    assert row == {"n": 2, "error": LOST}
    assert not begun
