"""Draws the demo's result as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackendUnavailableError, ConfigError
from ..tasks.nanodet import CLASS_NAMES
from .report import caption, group
from .run import SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..tasks.nanodet import Detections
    from .photos import Photo
    from .run import Point, Result

WIDTH = 12.0
"""Width of the picture in inches."""

TALLEST = 6.5
"""Height in inches beyond which photos are drawn smaller."""

NARROW = 0.75
"""Least width divided by height at which both titles fit above a photo at full size."""

DOTS_PER_INCH = 110

CHARACTER_INCHES = 0.086
"""Approximate width of a character of the labels."""

LINE_INCHES = 0.19
"""Approximate height of a line of the labels."""

INK = "#22272e"
FAINT = "#8a939e"
ACCENT = "#d1495b"
PALETTE = (
    *("#ffb000", "#00b3b8", "#ff5f7e", "#7ac943", "#9a7bff", "#ff8a3d"),
    *("#3fa7ff", "#e667d8", "#c9d400", "#00c98d"),
)


def check_target(path: str | Path) -> None:
    """Checks that a picture can be written to a file, before the work that it shows is done.

    Args:
        path: File to write; its suffix chooses the format (.png, .jpg, .svg, .pdf).

    Raises:
        BackendUnavailableError: Matplotlib is not installed.
        ConfigError: Matplotlib does not know the suffix, or there is no such folder.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise BackendUnavailableError(
            "the picture needs Matplotlib: pip install 'fcmrt[demo]', or use --no-plot"
        ) from error
    suffix = Path(path).suffix.removeprefix(".").lower()
    known = FigureCanvasBase.get_supported_filetypes()
    if suffix not in known:
        raise ConfigError(f"{path}: the suffix must be one of {', '.join(sorted(known))}")
    if not Path(path).parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {Path(path).parent}")


def draw(
    path: str | Path,
    results: Sequence[Result],
    points: Sequence[Point] = (),
    *,
    photos: int = 0,
) -> None:
    """Writes a picture: detections before (left) and after (right), and below, quality levels.

    Args:
        path: File to write, as for `check_target`.
        results: What the codec did; each is a row of two pictures.
        points: The quality levels; if empty, there is no plot.
        photos: How many photos the points are averages of.

    Raises:
        As `check_target`.
        OSError: The file cannot be written.
    """
    check_target(path)
    from matplotlib.figure import Figure

    heights = [_row_height(result) for result in results] + ([3.3] if points else [])
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DOTS_PER_INCH, layout="constrained")
    figure.set_facecolor("white")
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for row, result in enumerate(results):
        colours = _colours(result)
        raw = f"{group(result.raw_bytes)} bytes"
        left, right = (figure.add_subplot(grid[row, column]) for column in (0, 1))
        rows = [pair.before for pair in result.pairs], [pair.after for pair in result.pairs]
        photo = result.photo
        _picture(left, photo, result.before, rows[0], colours, ("uncompressed features", raw))
        _picture(
            right,
            photo,
            result.after,
            rows[1],
            colours,
            ("decoded features", caption(result)),
        )
    if points:
        _plot(figure.add_subplot(grid[len(results), :]), points, results[0].quality, photos)
    figure.savefig(path)


def _row_height(result: Result) -> float:
    """Inches for a photo at half the width, with its title."""
    height, width = result.photo.size
    return min(WIDTH / 2 * height / width, TALLEST) + 0.7


def _colours(result: Result) -> dict[int, str]:
    """One colour per class that is shown, the same on both sides."""
    labels = dict.fromkeys(pair.label for pair in result.pairs)
    return {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}


