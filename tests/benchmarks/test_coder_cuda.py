"""The coder's benchmark for GPUs, at toy sizes in the emulator."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pytest

from benchmarks import coder_cuda
from benchmarks.attempts import Attempts
from benchmarks.coder_cuda import Sweep, measure_on, parts_of
from benchmarks.coder_sources import Source, Step, gaussian_source, gaussian_tables
from benchmarks.gpu_batch import PacketBatch
from benchmarks.gpu_coder import LAYOUTS, Deadline, Work
from benchmarks.gpu_timing import Limits
from fcmrt.kernels.cuda.batch_encoder import Layout

from .gpu_stand_ins import EFFORT, LIMITS, SCALAR, HostStopwatch, bench, emulated


def mid(count: int) -> Source:
    return gaussian_source("mid", count, gaussian_tables())


def two_steps(n: int, seed: int) -> Source:
    """A packet of two steps, of which the first skips elements."""
    rng = np.random.default_rng(seed)
    tables = gaussian_tables()
    steps = []
    for skip in (4, 0):
        indexes = rng.integers(0, 40, n).astype(np.uint8)
        symbols = rng.integers(-3, 4, n).astype(np.int32)
        symbols[indexes < skip] = 0
        steps.append(Step(symbols, indexes, tables, skip))
    return Source("picture", tuple(steps))


def test_a_batch_is_what_the_cpu_makes_of_it() -> None:
    parts = [two_steps(n, seed) for seed, n in enumerate((90, 40, 130))]
    batch = PacketBatch(emulated(), SCALAR, parts, 5, Layout(200))
    batch.verify()
    assert batch.encoded() == [batch.coded[b % 3].packet for b in range(5)]
    assert batch.total_bytes == sum(len(packet or b"") for packet in batch.encoded())
    assert batch.symbols == sum(parts[b % 3].coded for b in range(5))
    assert batch.elements == sum(2 * (90, 40, 130)[b % 3] for b in range(5))


def test_a_batch_that_differs_is_told() -> None:
    batch = PacketBatch(emulated(), SCALAR, [two_steps(50, 0)], 2, Layout(5))
    batch.verify()
    batch.coded[0] = batch.coded[0]._replace(packet=b"another")
    with pytest.raises(AssertionError, match="packet 0 has other bytes"):
        batch.require_encoded()
    batch.load()
    batch.decode()
    batch._steps[1].rows[0, 3] += 1
    with pytest.raises(AssertionError, match="other integers"):
        batch.require_decoded()
    batch.coded[0] = batch.coded[0]._replace(check=1)
    with pytest.raises(AssertionError, match="another check"):
        batch.require_decoded()


def test_the_whole_sweep_in_the_emulator() -> None:
    stopwatch = HostStopwatch()
    sweep = Sweep(300, ((3, 100),), ("5 permille", "32 lanes, 8 segments"), (2,), 600)
    peers = [
        {
            "coder": "torch_ans",
            "implementation": "rans32_16 x32",
            "escapes": True,
            "encode_gsym_s": 2.0,
            "decode_gsym_s": 3.0,
        }
    ]
    kept: list[int] = []
    found = measure_on(
        bench(stopwatch),
        sweep,
        Deadline(None),
        lambda: [two_steps(60, 1)],
        lambda *_: peers,
        lambda so_far: kept.append(len(so_far["rows"])),
    )
    rows = found["rows"]
    assert kept == sorted(kept)
    assert len(kept) == len(rows) // 2 + 4  # twice the launches, the peer, and the pictures
    # Each batch as launches and as a graph, in both directions.
    assert len(rows) == 2 * (len(LAYOUTS) + 2 + 2 + 1)
    assert stopwatch.graphs == len(rows)
    assert [row["source"] for row in rows[-6:]] == ["sparse"] * 2 + ["dense"] * 2 + ["picture"] * 2
    for row in rows:
        for direction in ("encode", "decode"):
            seconds = 1e-6 * row[f"{direction}_us"]
            assert row[f"{direction}_gb_s"] == pytest.approx(row["bytes"] / seconds * 1e-9)
            assert row[f"{direction}_gsym_s"] > 0
            assert 0 < row[f"{direction}_memory_floor_us"] < row[f"{direction}_us"]
            assert 0 < row[f"{direction}_issue_floor_us"] < row[f"{direction}_us"]
            assert row[f"{direction}_rounds"] == EFFORT.rounds
        assert row["over_percent"] > 0
    chosen, fixed = rows[0], rows[2 * len(LAYOUTS) - 1]
    assert (chosen["layout"], chosen["graph"]) == ("5 permille", False)
    assert (fixed["lanes"], fixed["segments"], fixed["graph"]) == (32, 8, True)
    kernels = {row["kernel"] for row in found["launches"] if row["direction"] == "decode"}
    assert {"open_packets", "decode_shared", "close_packets"} <= kernels
    shares = [row["share"] for row in found["launches"] if row["direction"] == "encode"]
    assert sum(shares) == pytest.approx(len(sweep.batches) + 1)
    assert found["peers"] == peers
    # No batch is large here, and nothing is said of what was not measured.
    assert {row["met"] for row in found["bars"]} == {"not measured"}
    assert coder_cuda.as_text(found).count("torch_ans") == 4  # the bars


def test_nothing_is_begun_after_the_deadline() -> None:
    deadline = Deadline(-1)
    sweep = Sweep(300, ((3, 100),), ("5 permille",), (2,), 600)
    found = measure_on(bench(), sweep, deadline, list, None, lambda _: None)
    assert found["rows"] == found["launches"] == []
    assert len(deadline.left_out) == len(LAYOUTS) + 2 + 1 + 2 + 1
    assert "mid: 1 packets of 300, 5 permille" in deadline.left_out


WORK = Work(parts_of(mid(500), 2, 200), 2, "5 permille")


def errors_of(kind: type[PacketBatch], limits: Limits = LIMITS) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.gpu_coder.PacketBatch", kind)
        return [row.get("error") for row in bench(limits=limits).rows(WORK)]


def test_a_packet_with_a_mistake_is_a_row_that_says_so() -> None:
    class Wrong(PacketBatch):
        def encode(self) -> None:
            super().encode()
            self._writer.out[1, 3] ^= 1

    (error,) = errors_of(Wrong)
    assert "packet 1 has other bytes" in error


def test_what_a_timed_call_leaves_undone_is_told() -> None:
    """What lies there from the call before does not pass for this one's."""

    class Idle(PacketBatch):
        calls = 0

        def decode(self) -> None:
            Idle.calls += 1
            if Idle.calls == 1:  # the look before the clock
                super().decode()

    errors = errors_of(Idle)
    assert len(errors) == 2  # launches, and a graph
    assert all("packets failed" in error for error in errors)


