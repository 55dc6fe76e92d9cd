"""How near packets come to a size is told of the sizes asked for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.target_size import (
    analysis_graphs,
    bars_of,
    counting_encoder,
    measure,
    wanted_sizes,
)
from fcmrt import Encoder

from ..allocating import picture, tiny_allocating
from ..level_engine import LEVELS, tiny_levels

NAMES = [level.name for level in LEVELS]


def features(seed: int) -> dict[str, Any]:
    return dict(zip(NAMES, picture(seed), strict=True))


def test_sizes_reach_from_end_to_end_of_what_a_picture_can_have() -> None:
    encoder, one = Encoder(tiny_levels()), features(0)
    manifest = encoder.engine.manifest
    sizes = wanted_sizes(encoder, one, 5)
    assert sizes == sorted(sizes)
    assert len(sizes) == 5
    assert sizes[0] == len(encoder.encode(one, step=manifest.quality.levels[0]))
    assert sizes[-1] == len(encoder.encode(one, step=manifest.step_numbers[0]))


def test_each_way_to_share_out_has_a_row() -> None:
    rows = measure(tiny_allocating(), [features(1), features(2)], 2)
    assert [(row["allocation"], row["packets"]) for row in rows] == [("none", 4), ("importance", 4)]
    for row in rows:
        assert 0 <= row["median_miss"] <= row["largest_miss"]
        assert row["smallest_bytes"] < row["largest_bytes"]
        assert 1 <= row["tries"] <= row["most_tries"]
        assert row["analysis_runs"] == 1
        assert bars_of([row])[2]["met"] == "yes"
    assert [row["allocation"] for row in measure(tiny_levels(), [features(1)], 2)] == ["none"]


def test_tries_and_runs_of_analysis_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert analysis_graphs(tiny_allocating().manifest) == {f"{name}_analysis" for name in NAMES}
    encoder, executor = counting_encoder(tiny_allocating())
    encoder.encode(features(4))
    assert executor.counted() == (1, 1)
    assert executor.counted() == (0, 0)
    walk = encoder.walk(features(4))
    encoder.code(encoder.requantise(walk, step=1))
    encoder.code(encoder.walk(features(4)))
    assert executor.counted() == (2, 2)

    encode = Encoder.encode

    def twice(self: Encoder, one: Any, **more: Any) -> Any:
        encode(self, one)
        return encode(self, one, **more)

    monkeypatch.setattr(Encoder, "encode", twice)
    (row,) = measure(tiny_levels(), [features(3)], 2)
    assert row["analysis_runs"] == 2
    assert bars_of([row])[2]["met"] == "no"


def test_misses_are_those_of_the_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Encoder.encode

    def too_long(self: Encoder, one: Any, **more: Any) -> Any:
        wanted = more.pop("target_bytes", None)
        return encode(self, one, **more) if wanted is None else bytes(round(1.1 * wanted))

    monkeypatch.setattr(Encoder, "encode", too_long)
    (row,) = measure(tiny_levels(), [features(3)], 3)
    assert row["near"] == 0
    assert row["largest_miss"] == pytest.approx(0.1, abs=0.01)
    assert [one["met"] for one in bars_of([row])] == ["no", "no", "not measured"]
