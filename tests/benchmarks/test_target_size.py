"""How near packets come to a size is told of the sizes asked for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.target_size import bars_of, measure, wanted_sizes
from fcmrt import Encoder

from ..allocating import picture, tiny_allocating
from ..level_engine import LEVELS, tiny_levels

NAMES = [level.name for level in LEVELS]


def features(seed: int) -> dict[str, Any]:
    return dict(zip(NAMES, picture(seed), strict=True))


def test_sizes_lie_within_what_a_picture_can_have() -> None:
    encoder, one = Encoder(tiny_levels()), features(0)
    manifest = encoder.engine.manifest
    sizes = wanted_sizes(encoder, one, 5)
    assert sizes == sorted(sizes)
    assert len(sizes) == 5
    assert len(encoder.encode(one, step=manifest.quality.levels[0])) < sizes[0]
    assert sizes[-1] < len(encoder.encode(one, step=manifest.step_numbers[0]))


def test_each_way_to_share_out_has_a_row() -> None:
    rows = measure(tiny_allocating(), [features(1), features(2)], 2)
    assert [(row["allocation"], row["packets"]) for row in rows] == [("none", 4), ("importance", 4)]
    for row in rows:
        assert 0 <= row["median_miss"] <= row["largest_miss"]
        assert row["smallest_bytes"] < row["largest_bytes"]
    assert [row["allocation"] for row in measure(tiny_levels(), [features(1)], 1)] == ["none"]


def test_misses_are_those_of_the_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Encoder.encode

    def too_long(self: Encoder, one: Any, **more: Any) -> Any:
        wanted = more.pop("target_bytes", None)
        return encode(self, one, **more) if wanted is None else bytes(round(1.1 * wanted))

    monkeypatch.setattr(Encoder, "encode", too_long)
    (row,) = measure(tiny_levels(), [features(3)], 3)
    assert row["near"] == 0
    assert row["largest_miss"] == pytest.approx(0.1, abs=0.01)
    assert [one["met"] for one in bars_of([row])] == ["no", "no"]
