"""Curves of a rate-accuracy run as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .statistics import frontier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from .report import Row

CODEC_COLOUR, ANCHOR_COLOUR = "#0b5fa5", "#a04a00"


def plot_rate_accuracy(rows: Sequence[Row], codec: str, pictures: str, path: str) -> None:
    """Draw agreement and distance against bytes, with shaded 95 % intervals.

    Args:
        rows: The rows of a rate-accuracy report.
        codec: Name of the codec; rows of other names are the anchor's.
        pictures: What was measured on, for the caption.
        path: File to write; its suffix decides the format.
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 2), ("agreement", "distance"), strict=True):
        ours = [row for row in rows if row["codec"] == codec]
        theirs = [row for row in rows if row["codec"] != codec]
        sign = 1.0 if metric == "agreement" else -1.0
        _curve(axes, theirs, metric, sign, ANCHOR_COLOUR, "s", theirs[0]["codec"])
        _curve(axes, ours, metric, sign, CODEC_COLOUR, "o", codec)
        axes.set_xscale("log")
        axes.set_xlabel("bytes per picture")
        axes.grid(visible=True, which="major", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if metric == "agreement":
            axes.set_ylabel("agreement with uncompressed features (AP50)")
            axes.set_ylim(0, 1.02)
            axes.legend(loc="lower right", frameon=False)
        else:
            axes.set_ylabel("distance of the detector's outputs")
            axes.set_yscale("log")
    figure.suptitle(f"{pictures}\nshaded: 95 % intervals", fontsize=8.5, color="0.35")
    figure.savefig(path, dpi=150)


def _curve(
    axes: Axes, rows: Sequence[Row], metric: str, sign: float, colour: str, marker: str, name: str
) -> None:
    """Draw the best points as a line in its interval, all others faintly."""

    def column(key: str) -> Any:
        return np.array([float(row[key]) for row in rows])

    sizes, values = column("bytes"), column(metric)
    best_sizes, _ = frontier(sizes, sign * values)
    best = [
        int(np.flatnonzero(sizes == size)[np.argmax(sign * values[sizes == size])])
        for size in best_sizes
    ]
    low, high = column(f"{metric}_low"), column(f"{metric}_high")
    axes.plot(sizes, values, marker, color=colour, alpha=0.25, markersize=3.5, linestyle="none")
    axes.plot(sizes[best], values[best], marker + "-", color=colour, markersize=4, label=name)
    axes.fill_between(sizes[best], low[best], high[best], color=colour, alpha=0.15, linewidth=0)
