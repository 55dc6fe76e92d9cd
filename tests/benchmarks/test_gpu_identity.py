"""GPU against CPU, at toy sizes: the emulator as the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_identity
from benchmarks.gpu_batch import PacketBatch
from benchmarks.gpu_identity import Maker, compare_coder, compare_engine, same_integers
from benchmarks.gpu_identity import drawn_batches as drawn
from fcmrt.kernels.api import LANES

from .gpu_stand_ins import SCALAR, emulated

FOREVER = float("inf")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_identity, "BATCH", 2)
    monkeypatch.setattr(gpu_identity, "LARGEST", 60)
    monkeypatch.setattr(gpu_identity, "DRAWN", 5000)


def test_drawn_packets_are_distinct_and_of_every_layout() -> None:
    found = list(drawn(2 * len(gpu_identity.LAYOUTS) + 1))
    assert sum(len(parts) for parts, _ in found) == 2 * len(gpu_identity.LAYOUTS) + 1
    assert [layout for _, layout in found[:-1]] == list(gpu_identity.LAYOUTS)
    assert {layout.lanes for _, layout in found} <= {0, *LANES}
    symbols = [part.steps[0].symbols.tobytes() for parts, _ in found for part in parts]
    assert len(set(symbols)) == len(symbols)


def test_the_emulator_is_identical() -> None:
    packets = 2 * len(gpu_identity.LAYOUTS)
    row = compare_coder(emulated(), SCALAR, packets, FOREVER)
    assert (row["packets"], row["differing"], row["failures"]) == (packets, 0, [])
    assert row["integers"] > packets
    assert row["bytes"] > 4 * packets


def test_a_difference_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(PacketBatch):
        def require_decoded(self) -> None:
            if self.coded[0].payload.lanes == 32:
                raise AssertionError("other integers")

    monkeypatch.setattr(gpu_identity, "PacketBatch", Wrong)
    row = compare_coder(emulated(), SCALAR, 2 * len(gpu_identity.LAYOUTS), FOREVER)
    fixed = [layout for layout in gpu_identity.LAYOUTS if layout.lanes == 32]
    assert row["differing"] >= 2 * len(fixed)
    assert all("other integers" in failure for failure in row["failures"])


def test_packets_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU in the GPU's place, once as it is and once with one integer changed."""
    maker = Maker()
    monkeypatch.setattr(gpu_identity, "Maker", lambda: maker)
    kept: list[Any] = []

    def coded_again(device: Any, cpu: Any, parts: Any, layout: Any, row: Any) -> None:
        kept.append(parts)

    monkeypatch.setattr(gpu_identity, "compare_batch", coded_again)
    row, _ = compare_engine(emulated(), SCALAR, maker._decoder.integers, 3, FOREVER)
    assert (row["packets"], row["differing"]) == (3, 0)
    assert [len(parts) for parts in kept] == [2, 1]
    wanted = maker.make(0)[1]
    for step, of in zip(kept[0][0].steps, wanted.values(), strict=True):
        assert np.array_equal(step.symbols, of.symbols)

    def other(packet: Any) -> Any:
        integers = maker._decoder.integers(packet)
        last = list(integers.values())[-1]
        last.symbols[7] += 1
        return integers

    row, _ = compare_engine(emulated(), SCALAR, other, 1, FOREVER)
    assert row["differing"] == 1
    assert not same_integers(wanted, dict(list(wanted.items())[:1]))


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_time_that_is_over_ends_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared by then counts, and the bar says how much that was."""
    monkeypatch.setattr(gpu_identity, "time", Clock())
    coded = compare_coder(emulated(), SCALAR, 10, 3.0)
    assert (coded["packets"], coded["differing"]) == (4, 0)
    maker = Maker()
    monkeypatch.setattr(gpu_identity, "Maker", lambda: maker)
    monkeypatch.setattr(gpu_identity, "compare_batch", lambda *_: None)
    decoded, _ = compare_engine(emulated(), SCALAR, maker._decoder.integers, 10, 5.0)
    assert decoded["packets"] == 2
    held = gpu_identity.bars([coded, decoded])
    assert [(one["bar"], one["measured"], one["met"]) for one in held] == [
        ("coder", 4, "no"),
        ("engine, decoded", 2, "no"),
    ]
    whole = {**coded, "packets": 10_000}
    assert gpu_identity.bars([whole])[0]["met"] == "yes"
    assert gpu_identity.bars([{**whole, "differing": 1}])[0]["met"] == "no"
