"""Bytes against agreement and distance, for a codec and its anchor, with intervals.

python -m benchmarks.rate_accuracy [--engine FILE] [--set photos|video] [--json PATH|-]
                                   [--plot PNG] [--quick]
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fcmrt
from fcmrt.tasks.nanodet import INPUT_SIZE

from . import anchors, evaluation_set, report
from .detection import DetectionTask
from .statistics import (
    METRICS,
    RESAMPLES,
    Curve,
    Measured,
    Values,
    bd_rate,
    draws,
    interval,
    overlap,
    summarise_ratios,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .detection import Coded
    from .report import Row

    Float32 = NDArray[np.float32]

OVERHEAD_FACTOR, OVERHEAD_BYTES = 1.01, 16  # a packet may exceed its ideal bytes by this
LEAST_OVERLAP = 0.5  # of the codec's range of quality; with less a BD-rate says nothing
QUICK_PHOTOS, QUICK_RESAMPLES = 4, 200
COLUMNS = {
    "codec": "",
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


class Rate(NamedTuple):
    """Bytes of one codec point against the entropy of what they hold; float64 `[pictures]`."""

    packets: NDArray[np.float64]
    ideal: NDArray[np.float64]

    @property
    def honest(self) -> NDArray[np.bool_]:
        """Whether each packet is within 1 % and 16 bytes of its ideal bytes (bool `[pictures]`)."""
        return self.packets <= self.ideal * OVERHEAD_FACTOR + OVERHEAD_BYTES


def codec_points(
    engine: fcmrt.Engine, task: DetectionTask, qualities: Sequence[int]
) -> tuple[list[Measured], list[Rate]]:
    """Measure a codec at its quality levels.

    Args:
        engine: The codec.
        task: Pictures and references.
        qualities: Quality levels, from 1 on.
    """
    encoder, decoder = fcmrt.Encoder(engine), fcmrt.Decoder(engine)

    def code(quality: int, ideal: list[float], features: Mapping[str, Float32]) -> Coded:
        packet = encoder.encode(features, quality=quality)
        ideal.append(ideal_bytes(engine, decoder, packet))
        return len(packet), decoder.decode(packet)

    points, rates = [], []
    for quality in qualities:
        report.progress(f"{engine.manifest.name}: quality {quality}")
        ideal: list[float] = []
        send = functools.partial(code, quality, ideal)
        points.append(task.measure(str(quality), send, parallel=False))
        rates.append(Rate(points[-1].bytes, np.array(ideal)))
    return points, rates


def ideal_bytes(engine: fcmrt.Engine, decoder: fcmrt.Decoder, packet: bytes) -> float:
    """Give the entropy of a packet's integers under the engine's integer tables, in bytes."""
    bits = 0.0
    for latent in decoder.integers(packet).values():
        coded = latent.indexes >= latent.skip
        tables = engine.tables(latent.tables)
        bits += tables.ideal_bits(latent.symbols[coded], latent.indexes[coded])
    return bits / 8


def anchor_points(task: DetectionTask, points: Sequence[anchors.Point]) -> list[Measured]:
    """Measure the anchor at its operating points."""
    measured = []
    for point in points:
        report.progress(f"{anchors.CODEC}: {point.label}")
        send = functools.partial(anchors.round_trip, point)
        measured.append(task.measure(point.label, send, parallel=True))
    return measured


def rows_of(
    task: str, codec: str, points: Sequence[Measured], drawn: Sequence[Values]
) -> list[Row]:
    """Give one row per operating point.

    Args:
        task: Name of the task.
        codec: Name of the codec.
        points: Its points.
        drawn: Their values under each weighting, the plain one first.
    """
    rows = []
    for k, point in enumerate(points):
        agreement = np.array([values.agreement[k] for values in drawn])
        distance = np.array([values.distance[k] for values in drawn])
        agreement_low, agreement_high = interval(agreement[1:])
        distance_low, distance_high = interval(distance[1:])
        rows.append(
            {
                "task": task,
                "codec": codec,
                "allocation": "none",
                "quality": point.label,
                "bytes": float(drawn[0].bytes[k]),
                "bits_per_pixel": float(drawn[0].bytes[k]) * 8 / INPUT_SIZE**2,
                "agreement": agreement[0],
                "agreement_low": agreement_low,
                "agreement_high": agreement_high,
                "distance": distance[0],
                "distance_low": distance_low,
                "distance_high": distance_high,
            }
        )
    return rows


def compare(
    task: str, codec: str, ours: Sequence[Values], theirs: Sequence[Values]
) -> dict[str, list[dict[str, Any]]]:
    """Give ratios of bytes and BD-rates of a codec against the anchor, at equal merit."""
    head = {"task": task, "codec": codec, "allocation": "none", "anchor": anchors.CODEC}
    ratios, rates = [], []
    for metric in METRICS:
        summary = summarise_ratios(ours, theirs, metric)
        points = [
            {"bytes": float(size), "ratio": ratio, "low": low, "high": high}
            for size, (ratio, low, high) in zip(ours[0].bytes, summary.points, strict=True)
        ]
        least, low, high = summary.minimum
        minimum = {"ratio": least, "low": low, "high": high}
        ratios.append({**head, "metric": metric, "points": points, "minimum": minimum})
        try:
            percents = [bd_rate(o, t, metric) for o, t in zip(ours, theirs, strict=True)]
        except ImportError:
            continue  # the package that computes it is not installed
        shared = overlap(ours[0], theirs[0], metric)
        if math.isfinite(percents[0]) and shared >= LEAST_OVERLAP:
            low, high = interval(np.array(percents[1:]))
            figures = {"percent": percents[0], "low": low, "high": high, "overlap": shared}
            rates.append({**head, "metric": metric, **figures})
    return {"ratios": ratios, "bd_rates": rates}


def describe(more: Mapping[str, list[dict[str, Any]]]) -> str:
    """Put ratios and BD-rates into words."""
    lines = []
    for row in more["ratios"]:
        lines.append(f"Anchor bytes / codec bytes at equal {row['metric']}:")
        for point in row["points"]:
            what = "nothing of the anchor compares"
            if math.isfinite(point["ratio"]):
                what = f"{point['ratio']:.2f}  ({point['low']:.2f} to {point['high']:.2f})"
            lines.append(f"  at {point['bytes']:8.0f} bytes: {what}")
        least = row["minimum"]
        lines.append(
            f"  smallest: {least['ratio']:.2f}  ({least['low']:.2f} to {least['high']:.2f})"
        )
    for row in more["bd_rates"]:
        lines.append(
            f"BD-rate at equal {row['metric']}: {row['percent']:.1f} %  ({row['low']:.1f} to "
            f"{row['high']:.1f}), over {row['overlap']:.0%} of the codec's range"
        )
    return "\n".join(lines)


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
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    if arguments.set == "video":
        pictures = evaluation_set.video(limit=QUICK_PHOTOS if quick else None)
    else:
        pictures = evaluation_set.photos(crops=not quick, limit=QUICK_PHOTOS if quick else None)
    report.progress(pictures.description)
    task = DetectionTask(pictures)
    last = len(engine.manifest.quality.levels)
    qualities = sorted({1, (last + 1) // 2, last}) if quick else range(1, last + 1)
    points, rates = codec_points(engine, task, list(qualities))
    baseline = anchor_points(task, anchors.QUICK_POINTS if quick else anchors.POINTS)

    weights = draws(task.groups, QUICK_RESAMPLES if quick else RESAMPLES)
    ours, theirs = (
        [curve.values(row) for row in weights] for curve in (Curve(points), Curve(baseline))
    )
    codec = engine.manifest.name
    rows = rows_of(task.name, codec, points, ours)
    for row, quality, rate in zip(rows, qualities, rates, strict=True):
        row["quality"] = quality
        row["step"] = engine.manifest.quality.shift(quality)
        row["ideal_bytes"] = float(rate.ideal.mean())
        row["overhead_ok"] = bool(rate.honest.all())
    rows += rows_of(task.name, anchors.CODEC, baseline, theirs)

    more = compare(task.name, codec, ours, theirs)
    honest = np.concatenate([rate.honest for rate in rates])
    result = report.Report(
        report.command_line("benchmarks.rate_accuracy"),
        rows,
        {
            "set": {
                "name": pictures.name,
                "description": pictures.description,
                "pictures": len(pictures.items),
                "groups": len(set(task.groups)),
                "reference_boxes": task.boxes,
            },
            "packets": {"measured": len(honest), "over_the_allowance": int((~honest).sum())},
            **more,
        },
        [
            f"measured on {pictures.description}; {task.boxes} reference boxes",
            "agreement is AP at IoU 0.5 against the network's own detections (score above 0.4) on "
            "uncompressed features; it says what the codec changed, not how right the detector is",
            f"intervals: 95 %, bootstrap over {len(set(task.groups))} groups of pictures",
            "the anchor is the best of all its points at each size; no curve is extrapolated",
            "bits per pixel are of the network's input, 416 x 416",
        ],
    )
    if arguments.plot:
        plot_rate_accuracy(rows, codec, pictures.description, arguments.plot)
    allowance = "every packet" if honest.all() else f"{honest.sum()} of {len(honest)} packets"
    text = (
        f"{report.table(rows, COLUMNS)}\n\n{describe(more)}\n\n{allowance} within 1 % and "
        f"{OVERHEAD_BYTES} bytes of the entropy under the engine's tables"
    )
    return result, text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rate_accuracy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", metavar="FILE", help="engine file; default: the shipped one")
    parser.add_argument("--set", choices=("photos", "video"), default="photos")
    parser.add_argument("--plot", metavar="PNG", help="draw the curves here")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
