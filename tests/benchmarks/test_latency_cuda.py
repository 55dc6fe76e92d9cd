"""Latency on a GPU, with a codec in the GPU's place that only keeps what it was asked."""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import latency, latency_cuda, published_codec, published_latency
from benchmarks.attempts import Attempts
from benchmarks.gpu_codec import GpuCodec, to_host
from fcmrt.errors import DriftError
from fcmrt.spec import FeatureSpec, Padding

from .gpu_stand_ins import EFFORT

ENGINE: Any = SimpleNamespace(
    manifest=SimpleNamespace(
        name="drawn", features=(FeatureSpec("p3", 2, 1),), padding=Padding(4, "zeros", "start")
    )
)
NETWORKS = [
    {"direction": "encode", "graph": "analysis", "ms": 1e-9, "recorded": True, "sm_mhz": 1980},
    {"direction": "decode", "graph": "synthesis", "ms": 2e-9, "recorded": True, "sm_mhz": 1980},
]


class Side:
    """An encoder or decoder. As on the device, it tells no recorder of networks."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.calls: list[Any] = []

    def encode(self, features: Any) -> bytes:
        self.calls.append(features)
        return self.packet

    def decode(self, packet: Any) -> None:
        assert packet == self.packet, "made under other options"
        self.calls.append(packet)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], GpuCodec]]:
    """What was opened, with which options."""
    found: list[tuple[dict[str, Any], GpuCodec]] = []

    def open_codec(engine: Any, chosen: Any, quality: Any = None) -> GpuCodec:
        packet = b"graphs" if chosen["graphs"] else b"launches"
        codec = GpuCodec(Side(packet), Side(packet))
        found.append((chosen, codec))
        return codec

    def network_rows(engine: Any, chosen: Any, padded: Any, packets: int, *others: Any) -> Any:
        assert chosen["graphs"]
        assert padded == (4, 4) if "precision" not in chosen else (64, 64)
        assert 1 <= packets <= 2
        return NETWORKS

    cuda = SimpleNamespace(get_current_stream=lambda: "current")
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    for module in (latency_cuda, published_latency):
        monkeypatch.setattr(module, "GpuCodec", SimpleNamespace(open=open_codec))
        monkeypatch.setattr(module, "options", lambda runner, **more: {"runner": runner, **more})
        monkeypatch.setattr(module, "to_gpu", lambda features: dict(features))
        monkeypatch.setattr(module, "network_rows", network_rows)
        monkeypatch.setattr(module, "CudaStopwatch", lambda stream: stream)
    monkeypatch.setattr(latency_cuda, "wait", lambda: None)
    return found


def features(count: int) -> list[dict[str, Any]]:
    return [{"p3": np.full((2, 3, 3), k, np.float32)} for k in range(count)]


def engine_rows(batch: int = 2) -> list[dict[str, Any]]:
    attempts = Attempts(lambda: True)
    return latency_cuda.engine_rows(ENGINE, "torch", features(3), batch, EFFORT, None, attempts)


def test_rows_of_an_engine(opened: list[Any]) -> None:
    rows = engine_rows()
    assert [chosen["graphs"] for chosen, _ in opened] == [False, True]
    whole = [row for row in rows if row["stage"] == "total"]
    assert [(row["graph"], row["direction"]) for row in whole] == [
        (graph, direction) for graph in (False, True) for direction in ("encode", "decode")
    ]
    assert all(0 < row["p50"] <= row["p90"] <= row["p99"] for row in whole)
    assert all(row["repeats"] == EFFORT.rounds for row in whole)
    networks = [row for row in rows if row["stage"] != "total"]
    assert [(row["direction"], row["stage"], row["p50"]) for row in networks] == [
        ("encode", "analysis", 1e-9),
        ("decode", "synthesis", 2e-9),
    ]
    # A call is a batch; each setting decodes its own packets.
    first = opened[0][1].encoder
    assert len(first.calls) == 3 + 2 + EFFORT.rounds
    assert all(given["p3"].shape == (2, 2, 3, 3) for given in first.calls)


@pytest.fixture
def drifting(opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that fail, if they may record."""
    right = latency_cuda.GpuCodec.open

    def open_codec(engine: Any, chosen: Any, **more: Any) -> GpuCodec:
        codec = right(engine, chosen, **more)

        def failing(packet: Any) -> None:
            raise DriftError("planted")

        if chosen["graphs"]:
            codec.decoder.decode = failing
        return codec

    for module in (latency_cuda, published_latency):
        monkeypatch.setattr(module, "GpuCodec", SimpleNamespace(open=open_codec))


