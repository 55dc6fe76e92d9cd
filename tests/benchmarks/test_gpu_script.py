"""`gpu.sh` with a Python that does as it is told, and the one JSON that it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_device, gpu_result

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    *("build", "tests", "peer", "coder", "export", "published", "latency", "identity"),
    *("memcheck", "racecheck", "tensorrt", "onnxruntime"),
]
# What the stand-in does for a module: fail, take too long, or write figures.
STUB = """#!/bin/bash
case "$*" in
  *benchmarks.gpu_result*) exec {python} "$@" ;;
  *benchmarks.coder*) echo "no launches today"; exit 3 ;;
  *benchmarks.gpu_identity*) sleep 60 ;;
  *"import tensorrt"* | *"import onnxruntime"* | *"import xdist"*) exit 1 ;;
  *benchmarks.latency*)
    while (($# > 1)); do
      if [[ $1 == --json ]]; then
        echo '{{"rows": [1], "bars": [{{"bar": "x", "met": "no"}}]}}' >"$2"
      fi
      shift
    done ;;
  *pytest*)
    while (($# > 1)); do
      if [[ $1 == --junitxml ]]; then
        echo '<testsuites><testsuite tests="{tests}" failures="0" errors="0" skipped="2"/>' >"$2"
        echo '</testsuites>' >>"$2"
      fi
      shift
    done ;;
esac
exit 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the script needs, so that no test writes into the project's folder."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=_no_data)
    kernels = tmp_path / "tests" / "kernels"
    kernels.mkdir(parents=True)
    (kernels / "conftest.py").write_text("NEEDS_GPU = ()")
    (kernels / "test_other.py").write_text("")
    (tmp_path / "tests" / "test_one.py").write_text("pytest.mark." + "cuda")
    return tmp_path


def _no_data(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("results", "assets", "__pycache__")}


def call(tree: Path, *arguments: str, tests: int = 5) -> subprocess.CompletedProcess[str]:
    stub = tree / "python"
    stub.write_text(STUB.format(python=sys.executable, tests=tests))
    stub.chmod(0o755)
    sanitizer = tree / "compute-sanitizer"
    sanitizer.write_text("#!/bin/bash\nexit 0\n")
    sanitizer.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PYTHON": str(stub),
        "PATH": f"{tree}:{os.environ['PATH']}",
    }
    return subprocess.run(
        [str(tree / "benchmarks" / "gpu.sh"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {name: part["outcome"] for name, part in result["parts"].items()}


def test_a_dry_run_runs_nothing(tree: Path) -> None:
    done = call(tree, "--dry-run", "--torch-ans", "/peer")
    assert done.returncode == 0, done.stderr
    assert [line.split(" (")[0] for line in done.stdout.splitlines() if " s): " in line] == PARTS
    assert "benchmarks.gpu_torch_ans /peer" in done.stdout
    assert not list((tree / "build").rglob("*.part"))


def test_parts_that_fail_do_not_stop_the_others(tree: Path) -> None:
    chosen = "tests,peer,coder,latency,identity,memcheck,tensorrt"
    done = call(tree, "--json", "all.json", "--parts", chosen, "--limit", "2")
    assert done.returncode == 1
    result = json.loads((tree / "all.json").read_text())
    assert outcomes(result) == {
        "tests": "passed",
        "peer": "absent",
        "coder": "failed",
        "latency": "passed",
        "identity": "timed out",
        "memcheck": "passed",
        "tensorrt": "absent",
    }
    parts = result["parts"]
    assert result["passed"] is False
    assert (parts["coder"]["exit_code"], parts["coder"]["output"]) == (3, "no launches today\n")
    assert parts["identity"]["exit_code"] == 124
    assert parts["identity"]["seconds"] < 30
    assert parts["tests"]["result"]["passed"] == 3
    assert parts["tests"]["command"].endswith("tests/kernels tests/test_one.py ")
    assert "cannot be imported" in parts["tensorrt"]["output"]
    assert result["bars"] == [{"part": "latency", "bar": "x", "met": "no"}]
    assert "benchmarks.latency" in parts["latency"]["command"]


def test_a_second_call_adds_its_parts(tree: Path) -> None:
    assert call(tree, "--json", "r.json", "--parts", "coder").returncode == 1
    # What failed before has still not passed.
    assert call(tree, "--json", "r.json", "--parts", "latency").returncode == 1
    result = json.loads((tree / "r.json").read_text())
    assert outcomes(result) == {"coder": "failed", "latency": "passed"}
    assert call(tree, "--json", "s.json", "--parts", "latency,memcheck").returncode == 0


def test_without_time_a_part_has_not_passed(tree: Path) -> None:
    done = call(tree, "--json", "r.json", "--parts", "latency", "--seconds", "0")
    assert done.returncode == 1
    result = json.loads((tree / "r.json").read_text())
    assert outcomes(result) == {"latency": "no time left"}


def test_no_test_that_ran_is_a_failure(tree: Path) -> None:
    done = call(tree, "--json", "r.json", "--parts", "tests", tests=2)
    assert done.returncode == 1
    part = json.loads((tree / "r.json").read_text())["parts"]["tests"]
    assert (part["outcome"], part["why"]) == ("failed", "no test has run")


@pytest.mark.parametrize("arguments", [["--parts", "lunch"], ["--jso"], ["--json"]])
def test_what_is_not_known_is_refused(tree: Path, arguments: list[str]) -> None:
    done = call(tree, *arguments)
    assert done.returncode == 2
    assert arguments[-1] in done.stderr


def test_results_of_different_gpus_are_not_joined(tmp_path: Path) -> None:
    part = {"outcome": "passed"}
    paths = []
    for name in ("H100", "H200"):
        paths.append(tmp_path / name)
        one = gpu_result.whole({name: part}, {"name": name, "driver_version": "580"}, "2026-11-22")
        paths[-1].write_text(json.dumps(one))
    target = tmp_path / "joined"
    assert gpu_result.main([str(target), "--join", *map(str, paths)]) == 1
    assert not target.exists()
    assert gpu_result.main([str(target), "--join", str(paths[0]), str(paths[0])]) == 0
    assert json.loads(target.read_text())["parts"] == {"H100": part}


def test_figures_that_cannot_be_read_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "coder.part").write_text("passed\n0\n9\npython ")
    (tmp_path / "coder.json").write_text("{")
    (tmp_path / "coder.log").write_text("words")
    part = gpu_result.read_part(tmp_path, "coder")
    assert part["outcome"] == "failed"
    assert "cannot be read" in part["why"]
    assert part["output"] == "words"


def test_what_the_driver_tells() -> None:
    line = "NVIDIA H100 80GB HBM3, 580.159.04, 9.0, 81559, 1980, 2619, 1980, 2619, 700.00, [N/A]"
    found = gpu_device.parse(line)
    assert found["name"] == "NVIDIA H100 80GB HBM3"
    assert found["driver_version"] == "580.159.04"
    assert found["clocks.max.sm"] == 1980
    assert found["temperature.gpu"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["coder", "--device", "cuda", "--quick", "--json", "-"],
        ["latency", "--device", "cuda", "--quick", "--json", "-"],
        ["gpu_identity", "--quick", "--json", "-"],
    ],
)
def test_without_a_gpu_there_are_no_figures(arguments: list[str]) -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("BackendUnavailableError: ", "DeviceError: ")), done.stderr
