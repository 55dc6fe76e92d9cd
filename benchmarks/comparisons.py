"""Rows of a rate-accuracy run, and how one system's bytes compare with another's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .statistics import METRICS, bd_rate, interval, overlap, summarise_ratios
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fcmrt.tasks.task import Task

    from .report import Row
    from .statistics import Measured, Values
    from .systems import System

LEAST_OVERLAP = 0.5  # of the codec's range of quality; with less a BD-rate says nothing
BD_COLUMNS = {
    "codec": "",
    "allocation": "",
    "anchor": "",
    "metric": "",
    "percent": ".1f",
    "low": ".1f",
    "high": ".1f",
    "overlap": ".0%",
    "draws": ".1%",
}
RATIO_COLUMNS = {
    "codec": "",
    "allocation": "",
    "anchor": "",
    "metric": "",
    "ratio": ".2f",
    "low": ".2f",
    "high": ".2f",
}


def rows_of(
    task: Task, system: System, points: Sequence[Measured], drawn: Sequence[Values]
) -> list[Row]:
    """Give one row per operating point.

    Args:
        task: The task.
        system: What was measured.
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
                "task": task.name,
                "codec": system.codec,
                "allocation": system.allocation,
                "quality": point.label,
                "bytes": float(drawn[0].bytes[k]),
                "bits_per_pixel": float(drawn[0].bytes[k]) * 8 / task.input_size**2,
                "agreement": agreement[0],
                "agreement_low": agreement_low,
                "agreement_high": agreement_high,
                "distance": distance[0],
                "distance_low": distance_low,
                "distance_high": distance_high,
            }
        )
    return rows


def pairs(codecs: Sequence[System], anchors: Sequence[System]) -> Iterator[tuple[System, System]]:
    """Give every codec with each of its anchors.

    These are the anchors, and for a codec with an allocation the same codec with every other one:
    with one quality for all levels (`PLAIN`), and with the allocation of least feature error.
    """
    for codec in codecs:
        for anchor in anchors:
            yield codec, anchor
        if codec.allocation != PLAIN:
            for other in codecs:
                if other.codec == codec.codec and other.allocation != codec.allocation:
                    yield codec, other


def compare(
    head: Mapping[str, Any], ours: Sequence[Values], theirs: Sequence[Values]
) -> tuple[list[Row], list[Row]]:
    """Give ratios of bytes and BD-rates of a codec against an anchor, at equal merit.

    Pictures are paired: one drawing of pictures serves both.

    Args:
        head: What every row begins with: who is compared.
        ours: The codec's values under each weighting, the plain one first (`draws`).
        theirs: The anchor's under the same weightings.

    Returns:
        Ratios, and BD-rates where curves share enough; each with an interval. `draws` of a BD-rate
        is the share of the drawings in which there is one and curves share as much. Its interval is
        of those in which there is one: with few of them it says little.
    """
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
        shared = overlap(ours[0], theirs[0], metric)
        percent = bd_rate(ours[0], theirs[0], metric)
        if math.isfinite(percent) and shared >= LEAST_OVERLAP:
            drawn = [*zip(ours[1:], theirs[1:], strict=True)]
            each = [bd_rate(o, t, metric) for o, t in drawn]
            usable = [
                math.isfinite(one) and overlap(o, t, metric) >= LEAST_OVERLAP
                for one, (o, t) in zip(each, drawn, strict=True)
            ]
            low, high = interval(np.array(each))
            figures = {"percent": percent, "low": low, "high": high, "overlap": shared}
            figures["draws"] = float(np.mean(usable))
            rates.append({**head, "metric": metric, **figures})
    return ratios, rates


def shown(bd_rates: Sequence[Row]) -> list[Row]:
    """Give BD-rates as rows for a table: the share of drawings only where it is not all of them."""
    return [{**row, "draws": row["draws"] if row["draws"] < 1 else None} for row in bd_rates]


def smallest(ratios: Sequence[Row]) -> list[Row]:
    """Give the smallest ratio of each comparison as a row for a table."""
    return [{**row, **row["minimum"]} for row in ratios]
