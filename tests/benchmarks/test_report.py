"""What is printed, and where."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fcmrt
from benchmarks import report
from benchmarks.report import Report
from fcmrt.errors import DeviceError


def example() -> Report:
    rows = [{"name": "a", "value": np.float32(1.5), "low": float("nan")}]
    return Report("python -m benchmarks.example", rows, {"more": np.arange(2)}, ["a note"])


def test_json_on_stdout_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    report.emit(example(), "a table", "-")
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    keys = {"machine", "versions", "commit", "command", "notes", "rows", "more"}
    assert set(found) == keys
    assert found["rows"] == [{"name": "a", "value": 1.5, "low": None}]
    assert found["more"] == [0, 1]
    assert "a table" in printed.err


def test_text_goes_to_stdout_otherwise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report.emit(example(), "a table", str(tmp_path / "x.json"))
    printed = capsys.readouterr()
    assert "a table" in printed.out
    assert "Note: a note" in printed.out
    assert json.loads((tmp_path / "x.json").read_text())["command"].endswith("example")


def test_the_machine_is_described() -> None:
    found = report.machine()
    assert found["cores"] >= 1
    assert found["cpu"]
    assert set(found["instruction_sets"]) <= set(report.CPU_FLAGS)
    assert report.versions(["numpy", "surely-not-installed"]) | {"zstd": None} == {
        "numpy": np.__version__,
        "surely-not-installed": None,
        "zstd": None,
    }


def test_percentiles_and_spread() -> None:
    found = report.percentiles(np.arange(101.0))
    assert found == {"p50": 50, "p90": 90, "p99": 99, "mean": 50, "spread": 1.0}
    assert report.median_and_spread([7, 7, 7]) == {"median": 7, "spread": 0}


def test_table_leaves_absent_values_blank() -> None:
    text = report.table([{"a": "x", "b": 1.25}, {"a": "yy", "b": None}], {"a": "", "b": ".1f"})
    assert text.splitlines() == ["a     b", "x   1.2", "yy"]


def test_progress_tells_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    report.progress("a: 1")
    report.progress("a: 2")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r" *\d+ s  a: 1", first)
    assert int(second.split()[0]) >= int(first.split()[0])


def test_what_was_measured_so_far_is_kept(tmp_path: Path) -> None:
    """And stays where the rest of the run is cut off, or ends in an error."""
    path = tmp_path / "result.json"

    def kept() -> dict[str, object]:
        found: dict[str, object] = json.loads(path.read_text())
        return found

    def measure(keep: report.Keep) -> tuple[Report, str]:
        keep(example())
        assert kept()["unfinished"] is True
        assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
        raise DeviceError("planted")

    assert report.run(measure, str(path)) == 1
    assert kept()["rows"] == [{"name": "a", "value": 1.5, "low": None}]
    assert report.run(lambda keep: (example(), "a table"), str(path)) == 0
    assert "unfinished" not in kept()


@pytest.mark.parametrize("target", [None, "-"])
def test_without_a_file_nothing_is_kept(
    target: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(keep: report.Keep) -> tuple[Report, str]:
        keep(example())
        assert capsys.readouterr().out == ""
        failed = example()
        failed.failed = True
        return failed, "a table"

    assert report.run(measure, target) == 1


def test_what_was_measured_is_told_by_digest() -> None:
    engine = fcmrt.Engine.builtin()
    found = dataclasses.replace(example(), engines=[engine]).to_dict()
    assert found["engines"] == [{"name": engine.manifest.name, "digest": engine.digest_hex}]


def test_the_commit_is_that_of_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def git(*arguments: str) -> str:
        name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", *name, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.commit() is None
    git("init", "--quiet")
    assert report.commit() is None
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    assert report.commit() == git("rev-parse", "HEAD")
    (tmp_path / "sources").mkdir()
    monkeypatch.setattr(report, "ROOT", tmp_path / "sources")
    assert report.commit() is None
