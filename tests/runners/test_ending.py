"""The interpreter ends while networks run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..engines import hyperprior_parts

BEGIN = """
import atexit, sys, threading, time, numpy, fcmrt

def begin():
    global encode
    engine = fcmrt.Engine.load(sys.argv[1])
    options = fcmrt.RuntimeOptions(runner=sys.argv[2], threads=1)
    encoder = fcmrt.Encoder(engine, options=options)
    sides = {1: 256, 2: 128}
    features = {
        f.name: numpy.ones((f.channels, sides[f.stride], sides[f.stride]), numpy.float32)
        for f in engine.manifest.features
    }
    encode = lambda: encoder.encode(features)
    encode()

def forever():
    while True:
        encode()
"""


@pytest.fixture(params=["onnxruntime", "torch"])
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def run_program(text: str, runner: str, folder: Path) -> subprocess.CompletedProcess[str]:
    engine = folder / "engine"
    engine.write_bytes(hyperprior_parts().pack())
    return subprocess.run(
        [sys.executable, "-P", "-c", BEGIN + text, str(engine), runner],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_threads_at_work_do_not_abort_the_process(runner: str, tmp_path: Path) -> None:
    done = run_program(
        """
begin()
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
""",
        runner,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_waits_for_a_thread_at_exit_does_not_wait_for_ever(tmp_path: Path) -> None:
    """Handlers that were registered before the networks were loaded are called after theirs."""
    done = run_program(
        """
asked = threading.Event()

def work():
    asked.wait()
    for _ in range(5):
        encode()

worker = threading.Thread(target=work, daemon=True)

def finish():
    encode()
    asked.set()
    worker.join()
    print("finished")

atexit.register(finish)
begin()
worker.start()
""",
        "onnxruntime",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_does_not_wait_for_its_parents_threads(tmp_path: Path) -> None:
    done = run_program(
        """
import os
from fcmrt.runners.ending import RUNS
inside = threading.Event()

def stay():
    with RUNS:
        inside.set()
        time.sleep(60)

threading.Thread(target=stay, daemon=True).start()
inside.wait()
child = os.fork()
if child == 0:
    start = time.monotonic()
    RUNS.end()
    os._exit(time.monotonic() - start > 5)
code = os.waitpid(child, 0)[1]
sys.stdout.write(str(code))
sys.stdout.flush()
os._exit(0)
""",
        "onnxruntime",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0", "")
