"""CompressAI's way timed, on the CPU in the GPU's place."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import compressai_latency
from benchmarks.attempts import Attempts
from benchmarks.compressai_latency import Place, figures, setting_rows, timed
from benchmarks.compressai_path import CompressAiPath
from benchmarks.gpu_networks import watch
from benchmarks.range_coder import range_coder
from fcmrt.export.deployment import Deployment
from fcmrt.schedule import Run

from .gpu_stand_ins import EFFORT

PADDED = (64, 64)


class Event:
    """An event of a device on which every record takes a millisecond."""

    now = over = 0.0

    def record(self) -> None:
        Event.now += 1
        self.at = Event.now

    def elapsed_time(self, end: Event) -> float:
        assert max(self.at, end.at) <= Event.over, "the device is not done"
        return end.at - self.at


def synchronize() -> None:
    Event.over = Event.now


PLACE = Place("cpu", Event, synchronize)


def rows_of(codec: Deployment, levels: list[torch.Tensor], **more: Any) -> list[dict[str, Any]]:
    given = {"ans": range_coder(), "place": PLACE, "effort": EFFORT, **more}
    attempts = Attempts(lambda: True)
    return setting_rows(codec, True, levels, PADDED, attempts=attempts, **given)


def test_rows_of_a_setting(codec: Deployment, levels: list[torch.Tensor]) -> None:
    encode, decode = rows_of(codec, levels)
    for row, direction in ((encode, "encode"), (decode, "decode")):
        assert (row["system"], row["setting"]) == ("compressai", "channels innermost")
        assert row["direction"] == direction
        assert row["networks_ms"] == sum(
            isinstance(step, Run) for step in getattr(codec, direction)
        )
        assert row["whole_ms"] > 0
        assert row["bytes"] > 0


def test_networks_are_timed_within_each_call(codec: Deployment, levels: list[torch.Tensor]) -> None:
    path = CompressAiPath(codec, ans=range_coder())
    watches = watch(path.networks, Event)
    path.compress(levels, 0, PADDED)  # does not count
    waited: list[int] = []

    def wait() -> None:
        waited.append(1)
        synchronize()

    taken = timed(lambda: path.compress(levels, 0, PADDED), watches, EFFORT, wait)
    runs = sum(isinstance(step, Run) for step in codec.encode)
    assert [networks for _, networks in taken] == [runs] * EFFORT.rounds
    assert len(waited) == 2 * (2 + EFFORT.rounds)
    assert all(whole > 0 for whole, _ in taken)


def test_the_rest_is_what_networks_leave() -> None:
    row = figures([(10.0, 4.0), (12.0, 4.0), (30.0, 25.0)])
    assert (row["whole_ms"], row["networks_ms"], row["rest_ms"]) == (12.0, 4.0, 6.0)


def test_other_symbols_are_told(
    codec: Deployment, levels: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Drifting(CompressAiPath):
        def decompress(self, *given: Any) -> Any:
            found = super().decompress(*given)
            self.symbols["y"] = self.symbols["y"].clone()
            self.symbols["y"][3] += 1
            return found

    monkeypatch.setattr(compressai_latency, "CompressAiPath", Drifting)
    (row,) = rows_of(codec, levels)
    assert row["error"] == "AssertionError: 1 symbols of y came back as others"
    assert row["setting"] == "channels innermost"


def test_one_direction_fails_alone(
    codec: Deployment, levels: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(CompressAiPath):
        calls = 0

        def decompress(self, *given: Any) -> Any:
            Failing.calls += 1
            if Failing.calls > 1:  # the look before the clock passes
                raise RuntimeError("planted")
            return super().decompress(*given)

    monkeypatch.setattr(compressai_latency, "CompressAiPath", Failing)
    encode, decode = rows_of(codec, levels)
    assert encode["whole_ms"] > 0
    assert (decode["direction"], decode["error"]) == ("decode", "RuntimeError: planted")
