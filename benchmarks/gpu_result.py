"""One JSON from the parts that `gpu.sh` ran, or from several such files.

python -m benchmarks.gpu_result RESULT --folder FOLDER --parts NAME ...
python -m benchmarks.gpu_result RESULT --join FILE ...

RESULT may exist: with FOLDER, its parts that are not given anew stay. Only the files are joined; of
a part that is in several, the last counts, and so do its machine and date. Files of different GPUs
are not joined. The exit code is 1 unless all of RESULT's parts have passed, or are absent.

Needs no fcmrt, so that a failed build is reported as well.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import report
from .gpu_device import describe_gpu

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSED, FAILED, ABSENT = "passed", "failed", "absent"
_TAIL = 4000  # characters of a part's output that are kept where it did not pass
_COUNTED = ("tests", "failures", "errors", "skipped")


def read_part(folder: Path, name: str) -> dict[str, Any]:
    """Read what `gpu.sh` left of a part: outcome, exit code, seconds, command, and its figures.

    A part that passed but left figures that cannot be read, or no test that ran, has failed.
    """
    outcome, code, seconds, command = (folder / f"{name}.part").read_text().split("\n")[:4]
    part: dict[str, Any] = {
        "outcome": outcome,
        "exit_code": int(code),
        "seconds": int(seconds),
        "command": command,
    }
    figures, tests = folder / f"{name}.json", folder / f"{name}.xml"
    try:
        if figures.exists():
            part["result"] = json.loads(figures.read_text())
        if tests.exists():
            part["result"] = count_tests(tests)
            if outcome == PASSED and part["result"]["passed"] == 0:
                part |= {"outcome": FAILED, "why": "no test has run"}
    except (ValueError, ET.ParseError) as error:
        part["why"] = f"its figures cannot be read: {error}"
        if outcome == PASSED:
            part["outcome"] = FAILED
    if part["outcome"] != PASSED:
        log = (folder / f"{name}.log").read_text(errors="replace")
        part["output"] = log[-_TAIL:]
    return part


def count_tests(path: Path) -> dict[str, int]:
    """Count the tests of a JUnit file."""
    found = dict.fromkeys(_COUNTED, 0)
    for suite in ET.parse(path).getroot().iter("testsuite"):
        for key in _COUNTED:
            found[key] += int(suite.get(key, 0))
    passed = found["tests"] - found["failures"] - found["errors"] - found["skipped"]
    return {**found, "passed": passed}


def bars_of(parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the bars of all parts, each with its part's name."""
    found = []
    for name, part in parts.items():
        result = part.get("result", {})
        for key in ("bars", "published_bars"):
            found += [{"part": name, **bar} for bar in result.get(key, [])]
    return found


def whole(parts: dict[str, Any], gpu: dict[str, Any] | None, date: str) -> dict[str, Any]:
    """Put parts together.

    Args:
        parts: By name.
        gpu: The GPU that they ran on.
        date: When, ISO 8601.
    """
    return {
        "gpu": gpu,
        "date": date,
        "machine": report.machine(),
        "versions": report.versions(),
        "passed": all(part["outcome"] in (PASSED, ABSENT) for part in parts.values()),
        "bars": bars_of(parts),
        "parts": parts,
    }


def join(files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join results of one GPU's kind; of a part that is in several, the last counts.

    Raises:
        ValueError: They are of different GPUs or drivers.
    """
    kinds = {
        tuple((one["gpu"] or {}).get(key) for key in ("name", "driver_version")) for one in files
    }
    if len(kinds) > 1:
        raise ValueError(f"the results are of different GPUs: {sorted(map(str, kinds))}")
    parts: dict[str, Any] = {}
    for one in files:
        parts |= one["parts"]
    passed = all(part["outcome"] in (PASSED, ABSENT) for part in parts.values())
    return {**files[-1], "passed": passed, "bars": bars_of(parts), "parts": parts}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_result", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("result", metavar="RESULT", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--parts", nargs="+", default=[])
    parser.add_argument("--join", nargs="+", type=Path, default=[], metavar="FILE")
    arguments = parser.parse_args(argv)
    files = [json.loads(path.read_text()) for path in arguments.join]
    if arguments.folder is not None:
        if arguments.result.exists():
            files.append(json.loads(arguments.result.read_text()))
        parts = {name: read_part(arguments.folder, name) for name in arguments.parts}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        files.append(report.plain(whole(parts, describe_gpu(), now)))
    try:
        result = join(files)
    except ValueError as error:
        print(f"{arguments.result}: {error}", file=sys.stderr)
        return 1
    report.replace_text(arguments.result, json.dumps(result, indent=1, allow_nan=False) + "\n")
    outcomes = ", ".join(f"{name} {part['outcome']}" for name, part in result["parts"].items())
    print(f"{arguments.result}: {outcomes}")
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
