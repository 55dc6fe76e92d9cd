"""The commands as processes of their own: what they load, and what a closed pipe does."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("onnxruntime", "PIL", "matplotlib", "pycocotools", "torch", "onnx")


def test_module_runs_and_tells_errors_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fcmrt", "inspect", "missing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["fcmrt inspect: error: missing: No such file or directory"]


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_inspect_loads_nothing_heavy(engine_file, tmp_path, json):
    arguments = ["inspect", str(engine_file), *json]
    program = (
        "import sys; from fcmrt.cli import main; "
        f"code = main({arguments!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_a_reader_that_leaves_is_no_error(engine_file, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "fcmrt", "inspect", str(engine_file)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert told == b""
