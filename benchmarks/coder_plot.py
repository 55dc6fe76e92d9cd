"""A run of the coder's benchmark as a picture: speeds by coder, and packets over ideal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from .coder_rows import OURS
from .plot import ANCHOR_COLOURS, CODEC_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from .report import Row

MARKERS = ("o", "s", "^", "D", "v")


def plot_coder(rows: Sequence[Row], sizes: Sequence[Row], path: str) -> None:
    """Draw million symbols a second by coder and source, and bytes over ideal by packet size.

    Args:
        rows: The rows of the report; of a peer's settings the fastest in each direction is drawn.
        sizes: Its `sizes`.
        path: File to write; its suffix decides the format.
    """
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    decode, encode, over = figure.subplots(1, 3)
    encode.sharex(decode)
    for axes, direction in ((decode, "decode"), (encode, "encode")):
        _speeds(axes, rows, f"{direction}_msym_s")
        axes.set_title(direction, fontsize=9.5)
    encode.tick_params(labelleft=False)
    encode.legend(loc="lower left", frameon=False, fontsize=8)
    _sizes(over, sizes)
    for axes in (decode, encode, over):
        axes.grid(visible=True, which="major", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _label(row: Row) -> str:
    """Name a coder: ours by implementation and threads, a peer as a whole."""
    if row["coder"] != OURS:
        return str(row["coder"])
    threads = "" if row["threads"] == 1 else f", {row['threads']} threads"
    return f"{OURS} {row['implementation']}{threads}"


def _speeds(axes: Axes, rows: Sequence[Row], key: str) -> None:
    labels = list(dict.fromkeys(_label(row) for row in rows))
    sources = list(dict.fromkeys(row["source"] for row in rows))
    for place, label in enumerate(labels):
        colour = (CODEC_COLOURS if label.startswith(OURS) else ANCHOR_COLOURS)[0]
        for marker, source in zip(MARKERS, sources, strict=False):
            found = [r[key] for r in rows if r["source"] == source and _label(r) == label]
            if found:
                axes.plot(max(found), place, marker, color=colour, markersize=5, alpha=0.8)
    for marker, source in zip(MARKERS, sources, strict=False):
        axes.plot([], [], marker, color="0.4", markersize=5, label=source)
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("million symbols a second")


def _sizes(axes: Axes, sizes: Sequence[Row]) -> None:
    chosen = [row for row in sizes if row["chosen"]]
    for marker, source in zip(MARKERS, dict.fromkeys(r["source"] for r in chosen), strict=False):
        own = [row for row in chosen if row["source"] == source]
        ideal = np.array([row["ideal_bytes"] for row in own])
        over = np.array([row["over_percent"] for row in own])
        axes.plot(ideal, over, marker + "-", color=CODEC_COLOURS[0], markersize=4, label=source)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_title("whole packets, as the coder lays them out", fontsize=9.5)
    axes.set_xlabel("ideal bytes of a packet")
    axes.set_ylabel("bytes over ideal, %")
    axes.legend(loc="upper right", frameon=False, fontsize=8)
