"""The demo's result in plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..tasks.nanodet import CLASS_NAMES

if TYPE_CHECKING:
    from .run import Point, Result, Times


def report(result: Result) -> str:
    """Writes what the codec did to one photo, for a terminal of 80 columns."""
    return "\n".join([*_sizes(result), "", *_times(result), "", *_detections(result)])


def curve_report(points: list[Point], photos: int, quality: float) -> str:
    """Writes the rate-agreement table; the quality in use is marked."""
    lines = [f"all quality levels, mean of {photos} photos", "  quality     bytes   AP50 agreement"]
    for point in points:
        mark = "  <" if point.quality == quality else ""
        row = f"  {point.quality:7g} {group(round(point.packet_bytes)):>9}"
        lines.append(f"{row}   {_share(point.agreement):>14}{mark}")
    return "\n".join(lines)


def caption(result: Result) -> str:
    """Returns in one line what the packet costs."""
    size = len(result.packet)
    return f"{group(size)} bytes, {result.raw_bytes / size:,.0f}x smaller"


def _sizes(result: Result) -> list[str]:
    height, width = result.photo.size
    size = len(result.packet)
    rows = [("features, float32", result.raw_bytes), (f"packet, quality {result.quality:g}", size)]
    lines = [
        f"{result.photo.name}, {width} x {height}",
        f"{'':22}{'bytes':>12}{'ratio':>10}{'bits per pixel':>17}",
    ]
    for name, count in rows:
        ratio, rate = result.raw_bytes / count, 8 * count / (height * width)
        lines.append(f"  {name:20}{group(count):>12}{f'{ratio:.1f}x':>10}{rate:>17.3f}")
    return lines


def _times(result: Result) -> list[str]:
    def row(name: str, times: Times) -> str:
        rest = max(0.0, times.total - times.networks - times.coder)
        cells = (times.networks, times.coder, rest, times.total)
        return f"  {name:20}" + "".join(f"{ms:12.2f}" for ms in cells)

    head = "".join(f"{name:>12}" for name in ("networks", "coder", "rest", "total"))
    return [
        f"{'milliseconds':22}{head}",
        row("encode", result.encode),
        row("decode", result.decode),
    ]


def _detections(result: Result) -> list[str]:
    lines = [f"{'detections':22}{'before':>12}{'after':>12}{'overlap':>12}"]
    for pair in result.pairs:
        before = "-" if pair.before is None else f"{result.before.scores[pair.before]:.2f}"
        after = "-" if pair.after is None else f"{result.after.scores[pair.after]:.2f}"
        overlap = f"{pair.iou:.2f}" if pair.iou else "-"
        name = CLASS_NAMES[pair.label]
        lines.append(f"  {name:20}{before:>12}{after:>12}{overlap:>12}")
    if not result.pairs:
        lines.append("  none")
    lines.append(f"  {'agreement, AP50':20}{'':12}{_share(result.agreement):>12}")
    return lines


def group(value: int) -> str:
    """Groups digits by thousands."""
    return f"{value:,}".replace(",", " ")


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
