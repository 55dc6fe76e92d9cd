"""Both commands, as they are typed, on the engine and the photos shipped with the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fcmrt
from benchmarks.anchors import ANCHORS
from benchmarks.support import BUILT, QUICK, QUICK_PRECISIONS
from fcmrt.export.lmsfc import Lmsfc, LmsfcConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *arguments: str) -> dict[str, Any]:
    """Runs a benchmark with JSON on stdout and gives the object."""
    environment = {name: value for name, value in os.environ.items() if name != "FCMRT_ASSETS"}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--quick", "--json", "-", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "benchmarks." + module in done.stderr
    return dict(json.loads(done.stdout))


def test_rate_accuracy(tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    found = run("rate_accuracy", "--plot", str(picture))
    engine = fcmrt.Engine.builtin()
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found["rows"]:
        assert row["task"] == "nanodet"
        assert row["allocation"] == "none"
        assert 0 <= row["agreement_low"] <= row["agreement"] <= row["agreement_high"] <= 1
        assert 0 < row["distance_low"] <= row["distance"] <= row["distance_high"]
        rows.setdefault(row["codec"], []).append(row)
    ours = rows[engine.manifest.name]
    assert list(rows) == [engine.manifest.name, *ANCHORS]
    for name, anchor in ANCHORS.items():
        assert [row["quality"] for row in rows[name]] == [coder.label for coder in anchor.few]
    sizes = [row["bytes"] for row in ours]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(ours)
    for row in ours:
        assert row["step"] == engine.manifest.quality.shift(row["quality"])
        assert row["overhead_ok"] is True
        assert row["bytes"] >= row["ideal_bytes"]
    assert found["packets"] == {"measured": 4 * len(ours), "over_the_allowance": 0}
    assert found["set"]["references"] > 0
    assert "small set" in found["set"]["description"]
    wanted = {(name, metric) for name in ANCHORS for metric in ("agreement", "distance")}
    assert {(row["anchor"], row["metric"]) for row in found["ratios"]} == wanted
    assert all(len(row["points"]) == len(ours) for row in found["ratios"])
    assert {(row["anchor"], row["metric"]) for row in found["bd_rates"]} <= wanted
    assert len(found["times"]) == len(found["rows"])
    assert all(row["encode_ms"] > 0 for row in found["times"])
    features = [name for name, anchor in ANCHORS.items() if not anchor.pixels]
    assert [row["anchor"] for row in found["time_ratios"]] == features
    assert [row["met"] for row in found["bars"]][1] == "yes"  # BD-rate at equal distance
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_rate_accuracy_times_alone() -> None:
    anchor = "features+x265-ultrafast"
    found = run("rate_accuracy", "--only", "times", "--anchors", anchor)
    assert found["rows"] == found["bd_rates"] == []
    assert {row["codec"] for row in found["times"]} == {
        anchor,
        fcmrt.Engine.builtin().manifest.name,
    }
    (ratio,) = found["time_ratios"]
    assert ratio["ratio"] > ratio["least"] > 0


@pytest.mark.parametrize("batch", [1, 2])
def test_latency(batch: int) -> None:
    found = run("latency", "--batch", str(batch), "--threads", "1")
    graphs = set(fcmrt.Engine.builtin().manifest.graphs)
    for direction in ("encode", "decode"):
        rows = {row["stage"]: row for row in found["rows"] if row["direction"] == direction}
        assert {"total", "code", "networks", "runtime"} <= set(rows)
        assert graphs & set(rows)
        assert all(row["batch"] == batch and row["device"] == "cpu" for row in rows.values())
        for row in rows.values():
            assert 0 <= row["p50"] <= row["p90"] <= row["p99"] <= rows["total"]["p99"]
        parts = [rows[part]["mean"] for part in ("networks", "code", "runtime")]
        assert sum(parts) == pytest.approx(rows["total"]["mean"])
    assert len(found["diagnosis"]) == 2


def test_roi() -> None:
    found = run("roi")
    even, roi = found["rows"]
    assert (even["allocation"], roi["allocation"]) == ("even", "roi")
    assert 0.97 * even["bytes"] < roi["bytes"] <= even["bytes"]
    assert roi["distance"] < even["distance"]
    assert roi["distance_outside"] > even["distance_outside"]
    assert 0 < even["agreement"] <= 1
    assert 2 <= found["pictures"] <= 4
    tests = {(row["metric"], row["quality"]): row for row in found["tests"]}
    assert set(tests) == {
        (m, q) for m in ("agreement", "distance") for q in ("all", even["quality"])
    }
    change = 100 * (roi["distance"] / even["distance"] - 1)
    assert tests["distance", "all"]["change"] == pytest.approx(change)
    assert tests["distance", "all"]["low"] <= change <= tests["distance", "all"]["high"] < 0
    # Exchanging all of so few photos is as good as 1 in 2^n.
    assert tests["distance", "all"]["p"] >= 0.5 ** found["pictures"]
    assert [row["met"] for row in found["bars"]] == ["no", "no"]


def test_precision_cost() -> None:
    found = run("precision_cost")
    assert (found["task"], found["codec"]) == ("nanodet", fcmrt.Engine.builtin().manifest.name)
    names = ["fp32", "fp16", "bf16", "int8 mse", "int8 mse, outer layers fp32"]
    assert list(found["graph_bytes"]) == names
    rows = {(row["precision"], row["quality"]): row for row in found["rows"]}
    assert len(rows) == len(found["rows"]) == 3 * len(names)
    for (name, quality), row in rows.items():
        base = rows["fp32", quality]
        assert row["bytes_percent"] == pytest.approx(100 * (row["bytes"] / base["bytes"] - 1))
        limit = {"fp32": 0, "fp16": 1, "bf16": 5}.get(name, 20)
        assert abs(row["bytes_percent"]) <= limit
        assert abs(row["nmse_percent"]) <= limit
        assert (row["nmse_percent"] == 0) == (name == "fp32")
    half = found["graph_bytes"]["fp16"]["analysis"] / found["graph_bytes"]["fp32"]["analysis"]
    assert 0.45 < half < 0.55
    timed = {(row["precision"], row["runner"]) for row in found["times"]}
    assert ("bf16", "torch") in timed
    assert ("bf16", "onnxruntime") not in timed


def test_support() -> None:
    found = run("support")
    families = dict.fromkeys(row["family"] for row in found["rows"])
    assert tuple(families) == QUICK
    measured = [row for row in found["rows"] if "precision" in row]
    assert {row["precision"] for row in measured} == set(QUICK_PRECISIONS)
    for row in measured:
        assert row["works"] == ((row["runner"], row["precision"]) != ("onnxruntime", "bf16"))
        if row["works"]:
            assert row["difference"] < {"fp32": 1e-5, "bf16": 0.05}[row["precision"]]
            assert (row["exact"] is True) == (row["profile"] == "exact")
        else:
            assert "bfloat16" in row["why"]
        if found["plans"] is not None and row["precision"] == "fp32":
            assert row["plan"] == BUILT
    (refused,) = (row for row in found["rows"] if "precision" not in row)
    assert (refused["family"], refused["profile"]) == ("lic-tcm-features", "exact")
    assert "has no exact form" in refused["why"]


def test_codecs(tmp_path: Path) -> None:
    config = LmsfcConfig(
        feature_channels=(128, 128, 128),
        width=8,
        latent_channels=8,
        latent_stride=2,
        hyper_channels=6,
        gdn=False,
        mixing_kernel=3,
    )
    torch.manual_seed(0)
    codec = Lmsfc(config)
    path = tmp_path / "small.pt"
    state = {"family": "lmsfc-v1", "config": config.to_dict(), "average": codec.state_dict()}
    torch.save(state, path)
    found = run("codecs", str(path), "--pictures", "2", "--repeats", "1")
    assert {(row["codec"], row["runner"]) for row in found["rows"]} == {
        ("small", "onnxruntime"),
        ("small", "torch"),
    }
    for row in found["rows"]:
        assert row["pictures"] == 2
        assert row["symbols"] > 0
        assert row["differing"] - row["ties"] <= 1e-3 * row["symbols"]
        assert row["features"] < 1e-4
    timed = {row["system"] for row in found["times"]}
    assert timed in (set(), {"fcmrt", "compressai"})
    assert any("not timed" in note for note in found["notes"]) == (not timed)


def test_families() -> None:
    shipped = "lmsfc-v1-nanodet"
    found = run("families", "--family", shipped, "--family", "lmsfc-v2-authors-3")
    assert [row["family"] for row in found["rows"]] == [shipped, "lmsfc-v2-authors-3"]
    for row in found["rows"]:
        assert row["pictures"] == 1
        assert row["differing"] - row["ties"] <= 1e-3 * row["symbols"]
        assert row["features"] < 1e-4
        assert row["nonzero"] > 0.01


def test_zoo(tmp_path: Path) -> None:
    weights = ("--threads", "1", "--weights", str(tmp_path))
    found = run("zoo", "--models", "mbt2018-mean", "mbt2018-mean-vbr", *weights)
    assert [row["model"] for row in found["rows"]] == ["mbt2018-mean", "mbt2018-mean-vbr"]
    for row in found["rows"]:
        assert row["profile"] == "same-engine"
        assert 0.5 < row["bytes_ratio"] < 1.5
        assert min(row["encode_ms"], row["compress_ms"], row["decode_ms"]) > 0
        assert row["symbols"] > 0
        assert row["differing"] - row["ties"] <= 1e-3 * row["symbols"]
        assert row["features"] < 1e-4
    (kept,) = tmp_path.glob("mbt2018-mean-[0-9]*.pt")
    written = kept.stat().st_mtime_ns
    (again,) = run("zoo", "--models", "mbt2018-mean", *weights)["rows"]
    assert again["strings"] == found["rows"][0]["strings"]
    assert kept.stat().st_mtime_ns == written
