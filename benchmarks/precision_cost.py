"""What narrower arithmetic in analysis and synthesis costs: bytes, error, agreement, time.

python -m benchmarks.precision_cost [--task NAME] [--engine FILE] [--every N]
    [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fcmrt
from fcmrt.export.calibration import METHODS
from fcmrt.export.train.data import Pictures, read_pictures
from fcmrt.export.train.source import FeatureSource
from fcmrt.export.variants import graph_inputs, in_precision
from fcmrt.tasks.task import NANODET, TASKS

from . import evaluation_set, report
from .coding_cost import coding_cost
from .engine_coder import load_engine
from .evaluation import Evaluation, load_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.export.calibration import Method
    from fcmrt.export.onnx import Precision
    from fcmrt.tasks.task import Task

    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

BASE = "fp32"
CALIBRATION_PICTURES, QUICK_CALIBRATION_PICTURES = 32, 2
TIMED_CALLS, QUICK_TIMED_CALLS = 15, 2
QUICK_PHOTOS = 2
SEED = 1  # of the crops that calibrate
METHOD: Method = "mse"
COLUMNS = {
    "precision": "",
    "quality": "d",
    "bytes": ".0f",
    "bytes_percent": "+.2f",
    "nmse": ".5f",
    "nmse_percent": "+.2f",
    "agreement": ".3f",
    "distance": ".4f",
}
TIMES = {"precision": "", "runner": "", "encode_ms": ".1f", "decode_ms": ".1f"}


class Variant(NamedTuple):
    """An engine in one precision."""

    name: str
    engine: fcmrt.Engine


def calibration_pictures(task: Task, count: int) -> list[Features]:
    """Give features of random crops, of the training pictures if FCMRT_ASSETS has them.

    Without it they are of the shipped photos, which are measured on as well.

    Args:
        task: Whose features.
        count: Of how many crops.
    """
    assets = evaluation_set.assets_folder()
    if assets is None:
        pictures = Pictures(dict(evaluation_set.shipped_photos()), {})
    else:
        pictures = read_pictures(assets, [])
    network = load_network(task, threads=1)
    source = FeatureSource(pictures, network, seed=SEED, batch=count, task=task)
    levels = source.features(0)
    return [
        {name: level[k] for name, level in zip(task.feature_names, levels, strict=True)}
        for k in range(count)
    ]


def variants(
    engine: fcmrt.Engine,
    pictures: Sequence[Features],
    qualities: Sequence[int],
    methods: Sequence[Method],
) -> list[Variant]:
    """Make the engine in every precision, and in int8 by several calibrations.

    Args:
        engine: In float32.
        pictures: What int8 is calibrated on.
        qualities: Quality levels, which they take in turn.
        methods: Calibrations.
    """
    plain: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
    found = [Variant(name, in_precision(engine, name)) for name in plain]
    inputs = graph_inputs(engine, pictures, qualities)
    for method in methods:
        report.progress(f"calibrating int8, {method}")
        made = in_precision(engine, "int8", inputs=inputs, method=method)
        found.append(Variant(f"int8 {method}", made))
    outer = in_precision(engine, "int8", inputs=inputs, method=METHOD, keep_outer=True)
    return [*found, Variant(f"int8 {METHOD}, outer layers fp32", outer)]


def cost_rows(
    made: Sequence[Variant], evaluation: Evaluation, qualities: Sequence[int]
) -> list[Row]:
    """Code the pictures with each variant, on PyTorch, which rounds as the graphs say.

    Args:
        made: The variants, the one to compare with first.
        evaluation: Pictures and references.
        qualities: Quality levels.

    Returns:
        A row for each variant and quality; percents are against the first variant.
    """
    options = fcmrt.RuntimeOptions(runner="torch", threads=1)
    rows: list[Row] = []
    base: dict[int, Row] = {}
    for name, engine in made:
        encoder = fcmrt.Encoder(engine, options=options)
        decoder = fcmrt.Decoder(engine, options=options)
        for quality in qualities:
            report.progress(f"{name}: quality {quality}")
            found = coding_cost(encoder, decoder, evaluation, quality)
            row = {
                "precision": name,
                "quality": quality,
                **found._asdict(),
                "bytes": float(found.bytes.mean()),
            }
            first = base.setdefault(quality, row)
            for key in ("bytes", "nmse"):
                row[f"{key}_percent"] = 100 * (row[key] / first[key] - 1)
            rows.append(row)
    return rows


def time_rows(made: Sequence[Variant], features: Features, calls: int) -> list[Row]:
    """Time whole calls of each variant on each runner that has its precision, on one thread.

    Variants take turns, so that what slows the machine slows all of them.

    Args:
        made: The variants.
        features: One picture's, float32 `[C, H, W]` by level.
        calls: Timed calls of each.

    Returns:
        Rows with the least time in ms.
    """
    options = fcmrt.RuntimeOptions(threads=1)
    torch = dataclasses.replace(options, runner="torch")
    rows: list[Row] = []
    for chosen in (options, torch):
        coders = [
            (name, fcmrt.Encoder(engine, options=chosen), fcmrt.Decoder(engine, options=chosen))
            for name, engine in made
            if not (name == "bf16" and chosen.runner == "onnxruntime")
        ]
        least: dict[str, list[float]] = {name: [np.inf, np.inf] for name, _, _ in coders}
        for _ in range(calls + 1):
            for name, encoder, decoder in coders:
                start = time.perf_counter()
                packet = encoder.encode(features)
                middle = time.perf_counter()
                decoder.decode(packet)
                spent = middle - start, time.perf_counter() - middle
                least[name] = [
                    min(old, 1e3 * new) for old, new in zip(least[name], spent, strict=True)
                ]
        for name, (encode, decode) in least.items():
            head = {"precision": name, "runner": chosen.runner}
            rows.append({**head, "encode_ms": encode, "decode_ms": decode})
    return rows


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    quick: bool = arguments.quick
    task = TASKS[arguments.task]
    engine = load_engine(arguments.engine, task)
    last = len(engine.manifest.quality.levels)
    qualities = sorted({(last + 3) // 4, (last + 1) // 2, (3 * last + 1) // 4})
    count = QUICK_CALIBRATION_PICTURES if quick else CALIBRATION_PICTURES
    methods: Sequence[Method] = (METHOD,) if quick else METHODS
    made = variants(engine, calibration_pictures(task, count), qualities, methods)
    photos = (
        evaluation_set.few_photos(QUICK_PHOTOS)
        if quick
        else evaluation_set.photos(crops=False, every=arguments.every)
    )
    report.progress(photos.description)
    evaluation = Evaluation(photos, task)
    rows = cost_rows(made, evaluation, qualities)
    timed = [
        variant for variant in made if variant.name in (BASE, "fp16", "bf16", f"int8 {METHOD}")
    ]
    calls = QUICK_TIMED_CALLS if quick else TIMED_CALLS
    times = time_rows(timed, evaluation.references[0].features, calls)
    sizes = {
        name: {graph: len(one.graph(graph)) for graph in one.manifest.graphs} for name, one in made
    }
    result = report.Report(
        report.command_line("benchmarks.precision_cost"),
        rows,
        {
            "task": task.name,
            "codec": engine.manifest.name,
            "times": times,
            "graph_bytes": sizes,
            "calibration_pictures": count,
        },
        [
            f"measured on {photos.description}; {evaluation.found} references",
            "bytes are the mean of a packet; percents are against fp32 at the same quality",
            "coded by PyTorch's runner, which rounds every value as the graph says; an engine's "
            "weights are float16 in its file, as a rule, so that fp16 rounds none of them again",
            "times are the least of whole calls in ms on one thread; ONNX Runtime's CPU computes "
            "fp16 graphs in float32 and has no bf16",
        ],
        engines=[engine],
    )
    text = f"{report.table(rows, COLUMNS)}\n\n{report.table(times, TIMES)}"
    return result, text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision_cost", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--task", choices=sorted(TASKS), default=NANODET.name)
    parser.add_argument(
        "--engine", metavar="FILE", help="engine file; default: the shipped one, for nanodet"
    )
    evaluation_set.add_every(parser)
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