def test_what_is_faster_than_the_memory_is_told() -> None:
    errors = errors_of(PacketBatch, LIMITS._replace(bytes_a_second=1.0))
    assert len(errors) == 2
    assert all("cannot be read and written" in error for error in errors)


def test_one_failure_leaves_the_other_figures() -> None:
    class Unrecordable(HostStopwatch):
        def captured(self, call: Any) -> Any:
            raise RuntimeError("planted")

    rows = bench(Unrecordable()).rows(WORK)
    assert [row.get("error") for row in rows] == [None, "RuntimeError: planted"]
    assert [row["graph"] for row in rows] == [False, True]
    assert rows[0]["decode_us"] > 0


def test_without_pictures_the_rest_is_measured() -> None:
    def pictures() -> Any:
        raise ImportError("planted")

    sweep = Sweep(300, ((3, 100),), ("5 permille",), (2, 3), 600)
    found = measure_on(bench(), sweep, Deadline(None), pictures, None, lambda _: None)
    failed = [row for row in found["rows"] if "error" in row]
    assert [(row["source"], row["error"]) for row in failed] == [
        ("picture", "ImportError: planted")
    ]
    assert len(found["rows"]) == 2 * (len(LAYOUTS) + 1 + 2) + 1


def test_parts_are_slices_that_do_not_overlap() -> None:
    source = mid(1000)
    parts = parts_of(source, 7, 300)
    joined = np.concatenate([part.steps[0].symbols for part in parts])
    assert np.array_equal(joined, source.steps[0].symbols[:900])
    assert len(parts_of(source, 1, 5000)) == 1


def test_the_full_sweep_has_what_the_bars_are_about() -> None:
    full = coder_cuda.FULL
    assert full.single == 100_000
    assert full.batches[0][0] * full.batches[0][1] >= 64 << 20
    assert set(full.layouts) <= set(LAYOUTS)


def test_a_run_is_kept_row_by_row_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(300, ((3, 100),), ("5 permille",), (2,), 600)
    monkeypatch.setattr(coder_cuda, "CupyDevice", emulated)
    monkeypatch.setattr(coder_cuda, "CudaStopwatch", HostStopwatch)
    monkeypatch.setattr(coder_cuda, "cuda_limits", lambda *_: LIMITS)
    monkeypatch.setattr(coder_cuda, "Attempts", lambda: Attempts(lambda: True))
    monkeypatch.setattr(coder_cuda, "QUICK", sweep)
    monkeypatch.setattr(coder_cuda, "QUICK_EFFORT", EFFORT)
    monkeypatch.setattr(coder_cuda, "picture_sources", lambda: [two_steps(60, 1)])
    arguments = argparse.Namespace(quick=True, repeats=None, seconds=None, torch_ans=None)
    kept: list[int] = []
    result, text = coder_cuda.measure(arguments, lambda so_far: kept.append(len(so_far.rows)))
    assert kept[-1] == len(result.rows) == 2 * (len(LAYOUTS) + 1 + 2 + 1)
    assert not result.failed
    assert {"gpu", "limits", "launches", "peers", "ratios", "bars"} == result.more.keys()
    assert any("torch_ans was left out" in note for note in result.notes)
    assert json.dumps(result.to_dict(), allow_nan=False)
    assert "seal_packets" in text

    def fails(*_: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr("benchmarks.gpu_coder.PacketBatch", fails)
    result, text = coder_cuda.measure(arguments, lambda so_far: None)
    assert result.failed
    assert {row["error"] for row in result.rows} == {"RuntimeError: planted"}
    assert "RuntimeError: planted" in text
