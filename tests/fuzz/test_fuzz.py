"""A short run of the fuzzers, and the proof that they would notice."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from . import corpus, mend
from .cases import WEIGHTS, Case, make_case
from .hunt import Bounds, examine, hunt
from .targets import TARGETS, run_case, run_seeds

ROOT = Path(__file__).parents[2]
COUNT = 2500
SEED = 7

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and resource limits")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_what_is_mutated_was_good() -> None:
    assert run_seeds() == {
        "packet": {"decoded"},
        "header": {"taken"},
        "file": {"decoded", "read"},  # one of them is empty
        "engine": {"decoded"},
        "self-contained": {"decoded"},
    }


def test_mending_leaves_good_bytes_alone() -> None:
    for subject in corpus.SUBJECTS:
        digest = corpus.engine(subject).digest
        header = corpus.headers(subject)[2]
        for packet in corpus.packets(subject):
            assert mend.mend_packet(packet, digest) == packet
            assert mend.mend_self_contained(header + packet, digest) == header + packet
        for file in corpus.files(subject):
            assert mend.mend_file(file, digest) == file
        packed = corpus.engine_file(subject)
        members = corpus.members(subject)
        assert mend.archive(members) == mend.mend_archive(packed) == packed
        assert mend.mend_manifest(members[0][1], members[1:]) == members[0][1]


def test_mutated_inputs_are_refused_or_decode_lawfully() -> None:
    run_seeds()
    before = peak_bytes()
    words: defaultdict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    findings = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in range(COUNT):
            case = make_case(SEED, index)
            word, what = examine(case, run_case)
            words[case.target, case.mended][word] += 1
            if what:
                findings.append(f"{index} {case.target} {case.subject} {case.how}\n{what}")
    assert not findings, "\n".join(findings)
    assert peak_bytes() - before < 64 << 20
    # Mutations must reach all layers: the checksums, what lies behind them, and good results.
    assert set(words) == {(target, mended) for target in WEIGHTS for mended in (False, True)}
    assert words["packet", False]["ChecksumError"] > 100
    for word in "BitstreamError", "DriftError", "TruncatedError", "LimitExceededError", "decoded":
        assert words["packet", True][word] > 0, word
    assert words["self-contained", True]["EngineMismatchError"] > 0
    assert words["header", True]["taken"] > 0
    assert words["file", True]["read"] > 0
    assert words["engine", True]["decoded"] > 0
    assert words["engine", True]["loaded, EngineError in encode"] > 0


def test_a_case_follows_from_its_number() -> None:
    assert [make_case(1, n) for n in range(20)] == [make_case(1, n) for n in range(20)]
    assert make_case(1, 0) != make_case(2, 0)
    assert set(WEIGHTS) == set(TARGETS)


def planted(index: int) -> Case:
    return Case("packet", corpus.SUBJECTS[0], bytes((index,)), False, "planted")


def raises(case: Case) -> str:
    raise KeyError("planted")


def takes_much(case: Case) -> str:
    return str(len(bytearray(1 << 30)))


def touches_much(case: Case) -> str:
    return str(len(b"x" * (96 << 20)))


def never_ends(case: Case) -> str:
    while True:
        sum(range(1 << 20))


def ends_the_process(case: Case) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "still here"


@linux
@pytest.mark.parametrize(
    ("deed", "wanted"),
    [
        (raises, "KeyError: 'planted'"),
        (takes_much, "MemoryError"),
        (touches_much, "memory: "),
        (never_ends, "hang: too much processor time"),
        (ends_the_process, "crash: exit code -9"),
    ],
)
def test_a_hunt_reports_what_breaks_the_rules(
    deed: Callable[[Case], str], wanted: str, tmp_path: Path
) -> None:
    def run(case: Case) -> str:
        return deed(case) if case.data == b"\2" else "fine"

    # Touching memory takes time of its own, on a busy machine much.
    cpu_s = 0.3 if deed is never_ends else 30.0
    bounds = Bounds(cpu_s=cpu_s, wall_s=60, address_bytes=256 << 20)
    tally = hunt(range(5), planted, run, workers=2, bounds=bounds, save=tmp_path / "found")
    assert [(f.index, f.target, f.how) for f in tally.findings] == [(2, "packet", "planted")]
    assert wanted in tally.findings[0].what
    assert tally.outcomes["packet", False] == {"fine": 4, "FINDING": 1}
    assert tally.done == 5
    assert [p.read_bytes() for p in (tmp_path / "found").iterdir()] == [b"\2"]


@linux
def test_a_hunt_reports_who_sleeps() -> None:
    def run(case: Case) -> str:
        os.read(os.pipe()[0], 1)
        return "awake"

    bounds = Bounds(cpu_s=60, wall_s=0.3)
    tally = hunt(range(1), planted, run, bounds=bounds)
    assert [f.what for f in tally.findings] == ["hang: too much time"]


@linux
def test_the_long_run_starts_from_the_root(tmp_path: Path) -> None:
    target = tmp_path / "results" / "fuzz.json"
    command = [sys.executable, "tests/fuzz/run.py", "--count", "30", "--seed", "3"]
    done = subprocess.run(
        [*command, "--workers", "2", "--json", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(target.read_text())
    assert found["inputs"] == sum(each["inputs"] for each in found["targets"].values()) == 30
    assert found["findings"] == []
    assert found["peak_memory_growth_mib"] >= 0
