"""GPU against CPU, at toy sizes: the emulator as the GPU."""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_identity, gpu_packets
from benchmarks.attempts import Attempts
from benchmarks.gpu_batch import PacketBatch
from benchmarks.gpu_identity import Comparison, same_integers
from benchmarks.gpu_packets import LAYOUTS, Maker, drawn_batches, made_batches
from fcmrt.errors import DriftError
from fcmrt.kernels.api import LANES

from .gpu_stand_ins import SCALAR, emulated

ROOT = Path(__file__).resolve().parents[2]
FOREVER = float("inf")
BATCH = 2


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_packets, "BATCH", BATCH)
    monkeypatch.setattr(gpu_packets, "LARGEST", 60)
    monkeypatch.setattr(gpu_packets, "DRAWN", 5000)


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


def comparison(answers: bool = True) -> Comparison:
    return Comparison(emulated(), SCALAR, Attempts(lambda: answers))


def ignored(rows: Any) -> None:
    """Keep nothing."""


def made(maker: Maker, packets: int) -> Iterator[Any]:
    """Batches as the processes make them, made here."""
    for first in range(0, packets, BATCH):
        yield [maker.make(number) for number in range(first, min(first + BATCH, packets))]


def test_drawn_packets_are_distinct_and_of_every_layout() -> None:
    found = list(drawn_batches(2 * len(LAYOUTS) + 1))
    assert sum(len(parts) for parts, _ in found) == 2 * len(LAYOUTS) + 1
    assert [layout for _, layout in found[:-1]] == list(LAYOUTS)
    assert {layout.lanes for _, layout in found} <= {0, *LANES}
    symbols = [part.steps[0].symbols.tobytes() for parts, _ in found for part in parts]
    assert len(set(symbols)) == len(symbols)


def test_packets_are_made_by_processes(maker: Maker) -> None:
    found = list(made_batches(3, BATCH, 1))
    assert [len(batch) for batch in found] == [2, 1]
    for number, (packet, integers) in enumerate(itertools.chain(*found)):
        wanted = maker.make(number)
        assert packet == wanted[0]
        assert same_integers(integers, wanted[1])


def test_processes_are_begun_from_the_command_line() -> None:
    """Where the package was found by way of the working directory, which it takes off the path."""
    code = (
        "from benchmarks.gpu_packets import made_batches; print(len(next(made_batches(1, 1, 1))))"
    )
    command = [sys.executable, "-c", f"if __name__ == '__main__': {code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


def test_the_emulator_is_identical() -> None:
    packets = 2 * len(LAYOUTS)
    kept: list[int] = []
    (row,) = comparison().coder(packets, FOREVER, lambda rows: kept.append(rows[0]["packets"]))
    assert (row["packets"], row["differing"], row["failures"]) == (packets, 0, [])
    assert row["integers"] > packets
    assert row["bytes"] > 4 * packets
    assert kept == list(range(2, packets + 1, 2))


class Wrong(PacketBatch):
    """Differs where there are 32 lanes."""

    def require_decoded(self) -> None:
        if self.coded[0].payload.lanes == 32:
            raise AssertionError("other integers")


def test_a_difference_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_identity, "PacketBatch", Wrong)
    (row,) = comparison().coder(2 * len(LAYOUTS), FOREVER, ignored)
    fixed = [layout for layout in LAYOUTS if layout.lanes == 32]
    assert row["packets"] == 2 * len(LAYOUTS)
    assert row["differing"] >= 2 * len(fixed)
    assert all("other integers" in failure for failure in row["failures"])


def test_a_lost_device_is_asked_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_identity, "PacketBatch", Wrong)
    (row,) = comparison(answers=False).coder(2 * len(LAYOUTS), FOREVER, ignored)
    assert 0 < row["packets"] < 2 * len(LAYOUTS)
    assert row["differing"] == 2


def test_packets_of_the_engine(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU in the GPU's place."""
    kept: list[Any] = []
    compared = comparison()
    monkeypatch.setattr(compared, "batch", lambda parts, layout, row: kept.append(parts))
    row, _ = compared.engine(made(maker, 3), maker._decoder.integers, FOREVER, ignored)
    assert (row["packets"], row["differing"]) == (3, 0)
    assert [len(parts) for parts in kept] == [2, 1]
    wanted = maker.make(0)[1]
    for step, of in zip(kept[0][0].steps, wanted.values(), strict=True):
        assert np.array_equal(step.symbols, of.symbols)
    assert not same_integers(wanted, dict(list(wanted.items())[:1]))


def test_each_packet_that_differs_or_fails_is_one(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def other(packet: bytes) -> Any:
        seen.append(packet)
        integers = maker._decoder.integers(packet)
        if len(seen) == 1:
            list(integers.values())[-1].symbols[7] += 1
        if len(seen) == 3:
            raise DriftError("planted")
        return integers

    compared = comparison()
    monkeypatch.setattr(compared, "batch", lambda *_: None)
    row, _ = compared.engine(made(maker, 4), other, FOREVER, ignored)
    assert (row["packets"], row["differing"]) == (4, 2)
    assert row["failures"] == ["packet 0: other integers", "DriftError: planted"]


class Clock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_time_that_is_over_ends_the_comparison(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared by then counts, and the bar says how much that was."""
    monkeypatch.setattr(gpu_identity, "time", Clock())
    compared = comparison()
    (coded,) = compared.coder(10, 3.0, ignored)
    assert (coded["packets"], coded["differing"]) == (4, 0)
    monkeypatch.setattr(compared, "batch", lambda *_: None)
    decoded, _ = compared.engine(made(maker, 10), maker._decoder.integers, 5.0, ignored)
    assert decoded["packets"] == 2
    held = gpu_identity.bars([coded, decoded, {"part": "engine", "error": "planted"}])
    assert [(one["bar"], one["measured"], one["met"]) for one in held] == [
        ("coder", 4, "no"),
        ("engine, decoded", 2, "no"),
        ("engine", None, "not measured"),
    ]
    whole = {**coded, "packets": 10_000}
    assert gpu_identity.bars([whole])[0]["met"] == "yes"
    assert gpu_identity.bars([{**whole, "differing": 1}])[0]["met"] == "no"


def test_one_part_that_fails_leaves_the_other_s_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_codec(*_: Any) -> Any:
        raise ImportError("planted")

    monkeypatch.setattr(gpu_identity, "CupyDevice", emulated)
    monkeypatch.setattr(gpu_identity, "Attempts", lambda: Attempts(lambda: True))
    monkeypatch.setattr(gpu_identity.GpuCodec, "open", no_codec)
    arguments = argparse.Namespace(seconds=None, packets=4, quick=False, only=None, runner="torch")
    kept: list[int] = []
    result, text = gpu_identity.measure(
        arguments, lambda found: kept.append(found.rows[0]["packets"])
    )
    assert kept == [2, 4]
    assert result.failed
    assert result.rows[0]["differing"] == 0
    assert result.rows[1] == {"part": "engine, decoded", "error": "ImportError: planted"}
    assert "ImportError: planted" in text