def _picture(
    axes: Axes,
    photo: Photo,
    found: Detections,
    rows: Sequence[int | None],
    colours: dict[int, str],
    titles: tuple[str, str],
) -> None:
    height, width = photo.size
    axes.imshow(photo.pixels)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_title(titles[0], loc="left", fontsize=12, color=INK, fontweight="bold")
    narrow = width / height < NARROW
    axes.set_title(titles[1], loc="right", fontsize=10 if narrow else 12, color=INK)
    shown = sorted(row for row in rows if row is not None)  # best first, as in `found`
    for i in reversed(shown):  # the best boxes last, so that they lie on top
        weak = bool(found.scores[i] < SHOWN)
        _frame(axes, found.boxes[i], colours[int(found.classes[i])], weak=weak)
    taken: list[tuple[float, float, float, float]] = []
    for i in shown:
        label = int(found.classes[i])
        text = f"{CLASS_NAMES[label]} {found.scores[i]:.2f}"
        _label(axes, found.boxes[i], colours[label], text, taken)
    if any(found.scores[i] < SHOWN for i in shown):
        note = f"dashed: score below {SHOWN:g}"
        axes.text(width, 1.015 * height, note, ha="right", va="top", fontsize=9, color=FAINT)


def _frame(axes: Axes, box: Any, colour: str, *, weak: bool) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    x0, y0, x1, y1 = (float(v) for v in box)
    frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2.2)
    if weak:
        frame.set_linestyle((0, (4, 2)))
    else:
        frame.set_path_effects([Stroke(linewidth=3.6, foreground="#00000080"), Normal()])
    axes.add_patch(frame)


def _label(
    axes: Axes, box: Any, colour: str, text: str, taken: list[tuple[float, float, float, float]]
) -> None:
    """Writes a label at the first corner of its box where it does not cover another label.

    Args:
        axes: The picture.
        box: x0, y0, x1, y1 in pixels of the picture.
        colour: Of the label's background.
        text: What to write.
        taken: Boxes of the labels so far; this label's is added.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    columns, rows = axes.get_xlim()[1], axes.get_ylim()[0]
    per_inch = max(columns / (WIDTH / 2), rows / TALLEST)  # pixels of the picture
    width, height = len(text) * CHARACTER_INCHES * per_inch, LINE_INCHES * per_inch
    left, right = min(x0, columns - width), max(x1 - width, 0.0)
    above = y0 - height if y0 >= height else y0
    corners = [(left, above), (right, above), (left, y1 - height), (right, y1 - height)]
    corners += [(left, min(y1, rows - height)), (right, min(y1, rows - height))]

    def is_free(x: float, y: float) -> bool:
        return all(x + width <= a or c <= x or y + height <= b or d <= y for a, b, c, d in taken)

    x, y = next((corner for corner in corners if is_free(*corner)), corners[0])
    taken.append((x, y, x + width, y + height))
    axes.text(
        x + 0.05 * height,
        y + height / 2,
        text,
        va="center",
        fontsize=9,
        fontweight="bold",
        color="black",
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.6},
        clip_on=False,
    )


def _plot(axes: Axes, points: Sequence[Point], quality: float, photos: int) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    drawn = [point for point in points if not math.isnan(point.agreement)]
    x = [point.packet_bytes for point in drawn]
    y = [point.agreement for point in drawn]
    axes.set_xscale("log")
    axes.plot(x, y, color=INK, linewidth=1.6, zorder=2)
    axes.scatter(x, y, s=42, color="white", edgecolor=INK, linewidth=1.6, zorder=3)
    for point in drawn:
        here = point.quality == quality
        if here:
            axes.scatter([point.packet_bytes], [point.agreement], s=90, color=ACCENT, zorder=4)
        axes.annotate(
            f"quality {point.quality:g}" if here else f"{point.quality:g}",
            (point.packet_bytes, point.agreement),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=10 if here else 9,
            fontweight="bold" if here else "normal",
            color=ACCENT if here else FAINT,
        )
    axes.set_title(
        f"all quality levels, mean of {photos} photos",
        loc="left",
        fontsize=12,
        color=INK,
        fontweight="bold",
    )
    axes.set_xlabel("bytes per photo", color=INK)
    axes.set_ylabel("agreement (AP50)", color=INK)
    axes.set_ylim(max(0.0, math.floor(10 * min([0.9, *y]) - 0.9) / 10), 1.04)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: group(round(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(colors=FAINT, labelsize=9, which="both")
    axes.grid(color="#e6e9ed", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c6ccd3")
