"""`gpu.sh` with a Python that does as it is told, and the one JSON that it writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_device, gpu_result

ROOT = Path(__file__).resolve().parents[2]
UNTIMED = ["peer", "export", "tests", "memcheck", "racecheck"]
TIMED = ["coder", "published", "latency", "identity", "tensorrt", "onnxruntime"]
PARTS = ["build", *UNTIMED, *TIMED]
# What the stand-in does for a module: fail, take too long, or write figures.
STUB = """#!/bin/bash
case "$*" in
  *benchmarks.gpu_result*) exec {python} "$@" ;;
  *benchmarks.coder*) echo "no launches today"; exit 3 ;;
  *benchmarks.gpu_identity*) sleep 60 ;;
  *benchmarks.published_codec*)
    touch exporting
    for i in {{1..100}}; do [[ -f testing ]] && exit 0; sleep 0.1; done
    exit 4 ;;
  *"import tensorrt"* | *"import onnxruntime"* | *"import xdist"*) exit 1 ;;
  *benchmarks.latency*)
    while (($# > 1)); do
      if [[ $1 == --json ]]; then
        echo '{{"rows": [1], "bars": [{{"bar": "x", "met": "no"}}]}}' >"$2"
      fi
      shift
    done ;;
  *benchmarks.gpu_torch_ans*) echo "${{CUDA_HOME:-none}}" >cuda_home.txt ;;
  *"-m pip "*) echo "$PYTHONPATH $*" >>pip.txt ;;
  *pytest*)
    touch testing
    skipped={skipped}
    # As the suite does where nothing asks for a GPU and none is there.
    if [[ ${{FCMRT_REQUIRE_CUDA:-}} != 1 ]]; then skipped={tests}; fi
    while (($# > 1)); do
      if [[ $1 == --junitxml ]]; then
        echo '<testsuites><testsuite tests="{tests}" failures="0" errors="0"' >"$2"
        echo "skipped='$skipped'/></testsuites>" >>"$2"
      fi
      shift
    done ;;
esac
exit 0
"""
# Finds nothing: the exit code is its program's.
SANITIZER = """#!/bin/bash
while [[ $1 == --* ]]; do shift 2; done
exec "$@"
"""
CALL_S = 540
BUILD_S, UNTIMED_S = 90, 190  # of which a call is expected to take no more


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


def environment(tree: Path, skipped: int = 2) -> dict[str, str]:
    """Variables for the script, and the stand-ins that they name: 5 tests, some of them skipped."""
    python = STUB.format(python=sys.executable, tests=5, skipped=skipped)
    for name, text in (("python", python), ("compute-sanitizer", SANITIZER)):
        (tree / name).write_text(text)
        (tree / name).chmod(0o755)
    hidden = ("PYTHONPATH", "FCMRT_REQUIRE_CUDA", "FCMRT_WHEELS", "CUDA_HOME")
    return {
        **{name: value for name, value in os.environ.items() if name not in hidden},
        "PYTHON": str(tree / "python"),
        "PATH": f"{tree}:{os.environ['PATH']}",
    }


def call(
    tree: Path, *arguments: str, skipped: int = 2, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tree / "benchmarks" / "gpu.sh"), *arguments],
        capture_output=True,
        text=True,
        env={**environment(tree, skipped), **variables},
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


@pytest.mark.parametrize("name", ["tests", "memcheck", "racecheck"])
def test_no_test_that_ran_is_a_failure(tree: Path, name: str) -> None:
    assert call(tree, "--json", "r.json", "--parts", name).returncode == 0
    part = json.loads((tree / "r.json").read_text())["parts"][name]
    assert part["result"] == {"tests": 5, "failures": 0, "errors": 0, "skipped": 2, "passed": 3}
    assert call(tree, "--json", "r.json", "--parts", name, skipped=5).returncode == 1
    part = json.loads((tree / "r.json").read_text())["parts"][name]
    assert (part["outcome"], part["why"]) == ("failed", "no test has run")


@pytest.mark.parametrize(("name", "silent"), [("memcheck", True), ("racecheck", False)])
def test_what_the_api_answers_is_no_mistake_of_a_kernel(
    tree: Path, name: str, silent: bool
) -> None:
    """As that an event is not over yet; the option is of memcheck alone."""
    told = call(tree, "--dry-run", "--parts", name).stdout
    assert ("--report-api-errors no " in told) == silent
    assert f"--tool {name} " in told


def test_what_was_done_is_there_when_a_call_is_cut_off(tree: Path) -> None:
    """As far as the last part that ended; and each of its files, where they are asked for."""
    arguments = ["--json", "r.json", "--logs", "r.tar.gz", "--parts", "latency,coder,identity"]
    running = subprocess.Popen(
        [str(tree / "benchmarks" / "gpu.sh"), *arguments],
        env=environment(tree),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "coder failed" in line:  # the result has it; identity takes a minute
            break
    for _ in range(100):
        if (tree / "r.tar.gz").exists() and "coder.log" in names_in(tree / "r.tar.gz"):
            break
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert outcomes(json.loads((tree / "r.json").read_text())) == {
        "latency": "passed",
        "coder": "failed",
    }
    found = names_in(tree / "r.tar.gz")
    assert found == {"latency.json"} | {
        f"{name}.{kind}" for name in ("latency", "coder") for kind in ("part", "log")
    }


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as file:
        return set(file.getnames())


def seconds_of(tree: Path, *arguments: str) -> dict[str, tuple[int, int]]:
    """What each part needs and what it may take."""
    done = call(tree, "--dry-run", *arguments)
    found = re.findall(r"^(\w+) \((\d+) to (\d+) s\): ", done.stdout, re.MULTILINE)
    return {name: (int(need), int(most)) for name, need, most in found}


def test_one_call_does_it_all(tree: Path) -> None:
    """What the timed parts need is left, whatever the others do; and more, as they should go."""
    seconds = seconds_of(tree)
    assert list(seconds) == PARTS
    assert all(need <= most for need, most in seconds.values())
    needed = sum(seconds[name][0] for name in TIMED)
    assert CALL_S - seconds["build"][1] - needed >= 120
    assert needed <= CALL_S - BUILD_S - UNTIMED_S
    script = (tree / "benchmarks" / "gpu.sh").read_text()
    assert f"for the whole call ({CALL_S})" in script.split("set -uo")[0]
    assert f"\nseconds={CALL_S} " in script


def test_parts_that_are_not_timed_run_at_the_same_time(tree: Path) -> None:
    """Each of the two waits for the other; what is timed waits for both."""
    done = call(tree, "--json", "r.json", "--parts", "export,tests,published")
    assert done.returncode == 0, done.stdout
    ended = re.findall(r"^(\w+): passed", done.stdout, re.MULTILINE)
    assert set(ended) == {"export", "tests", "published"}
    assert ended[-1] == "published"
    (tree / "testing").unlink()
    assert call(tree, "--json", "r.json", "--parts", "export,published,tests").returncode == 1
    assert outcomes(json.loads((tree / "r.json").read_text()))["export"] == "failed"


@pytest.mark.parametrize(("seconds", "expected"), [("540", 160), ("200", 86), ("100", 46)])
def test_timed_parts_share_what_none_of_them_needs(tree: Path, seconds: str, expected: int) -> None:
    """The coder's command is told two thirds of what it has."""
    call(tree, "--json", "r.json", "--parts", "coder,published", "--seconds", seconds)
    command = json.loads((tree / "r.json").read_text())["parts"]["coder"]["command"]
    told = re.search(r"--seconds (\d+)", command)
    assert told is not None
    assert expected - 2 <= int(told[1]) <= expected  # a second or two may have gone


def test_what_timed_parts_need_is_kept_for_them(tree: Path) -> None:
    done = call(tree, "--json", "r.json", "--parts", "export,coder", "--seconds", "73")
    assert done.returncode == 1
    parts = json.loads((tree / "r.json").read_text())["parts"]
    assert parts["export"]["outcome"] == "timed out"
    assert parts["export"]["seconds"] <= 5
    assert "--seconds 46 " in parts["coder"]["command"]


def test_wheels_are_in_front_of_the_build_s_tools(tree: Path) -> None:
    wheels = tree / "wheels"
    wheels.mkdir()
    for name in ("nanobind-3.1-py3-none-any.whl", "scikit_build_core-1.1-py3-none-any.whl"):
        (wheels / name).touch()
    arguments = ("--json", "r.json", "--parts", "build")
    assert call(tree, *arguments, FCMRT_WHEELS="wheels").returncode == 0
    first, second = (tree / "pip.txt").read_text().splitlines()
    site = f"{tree}/build/gpu/site"
    assert first.startswith(f"{site} ")
    assert first.endswith(" ".join(f"wheels/{path.name}" for path in sorted(wheels.iterdir())))
    # Without isolation the build's tools are imported from the path, and so from there.
    assert second.startswith(f"{site} ")
    assert "--no-build-isolation" in second
    assert second.endswith(f"--target {site} .")


@pytest.fixture
def toolkit(tree: Path) -> Path:
    """A folder with CUDA's compiler and a header."""
    folder = tree / "toolkit"
    for name, mode in (("bin/nvcc", 0o755), ("include/cuda_runtime.h", 0o644)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
    return folder


USUAL = Path("/usr/local/cuda")


def test_pytorch_is_told_where_cuda_is(tree: Path, toolkit: Path) -> None:
    (tree / "nvcc").symlink_to(toolkit / "bin" / "nvcc")  # the stand-ins' folder is on the path
    arguments = ("--json", "r.json", "--parts", "peer", "--torch-ans", "/peer")
    told = tree / "cuda_home.txt"
    assert call(tree, *arguments).returncode == 0
    usual = (USUAL / "bin" / "nvcc").exists() and (USUAL / "include" / "cuda_runtime.h").exists()
    assert told.read_text() == f"{USUAL if usual else toolkit}\n"
    assert call(tree, *arguments, CUDA_HOME="/elsewhere").returncode == 0
    assert told.read_text() == "/elsewhere\n"
    (toolkit / "include" / "cuda_runtime.h").unlink()
    assert call(tree, *arguments).returncode == 0
    assert told.read_text() == (f"{USUAL}\n" if usual else "none\n")


def test_nobody_waits_for_a_lock_that_was_left(tree: Path) -> None:
    locks = [tree / "torch" / name / "lock" for name in ("one", "other")]
    for lock in locks:
        lock.parent.mkdir(parents=True)
        lock.touch()
    arguments = ("--json", "r.json", "--parts", "peer", "--torch-ans", "/peer")
    folder = str(tree / "torch")
    assert call(tree, "--dry-run", *arguments, TORCH_EXTENSIONS_DIR=folder).returncode == 0
    assert all(lock.exists() for lock in locks)
    assert call(tree, *arguments, TORCH_EXTENSIONS_DIR=folder).returncode == 0
    assert not any(lock.exists() for lock in locks)


def test_a_result_is_written_where_fcmrt_is_not() -> None:
    code = "import sys; sys.modules['fcmrt'] = None; import benchmarks.gpu_result"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


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
