"""Latency on a GPU, with a codec in the GPU's place that only says what it was asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import latency_cuda, published_latency
from benchmarks.gpu_codec import GpuCodec, to_host
from benchmarks.latency import WARM_UP
from fcmrt.errors import DeviceError
from fcmrt.schedule import Code, Run

ENGINE: Any = SimpleNamespace(
    manifest=SimpleNamespace(
        name="drawn",
        graphs={"analysis": None, "synthesis": None},
        encode=(Run("analysis", ("p3",), ("y",)), Code("y")),
        decode=(Code("y"), Run("synthesis", ("y",), ("p3",))),
    )
)
STAGES = {"analysis": 3_000_000, "code": 1_000_000, "total": 9}


class Side:
    """An encoder or decoder that reports the same stages each time."""

    def __init__(self, recorder: Any, stages: dict[str, int]) -> None:
        self.recorder, self.stages = recorder, stages
        self.calls: list[Any] = []

    def encode(self, features: Any) -> bytes:
        return self._call(features) or b"packet"

    def decode(self, packet: Any) -> None:
        self._call(packet)

    def _call(self, given: Any) -> None:
        self.calls.append(given)
        if self.recorder is not None:
            for stage, ns in self.stages.items():
                self.recorder.record(stage, ns)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], GpuCodec]]:
    """What was opened, with which options."""
    found: list[tuple[dict[str, Any], GpuCodec]] = []

    def open_codec(engine: Any, chosen: Any, recorder: Any = None, quality: Any = None) -> GpuCodec:
        codec = GpuCodec(Side(recorder, STAGES), Side(recorder, STAGES))
        found.append((chosen, codec))
        return codec

    for module in (latency_cuda, published_latency):
        monkeypatch.setattr(module, "GpuCodec", SimpleNamespace(open=open_codec))
        monkeypatch.setattr(module, "options", lambda runner, **more: {"runner": runner, **more})
        monkeypatch.setattr(module, "to_gpu", lambda features: dict(features))
    monkeypatch.setattr(latency_cuda, "wait", lambda: None)
    return found


def features(count: int) -> list[dict[str, Any]]:
    return [{"p3": np.full((2, 3, 3), k, np.float32)} for k in range(count)]


def test_rows_of_an_engine(opened: list[Any]) -> None:
    rows, diagnosis = latency_cuda.engine_rows(ENGINE, "torch", features(3), 2, 4, None)
    assert [chosen["graphs"] for chosen, _ in opened] == [False, True, False]
    whole = [row for row in rows if not row["recorded"]]
    assert [(row["graph"], row["direction"], row["stage"]) for row in whole] == [
        (graph, direction, "total") for graph in (False, True) for direction in ("encode", "decode")
    ]
    assert all(0 < row["p50"] <= row["p90"] <= row["p99"] for row in whole)
    recorded = {
        row["stage"]: row for row in rows if row["recorded"] and row["direction"] == "encode"
    }
    assert recorded["networks"]["p50"] == recorded["analysis"]["p50"] == 3
    assert recorded["code"]["p50"] == 1
    assert len(diagnosis) == 2
    # Whole calls are timed without a recorder; a call is a batch.
    first, recording = opened[0][1].encoder, opened[2][1].encoder
    assert first.recorder is None
    assert recording.recorder is not None
    assert len(first.calls) == 3 + WARM_UP + 4
    assert all(given["p3"].shape == (2, 2, 3, 3) for given in first.calls)


@pytest.fixture
def unrecordable(opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders whose second call fails, if they may record."""
    right = latency_cuda.GpuCodec.open

    def open_codec(engine: Any, chosen: Any, *others: Any, **more: Any) -> GpuCodec:
        codec = right(engine, chosen, *others, **more)
        encode = codec.encoder.encode

        def failing(features: Any) -> bytes:
            if chosen["graphs"] and codec.encoder.calls:
                raise DeviceError("planted")
            return encode(features)

        codec.encoder.encode = failing
        return codec

    for module in (latency_cuda, published_latency):
        monkeypatch.setattr(module, "GpuCodec", SimpleNamespace(open=open_codec))


@pytest.mark.usefixtures("unrecordable")
def test_graphs_that_fail_are_told_beside_the_rest() -> None:
    rows, _ = latency_cuda.engine_rows(ENGINE, "torch", features(3), 2, 4, None)
    whole = {(row["graph"], row["direction"]): row for row in rows if not row["recorded"]}
    failed = whole.pop((True, "encode"))
    assert (failed["stage"], failed["error"]) == ("total", "planted")
    assert len(whole) == 3
    assert all(row["p50"] > 0 and "error" not in row for row in whole.values())
    alone = {"analysis": 1e-9, "synthesis": 2e-9}
    found = published_latency.our_rows(ENGINE, "torch", features(1)[0], 3, alone)
    assert [row.get("error") for row in found] == [None, None, "planted", None]
    held = {one["bar"]: one["met"] for one in published_latency.bars(found)}
    assert held["encode, whole"] == "not measured"  # nobody to compare with, but no failure


def test_a_failure_without_graphs_is_one(opened: list[Any]) -> None:
    def call(k: int) -> None:
        raise DeviceError("planted")

    assert latency_cuda.timed_or_told(call, 1, True) == ([], "planted")
    with pytest.raises(DeviceError):
        latency_cuda.timed_or_told(call, 1, False)


def test_rows_without_stages(opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "total", 9)
    for stage in ("analysis", "code"):
        monkeypatch.delitem(STAGES, stage)
    rows, diagnosis = latency_cuda.engine_rows(ENGINE, "torch", features(1), 1, 1, None)
    assert {row["stage"] for row in rows} == {"total"}
    assert diagnosis == []


def test_our_rows_of_the_published_codec(opened: list[Any]) -> None:
    alone = {"analysis": 1e-9, "synthesis": 2e-9}
    rows = published_latency.our_rows(ENGINE, "torch", features(1)[0], 3, alone)
    assert [(row["setting"], row["direction"]) for row in rows] == [
        (setting, direction)
        for setting in ("launches", "CUDA graphs")
        for direction in ("encode", "decode")
    ]
    assert [row["networks_ms"] for row in rows] == [3.0, 3.0, 1e-9, 2e-9]
    for row in rows:
        assert row["rest_ms"] == row["whole_ms"] - row["networks_ms"]
        assert row["bytes"] == len(b"packet")
    assert all(chosen["precision"] == "float16" for chosen, _ in opened)


def test_arrays_come_to_the_host() -> None:
    array = np.arange(3)
    for given in (
        array,
        SimpleNamespace(get=lambda: array),
        SimpleNamespace(cpu=lambda: array),
    ):
        assert np.array_equal(to_host(given), array)
