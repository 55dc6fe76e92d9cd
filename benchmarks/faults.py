"""Faults after all digests were checked: what is caught, with the check over integers and without.

python -m benchmarks.faults [--engine FILE] [--trials N] [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import fcmrt

from . import report
from .evaluation import Evaluation
from .evaluation_set import photos
from .fault_injection import KINDS, Injection

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIALS, QUICK_TRIALS = 1000, 20
PHOTOS, QUICK_PHOTOS = 22, 2
COLUMNS = {
    "fault": "",
    "trials": "d",
    "refused_by_bringup": "d",
    "caught": "d",
    "harmless": "d",
    "wrong": "d",
    "caught_unchecked": "d",
    "wrong_unchecked": "d",
}


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    quick: bool = arguments.quick
    trials = arguments.trials or (QUICK_TRIALS if quick else TRIALS)
    pictures = photos(crops=False, limit=QUICK_PHOTOS if quick else PHOTOS)
    features = [reference.features for reference in Evaluation(pictures).references]
    injection = Injection(engine, features, seed=0)
    rows = []
    for kind in KINDS:
        if kind == "weight" and not engine.manifest.exact:
            continue
        report.progress(f"{kind}: {trials} trials")
        rows.append(injection.trials(kind, trials))
    wrong = sum(row["wrong"] for row in rows)
    notes = [
        f"packets of {pictures.description}, at the default quality, with the 32-bit check",
        "caught: refused with an error; harmless: the integers came out right all the same; wrong: "
        "other integers came out without an error (for weights: after the bring-up had passed)",
        "unchecked: the same faults with the comparison of the check switched off, so that only "
        "what the coder itself notices is left; measured, not promised",
    ]
    if len(rows) < len(KINDS):
        notes.append("no weights were changed: the engine has no exact path")
    result = report.Report(
        report.command_line("benchmarks.faults"),
        rows,
        {"engine": {"name": engine.manifest.name, "digest": engine.digest_hex}},
        notes,
    )
    text = f"{report.table(rows, COLUMNS)}\n\n{wrong} faults led to wrong features"
    return result, text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if wrong features were returned."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", metavar="FILE", help="engine file; default: the shipped one")
    parser.add_argument("--trials", type=report.positive, help=f"of each kind; default {TRIALS}")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return int(any(row["wrong"] for row in result.rows))


if __name__ == "__main__":
    sys.exit(main())
