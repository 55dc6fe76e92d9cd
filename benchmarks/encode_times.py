"""How long encoding takes, from the features in memory to the bytes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from . import report
from .blocks import in_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .evaluation import Evaluation
    from .report import Row
    from .systems import System

COLUMNS = {
    "codec": "",
    "allocation": "",
    "quality": "",
    "encode_ms": ".2f",
    "spread": ".2f",
}
RATIO_COLUMNS = {"codec": "", "allocation": "", "anchor": "", "ratio": ".1f", "least": ".1f"}


def time_encoding(
    systems: Sequence[System], evaluation: Evaluation, pictures: int, repeats: int
) -> list[Row]:
    """Time encoding at the few operating points of each system, in blocks in one process.

    Features are in memory; packing, and quantising, are part of it. Of pixels the resized picture
    is in memory, and no network is part of it.

    Args:
        systems: What to time.
        evaluation: Pictures and features.
        pictures: Of these, how many are taken, in turns; whole photos before crops.
        repeats: Timed calls of each operating point.
    """
    chosen = sorted(evaluation.references, key=lambda reference: not reference.item.whole)
    chosen = chosen[:pictures]
    points = {
        f"{system.name} {coder.label}": (
            system,
            coder,
            [reference.pixels if system.pixels else reference.features for reference in chosen],
        )
        for system in systems
        for coder in system.few
    }
    calls = {
        name: lambda k, coder=coder, sources=sources: coder.encode(sources[k])
        for name, (_, coder, sources) in points.items()
    }
    report.progress(f"timing {len(calls)} operating points")
    taken = in_blocks(calls, repeats, len(chosen))
    rows = []
    for name, (system, coder, _) in points.items():
        timed = report.median_and_spread(taken[name])
        rows.append(
            {
                "task": evaluation.task.name,
                "codec": system.codec,
                "allocation": system.allocation,
                "quality": coder.label,
                "encode_ms": timed["median"],
                "spread": timed["spread"],
            }
        )
    return rows


def time_ratios(
    rows: Sequence[Row], codecs: Sequence[System], anchors: Sequence[System]
) -> list[Row]:
    """Give how many times as long as a codec an anchor of features takes.

    Args:
        rows: What `time_encoding` gave.
        codecs: Those to compare.
        anchors: With these.

    Returns:
        A row for each pair: `ratio` of the means over the timed points, which of both are spread
        over the agreements that matter, and `least`, of the anchor's fastest point to the codec's
        slowest.
    """

    def times(system: System) -> list[float]:
        key = (system.codec, system.allocation)
        return [row["encode_ms"] for row in rows if (row["codec"], row["allocation"]) == key]

    ratios = []
    for codec in codecs:
        ours = times(codec)
        for anchor in anchors:
            if anchor.pixels:
                continue
            theirs = times(anchor)
            ratios.append(
                {
                    "task": rows[0]["task"],
                    "codec": codec.codec,
                    "allocation": codec.allocation,
                    "anchor": anchor.name,
                    "ratio": statistics.fmean(theirs) / statistics.fmean(ours),
                    "least": min(theirs) / max(ours),
                }
            )
    return ratios