@pytest.mark.usefixtures("drifting")
def test_what_fails_is_told_beside_the_rest() -> None:
    rows = engine_rows()
    (failed,) = [row for row in rows if "error" in row]
    assert (failed["graph"], failed["direction"]) == (True, "decode")
    assert failed["error"] == "DriftError: planted"
    assert len(rows) == 4 + 2
    found = our_rows(True)
    assert [row.get("error") for row in found] == [None, "DriftError: planted"]
    held = {one["bar"]: one["met"] for one in published_latency.bars(found)}
    assert held["encode, whole"] == "not measured"  # nobody to compare with, but no failure


def our_rows(graphs: bool, networks: Any = NETWORKS) -> list[dict[str, Any]]:
    attempts = Attempts(lambda: True)
    return published_latency.our_rows(
        ENGINE, "torch", graphs, features(1)[0], networks, EFFORT, attempts
    )


def test_our_rows_of_the_published_codec(opened: list[Any]) -> None:
    rows = our_rows(False) + our_rows(True)
    assert [(row["setting"], row["direction"]) for row in rows] == [
        (setting, direction)
        for setting in ("launches", "CUDA graphs")
        for direction in ("encode", "decode")
    ]
    assert [row["networks_ms"] for row in rows] == [1e-9, 2e-9] * 2
    for row in rows:
        assert row["rest_ms"] == row["whole_ms"] - row["networks_ms"]
        assert row["bytes"] in (len(b"launches"), len(b"graphs"))
    assert all(chosen["precision"] == "float16" for chosen, _ in opened)


def test_without_the_networks_there_is_no_rest(opened: list[Any]) -> None:
    rows = our_rows(True, [{"system": "fcmrt", "stage": "networks", "error": "planted"}])
    assert [row["rest_ms"] for row in rows] == [None, None]
    assert all(row["whole_ms"] > 0 for row in rows)


@pytest.fixture
def arguments(opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """A command line without a GPU behind it."""
    monkeypatch.setattr(latency_cuda, "CupyDevice", lambda: None)
    monkeypatch.setattr(latency_cuda, "describe_gpu", lambda: {"name": "none"})
    monkeypatch.setattr(latency_cuda, "Attempts", lambda: Attempts(lambda: True))
    engine = SimpleNamespace(builtin=lambda: ENGINE, load=lambda path: ENGINE)
    monkeypatch.setattr(latency_cuda.fcmrt, "Engine", engine)
    monkeypatch.setattr(latency, "photo_features", lambda threads: features(3))
    return argparse.Namespace(
        engine=None,
        repeats=2,
        quick=False,
        batch=1,
        threads=1,
        quality=None,
        runner="torch",
        published=None,
    )


def test_what_was_measured_is_kept_batch_by_batch(arguments: argparse.Namespace) -> None:
    arguments.batch = None
    kept: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency_cuda, "BATCHES", (1, 2))
        result, text = latency_cuda.measure(arguments, lambda found: kept.append(len(found.rows)))
    assert kept == [6, 12]
    assert not result.failed
    assert text.count("analysis") == 2


def test_without_their_way_ours_is_told(
    arguments: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch finds no GPU here, which is a row."""
    small = published_codec.make(small=True), published_codec.features(small=True)
    monkeypatch.setattr(published_codec, "make", lambda: small[0])
    monkeypatch.setattr(published_codec, "features", lambda: small[1])
    arguments.published = "file"
    kept: list[Any] = []
    result, text = latency_cuda.measure(arguments, lambda found: kept.append(found.more))
    rows = result.more["published"]
    assert [row["system"] for row in rows] == ["fcmrt"] * 4 + ["compressai"]
    assert ["error" in row for row in rows] == [False] * 4 + [True]
    assert result.failed
    assert len(result.more["published_bars"]) == 4
    assert len(kept) >= 4
    assert "what is no network" in text


def test_a_comparison_that_cannot_begin_costs_no_figures(arguments: argparse.Namespace) -> None:
    def load(path: str) -> Any:
        raise FileNotFoundError(path)

    latency_cuda.fcmrt.Engine.load = load  # type: ignore[method-assign]
    arguments.published = "nowhere"
    result, _ = latency_cuda.measure(arguments, lambda found: None)
    assert result.failed
    assert [row["stage"] for row in result.rows[:-1]] == ["total"] * 4 + ["analysis", "synthesis"]
    assert result.rows[-1]["error"] == "FileNotFoundError: nowhere"


def test_arrays_come_to_the_host() -> None:
    array = np.arange(3)
    for given in (
        array,
        SimpleNamespace(get=lambda: array),
        SimpleNamespace(cpu=lambda: array),
    ):
        assert np.array_equal(to_host(given), array)
