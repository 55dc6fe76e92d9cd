"""Bytes against agreement and distance, for codecs and their anchors, with intervals and times.

python -m benchmarks.rate_accuracy [--task nanodet|movenet|selfie] [--engine FILE ...]
                                   [--allocations NAME ...] [--anchors NAME ...]
                                   [--set photos|video] [--every N] [--only accuracy|times]
                                   [--json PATH|-] [--plot PNG] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.tasks.task import NANODET, TASKS

from . import encode_times, evaluation_set, report
from .allocations import ALLOCATIONS, UNTIMED
from .anchors import ANCHORS
from .coder_bars import BARS
from .comparisons import BD_COLUMNS, RATIO_COLUMNS, compare, pairs, rows_of, shown, smallest
from .engine_coder import OVERHEAD_BYTES, EngineCoder, engine_systems, load_engine
from .evaluation import Evaluation
from .rate_bars import rate_bars
from .statistics import RESAMPLES, Curve, draws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcmrt.tasks.task import Task

    from .evaluation_set import EvaluationSet
    from .report import Row
    from .statistics import Measured
    from .systems import System

QUICK_PHOTOS, QUICK_RESAMPLES = 4, 200
TIMED_PICTURES, REPEATS, QUICK_REPEATS = 8, 16, 1
COLUMNS = {
    "codec": "",
    "allocation": "",
    "quality": "",
    "step": "d",
    "bytes": ".0f",
    "bits_per_pixel": ".4f",
    "agreement": ".3f",
    "agreement_low": ".3f",
    "agreement_high": ".3f",
    "distance": ".4f",
    "distance_low": ".4f",
    "distance_high": ".4f",
    "ideal_bytes": ".0f",
    "overhead_ok": "",
}


def engines_for(files: Sequence[str] | None, task: Task) -> list[fcmrt.Engine]:
    """Load the engines to measure; without files the shipped one, where it is for the task.

    Raises:
        ConfigError: An engine is for other features.
    """
    if files is None:
        return [fcmrt.Engine.builtin()] if task is NANODET else []
    return [load_engine(file, task) for file in files]


def measure_system(system: System, evaluation: Evaluation, *, quick: bool) -> list[Measured]:
    """Measure a system at its operating points.

    Args:
        system: What to measure.
        evaluation: Pictures and references.
        quick: Take its few points only.
    """
    measure = evaluation.measure_pixels if system.pixels else evaluation.measure
    points = []
    for coder in system.few if quick else system.coders:
        report.progress(f"{system.name}: {coder.label}")
        points.append(measure(coder.label, coder.round_trip, parallel=system.parallel))
    return points


def accuracy(
    codecs: Sequence[System], anchors: Sequence[System], evaluation: Evaluation, *, quick: bool
) -> tuple[list[Row], dict[str, Any]]:
    """Measure bytes, agreement and distance of everything, and compare the codecs.

    Args:
        codecs: What is compared.
        anchors: With what.
        evaluation: Pictures and references.
        quick: Few points and drawings.

    Returns:
        Rows, and the keys `packets`, `ratios` and `bd_rates` of the report.
    """
    task = evaluation.task
    weights = draws(evaluation.groups, QUICK_RESAMPLES if quick else RESAMPLES)
    rows: list[Row] = []
    values = {}
    for system in (*codecs, *anchors):
        points = measure_system(system, evaluation, quick=quick)
        curve = Curve(points)
        values[system.name] = [curve.values(row) for row in weights]
        rows += rows_of(task, system, points, values[system.name])
    coders = [coder for codec in codecs for coder in (codec.few if quick else codec.coders)]
    engines = [coder for coder in coders if isinstance(coder, EngineCoder)]
    for row, coder in zip(rows, coders, strict=False):  # the codecs' rows come first
        if isinstance(coder, EngineCoder):
            row.update(coder.figures())
    more: dict[str, Any] = {"packets": allowance(engines), "ratios": [], "bd_rates": []}
    for codec, anchor in pairs(codecs, anchors):
        report.progress(f"{codec.name} against {anchor.name}")
        head = {
            "task": task.name,
            "codec": codec.codec,
            "allocation": codec.allocation,
            "anchor": anchor.name,
        }
        ratios, rates = compare(head, values[codec.name], values[anchor.name])
        more["ratios"] += ratios
        more["bd_rates"] += rates
    return rows, more


def allowance(coders: Sequence[EngineCoder]) -> dict[str, int]:
    """Count packets, and those that are longer than their ideal bytes allow."""
    honest = np.concatenate([np.zeros(0, np.bool_), *(coder.honest for coder in coders)])
    return {"measured": len(honest), "over_the_allowance": int((~honest).sum())}


def times(
    codecs: Sequence[System], anchors: Sequence[System], evaluation: Evaluation, *, quick: bool
) -> dict[str, Any]:
    """Time encoding: the keys `times` and `time_ratios` of the report."""
    repeats = QUICK_REPEATS if quick else REPEATS
    timed = encode_times.time_encoding([*codecs, *anchors], evaluation, TIMED_PICTURES, repeats)
    return {"times": timed, "time_ratios": encode_times.time_ratios(timed, codecs, anchors)}


def read_pictures(name: str, only: str | None, every: int, *, quick: bool) -> EvaluationSet:
    """Read the evaluation set of that name, no more of it than is needed."""
    limit = QUICK_PHOTOS if quick else TIMED_PICTURES if only == "times" else None
    if name == "video":
        return evaluation_set.video(limit=limit, every=every)
    if quick:
        return evaluation_set.few_photos(QUICK_PHOTOS)
    return evaluation_set.photos(crops=limit is None, limit=limit, every=every)


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    quick: bool = arguments.quick
    if arguments.plot:
        from .plot import plot_rate_accuracy  # before the work: matplotlib may be missing
    task = TASKS[arguments.task]
    engines = engines_for(arguments.engine, task)
    anchors = [ANCHORS[name] for name in arguments.anchors]
    pictures = read_pictures(arguments.set, arguments.only, arguments.every, quick=quick)
    report.progress(pictures.description)
    evaluation = Evaluation(pictures, task)
    features = [reference.features for reference in evaluation.references]
    codecs = engine_systems(engines, arguments.allocations, features)
    rows: list[Row] = []
    more: dict[str, Any] = {
        "set": {
            "name": pictures.name,
            "description": pictures.description,
            "pictures": len(pictures.items),
            "groups": len(set(evaluation.groups)),
            "references": evaluation.found,
        },
        "packets": allowance([]),
        **{key: [] for key in ("ratios", "bd_rates", "times", "time_ratios")},
    }
    if arguments.only != "times":
        rows, found = accuracy(codecs, anchors, evaluation, quick=quick)
        more |= found
    if arguments.only != "accuracy":
        timed = [codec for codec in codecs if codec.allocation not in UNTIMED]
        more |= times(timed, anchors, evaluation, quick=quick)
    report.progress("done")
    more["bars"] = rate_bars(task, codecs, more["bd_rates"], more["time_ratios"])
    result = report.Report(
        report.command_line("benchmarks.rate_accuracy"),
        rows,
        more,
        notes(evaluation, pictures),
        engines=engines,
    )
    if arguments.plot and rows:
        plot_rate_accuracy(
            rows, [codec.codec for codec in codecs], pictures.description, arguments.plot
        )
    return result, describe(rows, more)


def notes(evaluation: Evaluation, pictures: EvaluationSet) -> list[str]:
    """Give the sentences on what was measured."""
    task, groups = evaluation.task, len(set(evaluation.groups))
    return [
        f"measured on {pictures.description}; {evaluation.found} references",
        f"agreement is {task.agreement_rule}, on uncompressed features; it says what the codec "
        "changed, not how right the network is",
        f"intervals: 95 %, paired bootstrap over {groups} groups of pictures",
        "an anchor is the best of all its points at each size; no curve is extrapolated",
        f"bits per pixel are of the network's input, {task.input_size} x {task.input_size}",
        "bytes are of one picture; what a stream sends once (stream header, parameter sets, boxes "
        "of a file) is not counted, for nobody",
        "encoding times are medians on the wall, two threads each, from features in memory (for "
        "pixels: from the resized picture, without a network)",
    ]


def describe(rows: Sequence[Row], more: dict[str, Any]) -> str:
    """Put a run into words and tables."""
    packets = more["packets"]
    parts = [
        ("", rows, COLUMNS),
        (
            "Anchor bytes / codec bytes at equal merit, the smallest over the codec's points:",
            smallest(more["ratios"]),
            RATIO_COLUMNS,
        ),
        ("BD-rates:", shown(more["bd_rates"]), BD_COLUMNS),
        ("Encoding times:", more["times"], encode_times.COLUMNS),
        (
            "Encoding time of the anchor / of the codec:",
            more["time_ratios"],
            encode_times.RATIO_COLUMNS,
        ),
        ("", more["bars"], BARS),
    ]
    texts = [
        f"{title}\n{report.table(table, columns)}".strip()
        for title, table, columns in parts
        if table
    ]
    if packets["measured"]:
        texts.append(
            f"{packets['over_the_allowance']} of {packets['measured']} packets are more than 1 % "
            f"and {OVERHEAD_BYTES} bytes over the entropy under the engine's tables "
            "and what tells their importance"
        )
    return "\n\n".join(texts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rate_accuracy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--task", choices=sorted(TASKS), default=NANODET.name)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="FILE",
        help="engine file, may be given more than once; default: the shipped one, for nanodet",
    )
    parser.add_argument(
        "--allocations",
        nargs="+",
        choices=ALLOCATIONS,
        default=ALLOCATIONS,
        metavar="NAME",
        help=f"of engines that keep their levels apart; default: {' '.join(ALLOCATIONS)}",
    )
    parser.add_argument(
        "--anchors",
        nargs="*",
        choices=tuple(ANCHORS),
        default=tuple(ANCHORS),
        metavar="NAME",
        help=f"default: {' '.join(ANCHORS)}",
    )
    parser.add_argument("--set", choices=("photos", "video"), default="photos")
    evaluation_set.add_every(parser)
    parser.add_argument(
        "--only",
        choices=("accuracy", "times"),
        help="leave the other out; times want a quiet machine",
    )
    parser.add_argument("--plot", metavar="PNG", help="draw the curves here")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
