"""The C++ core under the address and undefined-behaviour sanitizers: golden and fuzzed packets.

What is built here is the core without Python, and `tests/native` around it.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fcmrt import errors, kernels
from fcmrt.kernels.checks import Status, packet_error
from tests.fuzz import native

from .test_golden import NAMES, load

DECODES = 100_000


def compiler_has_sanitizers() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.cc")
        source.write_text("int main() { return 0; }\n")
        compiler = os.environ.get("CXX", "c++")
        program = Path(folder, "empty")
        command = [compiler, "-fsanitize=address,undefined", str(source), "-o", str(program)]
        try:
            subprocess.run(command, check=True, capture_output=True)
            subprocess.run([program], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


pytestmark = [
    pytest.mark.slow,
    # CI has such a compiler: there its absence is a failure.
    pytest.mark.skipif(
        "CI" not in os.environ and not compiler_has_sanitizers(),
        reason="no C++ compiler with sanitizers",
    ),
]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the built programs are; workers of one run build them once."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "sanitized.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return native.build(shared / "sanitized")


@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("heap", "AddressSanitizer: heap-buffer-overflow"),
        ("fence", "AddressSanitizer: SEGV"),
        ("front", "AddressSanitizer: use-after-poison"),
        ("freed", "AddressSanitizer: use-after-poison"),
        ("arithmetic", "runtime error: signed integer overflow"),
        ("disagreement", "finding: planted"),
    ],
)
def test_planted_faults_are_found(programs: Path, fault: str, report: str) -> None:
    done = subprocess.run([programs / "planted", fault], capture_output=True, text=True)
    assert done.returncode != 0
    assert report in done.stderr
    assert "nobody noticed" not in done.stdout


def fuzz(programs: Path, *options: str) -> dict[str, object]:
    done = subprocess.run([programs / "fuzz_coder", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_fuzzed_packets(programs: Path) -> None:
    found = fuzz(programs, "--decodes", str(DECODES))
    assert found["sanitizers"] == "address,undefined"
    assert set(found["implementations"]) == {*kernels.available()} - {"reference"}
    assert found["decodes"] >= DECODES
    # Damage must reach all that a decoder checks, and leave packets that are good.
    assert found["accepted"] > 2 * found["cases"]
    assert found["refused_encodes"] > 0
    for status in {*Status} - {Status.OK, Status.SKIPPED_NONZERO, Status.CHECK_DIFFERS}:
        assert found["refused"].pop(status.name.lower()) > 100, status
    assert not found["refused"]


def test_cases_follow_from_their_numbers(programs: Path) -> None:
    def run(*options: str) -> dict[str, object]:
        return {**fuzz(programs, *options), "seconds": None, "first": None}

    one = run("--decodes", "1", "--first", "5")
    assert one["cases"] == 1
    assert one == run("--decodes", "1", "--first", "5")
    assert one != run("--decodes", "1", "--first", "6")
    assert one != run("--decodes", "1", "--first", "5", "--seed", "1")


def words_of(*values: object) -> bytes:
    """Numbers and arrays as `tests/native/golden.h` reads them."""
    parts = []
    for value in values:
        array = np.asarray(value).astype(np.int64) & 0xFFFFFFFF
        length = [] if array.ndim == 0 else [len(array)]
        parts.append(np.array([*length, *array.reshape(-1)], "<u4").tobytes())
    return b"".join(parts)


@pytest.fixture(scope="session")
def golden_statuses(
    programs: Path, cases: object, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The status that each golden packet is decoded with."""
    folder = tmp_path_factory.mktemp("golden")
    for name in NAMES:
        case, raw, coded = load(cases, name)
        data = words_of(case["lanes"], case["check"] or 0, coded.words)
        data += words_of(list(coded.segments), list(coded.escapes), len(raw))
        for step in raw:
            tables = step.tables
            data += words_of(tables.offsets, tables.sizes, tables.freqs)
            data += words_of(step.skip, step.indexes, step.symbols)
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [programs / "fuzz_coder", "--golden", *NAMES], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_golden_packets(golden_statuses: dict[str, str], name: str) -> None:
    error = json.loads((native.ROOT / f"tests/golden/coder/{name}.json").read_bytes())["error"]
    status = Status[golden_statuses[name].upper()]
    if error is None:
        assert status is Status.OK
    elif status is not Status.SEGMENTS_SIZE:  # of these, Python has told the short ones before
        assert type(packet_error(status)) is getattr(errors, error)


def test_golden_packets_fail_in_every_way(golden_statuses: dict[str, str]) -> None:
    """All statuses are there that follow from a packet, and not from the arrays of a call."""
    wanted = {*Status} - {*(Status.SKIPPED_NONZERO, Status.SYMBOL_TOO_WIDE, Status.CHECK_DIFFERS)}
    assert {*golden_statuses.values()} == {status.name.lower() for status in wanted}
