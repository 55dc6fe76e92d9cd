"""Packets of every encoder here through every decoder here, integer by integer.

python -m benchmarks.interop [--engine FILE] [--parent FILE] [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.verify import Configuration, runner_configurations

from . import evaluation_set, exact_cost, report
from .evaluation import Evaluation
from .interop_matrix import Side, batches, matrix
from .parent import float_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

QUALITIES, QUICK_QUALITIES = 10, 3  # spread evenly over the engine's range, ends included
QUICK_PHOTOS = 2
SYNTHESIS_EVERY, QUICK_SYNTHESIS_EVERY = 200, 4  # one packet in this many is decoded to features
BATCHES, QUICK_BATCHES = (1, 3, 8), (2,)
BATCHED, QUICK_BATCHED = 24, 2  # pictures
COLUMNS = {
    "encoder": "",
    "decoder": "",
    "packets": "d",
    "symbols": "d",
    "means": "d",
    "mismatches": "d",
    "refused": "d",
    "features": ".1e",
}
BATCH_COLUMNS = {
    "configuration": "",
    "batch": "d",
    "neighbours": "",
    "packets": "d",
    "mismatches": "d",
}


def sides_of(engine: fcmrt.Engine, *, quick: bool) -> list[Side]:
    """Give every way to run the engine here, the reference first; when quick, no other float64."""
    two = Configuration("onnxruntime, 2 threads", fcmrt.RuntimeOptions(threads=2))
    found = [two if c.options == fcmrt.RuntimeOptions() else c for c in runner_configurations()]
    if quick:
        found = [c for c in found if c.options.precision != "float64"]
    reference = Configuration("reference, float64", fcmrt.RuntimeOptions(runner="reference"))
    return [Side(engine, c) for c in (reference, *found)]


def steps_of(engine: fcmrt.Engine, count: int) -> list[int]:
    """Give the quality steps to code at, evenly over the engine's qualities."""
    quality = engine.manifest.quality
    levels = np.linspace(1, len(quality.levels), count)
    return sorted({quality.shift(float(level)) for level in levels})


def _parent(arguments: argparse.Namespace, engine: fcmrt.Engine) -> fcmrt.Engine | None:
    """Give the float engine to compare with; None: there is none."""
    if arguments.parent:
        parent = fcmrt.Engine.load(arguments.parent)
    elif arguments.engine or not engine.manifest.exact:
        return None
    else:
        parent = float_parent(engine)
    exact_cost.check_parent(engine, parent)
    return parent


def _described(
    engine: fcmrt.Engine,
    sides: Sequence[Side],
    pictures: evaluation_set.EvaluationSet,
    steps: Sequence[int],
) -> dict[str, Any]:
    """Give the keys of the report that say what was run on which pictures."""
    return {
        "engine": {
            "name": engine.manifest.name,
            "profile": engine.manifest.profile,
            "digest": engine.digest_hex,
        },
        "configurations": {side.name: side.identity for side in sides},
        "set": {
            "description": pictures.description,
            "pictures": [item.name for item in pictures.items],
            "steps": steps,
        },
    }


def _notes(pictures: evaluation_set.EvaluationSet, steps: Sequence[int], every: int) -> list[str]:
    """Give the sentences on what was measured; `every`: as for `matrix`."""
    return [
        f"measured on {pictures.description}, each at the steps {', '.join(map(str, steps))}",
        "mismatches: symbols and means that are not the encoder's; a refused packet counts with "
        "all of its integers",
        f"features: furthest that a decoded value is from the reference's, as a share of its "
        f"level's largest, over one packet in {every}",
        "the packets of a picture share its latents, and so z; only the step differs",
        "where several encoders made the same packet, each decoder decodes it once",
    ]


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    quick: bool = arguments.quick
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    parent = _parent(arguments, engine)
    pictures = evaluation_set.photos(crops=not quick, limit=QUICK_PHOTOS if quick else None)
    report.progress(pictures.description)
    task = Evaluation(pictures)
    features = [reference.features for reference in task.references]
    sides = sides_of(engine, quick=quick)
    steps = steps_of(engine, QUICK_QUALITIES if quick else QUALITIES)
    every = QUICK_SYNTHESIS_EVERY if quick else SYNTHESIS_EVERY
    rows, recoded = matrix(sides, features, steps, every)
    batched = batches(
        sides,
        features[: QUICK_BATCHED if quick else BATCHED],
        QUICK_BATCHES if quick else BATCHES,
    )
    more: dict[str, Any] = {
        **_described(engine, sides, pictures, steps),
        "same_integers": recoded,
        "batches": batched,
        "cost": None,
    }
    text = [
        report.table(rows, COLUMNS),
        f"The same integers coded again by {', '.join(recoded['packets'])}: "
        f"{recoded['different']} packets with other bytes",
        report.table(batched, BATCH_COLUMNS),
    ]
    notes = _notes(pictures, steps, every)
    if parent is None:
        notes.append("no cost of exactness: there is no float parent to compare with (--parent)")
    else:
        levels = len(engine.manifest.quality.levels)
        qualities = sorted({1, (levels + 1) // 2, levels}) if quick else range(1, levels + 1)
        runs = exact_cost.QUICK_TIMED_RUNS if quick else exact_cost.TIMED_RUNS
        cost, compared = exact_cost.compare_with_parent(engine, parent, task, list(qualities), runs)
        more |= {"cost": cost, "cost_rows": compared}
        text.append(exact_cost.describe_cost(cost, compared))
    mismatches = sum(row["mismatches"] for row in rows)
    least = min(row["packets"] for row in rows)
    text.append(
        f"{mismatches} mismatching integers in {len(rows)} pairs of at least {least} packets; "
        f"{sum(row['mismatches'] for row in batched)} pictures that depend on their batch"
    )
    result = report.Report(report.command_line("benchmarks.interop"), rows, more, notes)
    return result, "\n\n".join(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interop", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", metavar="FILE", help="engine file; default: the shipped one")
    parser.add_argument(
        "--parent",
        metavar="FILE",
        help="the float engine that an exact one was made from; default: the shipped one's",
    )
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
