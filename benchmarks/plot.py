"""Curves of a rate-accuracy run as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .statistics import frontier
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from .report import Row

CODEC_COLOURS = ("#0b5fa5", "#6a3d9a", "#00766c", "#b0156e", "#3a3a3a")
ANCHOR_COLOURS = ("#a04a00", "#555555", "#999999", "#222222", "#c79a00", "#6b8e23")


def plot_rate_accuracy(
    rows: Sequence[Row], codecs: Collection[str], pictures: str, path: str
) -> None:
    """Draw agreement and distance against bytes, the codecs with shaded 95 % intervals.

    Args:
        rows: The rows of a rate-accuracy report.
        codecs: Names of the codecs; rows of other names are the anchors'.
        pictures: What was measured on, for the caption.
        path: File to write; its suffix decides the format.
    """
    figure = Figure(figsize=(10.5, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        curves.setdefault((row["codec"], row["allocation"]), []).append(row)
    both = figure.subplots(1, 2)
    for axes, metric in zip(both, ("agreement", "distance"), strict=True):
        ours, theirs = 0, 0
        for (codec, allocation), points in curves.items():
            name = codec if allocation == PLAIN else f"{codec} ({allocation})"
            if codec in codecs:
                colour = CODEC_COLOURS[ours % len(CODEC_COLOURS)]
                ours += 1
            else:
                colour = ANCHOR_COLOURS[theirs % len(ANCHOR_COLOURS)]
                theirs += 1
            _curve(axes, points, metric, colour, name, ours=codec in codecs)
        axes.set_xscale("log")
        axes.set_xlabel("bytes per picture")
        axes.grid(visible=True, which="major", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if metric == "agreement":
            axes.set_ylabel("agreement with uncompressed features")
            axes.set_ylim(_tenth_below(row["agreement"] for row in rows), 1.02)
        else:
            axes.set_ylabel("distance of the network's outputs")
            axes.set_yscale("log")
            _plain_ticks(axes.yaxis)
        _plain_ticks(axes.xaxis)
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    caption = f"{rows[0]['task']}; {pictures}\nshaded: 95 % intervals"
    figure.suptitle(caption, fontsize=8.5, color="0.35")
    figure.savefig(path, dpi=150)


def _tenth_below(values: Iterable[float]) -> float:
    """A tenth of 1 below all values, rounded down; not below 0."""
    return max(0.0, np.floor(10 * min(values)) / 10 - 0.1)


def _short(value: float, _: int | None) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"


def _plain_ticks(axis: Axis) -> None:
    """Label 1, 2 and 5 of every power of ten of a logarithmic axis, without powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(_short))
    axis.set_minor_formatter(NullFormatter())


def _curve(
    axes: Axes, rows: Sequence[Row], metric: str, colour: str, name: str, *, ours: bool
) -> None:
    """Draw the best points as a line, ours in its interval, all others faintly."""

    def column(key: str) -> Any:
        return np.array([float(row[key]) for row in rows])

    sizes, values = column("bytes"), column(metric)
    merit = values if metric == "agreement" else -values
    best_sizes, _ = frontier(sizes, merit)
    best = [
        int(np.flatnonzero(sizes == size)[np.argmax(merit[sizes == size])]) for size in best_sizes
    ]
    marker = "o" if ours else "s"
    axes.plot(sizes, values, marker, color=colour, alpha=0.25, markersize=3, linestyle="none")
    axes.plot(
        sizes[best],
        values[best],
        marker + "-",
        color=colour,
        markersize=4 if ours else 3,
        linewidth=1.8 if ours else 1.1,
        label=name,
    )
    if ours:
        low, high = column(f"{metric}_low"), column(f"{metric}_high")
        axes.fill_between(sizes[best], low[best], high[best], color=colour, alpha=0.15, linewidth=0)
