"""What importance costs is told of the right packets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import importance_cost
from benchmarks.importance_cost import (
    BEFORE,
    GIVEN,
    HERE,
    LEVELS_ALONE,
    OFF,
    PREDICTED,
    PREDICTOR,
    SAME_BEFORE,
    SAME_BY_HAND,
    SAME_WITHOUT,
    SYNTHESIS,
    WEIGHTED,
    WITHOUT_MODEL,
    against_before,
    bars_of,
    measure,
    rows_of,
    signed,
    without_model,
)
from fcmrt import Encoder

from ..allocating import picture, tiny_allocating
from ..level_engine import LEVELS, tiny_levels

NAMES = [level.name for level in LEVELS]


@pytest.fixture(scope="module")
def pictures() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, picture(seed), strict=True)) for seed in range(2)]


def test_an_engine_without_its_model_is_what_it_was(tmp_path: Path) -> None:
    plain = without_model(tiny_allocating(), tmp_path / "plain.fcmrt")
    assert plain.digest == tiny_levels().digest


def test_ways_are_measured_and_packets_compared(
    tmp_path: Path, pictures: list[dict[str, Any]]
) -> None:
    plain = without_model(tiny_allocating(), tmp_path / "plain.fcmrt")
    rows, same = measure(tiny_allocating(), plain, pictures, 2, 2)
    *timed, last = rows
    ways = [WITHOUT_MODEL, OFF, PREDICTED, LEVELS_ALONE, WEIGHTED, GIVEN, PREDICTOR]
    assert [r["what"] for r in timed] == ways
    assert all(row["ms"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in timed)
    assert last["what"] == SYNTHESIS
    assert last["ratio"] == pytest.approx(last["ms"] / timed[0]["ms"])
    assert same == {SAME_WITHOUT: 1, SAME_BY_HAND: 1}


def test_other_bytes_are_told(
    tmp_path: Path, pictures: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = without_model(tiny_allocating(), tmp_path / "plain.fcmrt")
    encode = Encoder.encode

    def other(self: Encoder, features: Any, **more: Any) -> Any:
        step = 3 if self.engine is plain or "step" in more else None
        more = {key: value for key, value in more.items() if key != "step"}
        return encode(self, features, step=step, **more)

    monkeypatch.setattr(Encoder, "encode", other)
    _, same = measure(tiny_allocating(), plain, pictures, 2, 1)
    assert same == {SAME_WITHOUT: 0, SAME_BY_HAND: 0}


def test_checksums_of_either_length_are_left_out(tmp_path: Path) -> None:
    """Packets of more than 4095 bytes have a checksum of four bytes, shorter ones of two."""
    plain = without_model(tiny_allocating(), tmp_path / "plain.fcmrt")
    sides = {2: 48, 4: 480}
    for length, side in sides.items():
        one = dict(zip(NAMES, picture(0, side=side), strict=True))
        packets = [Encoder(e).encode(one, step=0) for e in (tiny_allocating(), plain)]
        assert (len(packets[0]) > 4095) == (length == 4)
        ours, theirs = (bytes(packet) for packet in packets)
        assert ours != theirs
        assert signed(ours) == signed(theirs) == ours[:-length]


def test_builds_encode_in_turns(tmp_path: Path, pictures: list[dict[str, Any]]) -> None:
    path = tmp_path / "plain.fcmrt"
    without_model(tiny_allocating(), path)
    rows, same = against_before(sys.executable, path, pictures, 2, 3)
    assert [row["what"] for row in rows] == [BEFORE, HERE]
    assert same == 1


def test_ratios_are_taken_round_by_round() -> None:
    base = np.array([1.0, 10.0, 1.0, 10.0])
    (_, row) = rows_of({"base": base, "half": base / 2}, "base")
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((0.5, 0.5, 0.5))


def test_bars() -> None:
    ratios = {PREDICTOR: 0.06, OFF: 1.0}
    rows = [{"what": name, "ratio": ratio} for name, ratio in ratios.items()]
    found = [row["met"] for row in bars_of(rows, {SAME_WITHOUT: 1.0})]
    assert found == ["no", "yes", "not measured", "yes", "not measured"]
    rows.append({"what": HERE, "ratio": 1 + 2 * (importance_cost.MOST_OFF - 1)})
    found = [row["met"] for row in bars_of(rows, {SAME_WITHOUT: 0.9, SAME_BEFORE: 1.0})]
    assert found[2:] == ["no", "no", "yes"]
