"""What the coder is meant to reach on a GPU, and whether this run reached it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import coder_bars
from .coder_bars import AT_LEAST, AT_MOST, SOURCE, bar
from .gpu_coder import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .report import Row

__all__ = ["BARS", "RATIOS", "SINGLE", "bars", "ratios"]

DIRECTIONS = ("encode", "decode")
LARGE = 64 << 20  # symbols of a batch from which on it is a large one
SINGLE = 100_000  # symbols of the one packet that a bar is about
_GSYM_S, _RATIO, _SINGLE_US = 100, 4, 250
# What a layout may cost over ideal bytes, in percent: to count as fast, and for a single packet.
_OVER_PERCENT, _SINGLE_OVER_PERCENT = 10, 1.5
_LAYOUT = {"layout": "", "over_percent": ".2f", "default": ".3g"}
BARS = {**coder_bars.BARS, **_LAYOUT}
RATIOS = {
    "direction": "",
    "peer": "",
    "setting": "",
    "gsym_s": ".2f",
    "peer_gsym_s": ".2f",
    "ratio": ".2f",
    **_LAYOUT,
}


def _measured(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if "error" not in row]


def _fastest(rows: Iterable[Row], direction: str) -> Row | None:
    speed = f"{direction}_gsym_s"
    return max((row for row in rows if speed in row), key=lambda row: row[speed], default=None)


def _large(rows: Iterable[Row], layout: str | None = None) -> list[Row]:
    """Give the large batches of one layout, or of all that cost little enough."""
    large = [row for row in rows if row["source"] == SOURCE and row["symbols"] >= LARGE]
    if layout is not None:
        return [row for row in large if row["layout"] == layout]
    return [row for row in large if row["over_percent"] <= _OVER_PERCENT]


def _from(row: Row | None, default: float | None) -> Row:
    """Tell which layout a figure is of, and what the default layout reaches."""
    figures = {key: None if row is None else row[key] for key in ("layout", "over_percent")}
    return {**figures, "default": default}


def _default(rows: Sequence[Row], direction: str) -> float | None:
    found = _fastest(_large(rows, DEFAULT), direction)
    return None if found is None else float(found[f"{direction}_gsym_s"])


def ratios(rows: Sequence[Row], peers: Sequence[Row]) -> list[Row]:
    """Compare the fastest large batch of ours with the fastest of torch_ans, of any size.

    Args:
        rows: Ours; those with an error have no figures, and do not count.
        peers: Those of torch_ans.
    """
    found, rows = [], _measured(rows)
    for direction in DIRECTIONS:
        ours = _fastest(_large(rows), direction)
        default = _default(rows, direction)
        for name, escapes in (("torch_ans", True), ("torch_ans, no escapes", False)):
            theirs = _fastest([r for r in peers if r["escapes"] == escapes], direction)
            if ours is None or theirs is None:
                continue
            speed = f"{direction}_gsym_s"
            found.append(
                {
                    "direction": direction,
                    "peer": name,
                    "setting": theirs["implementation"],
                    "gsym_s": ours[speed],
                    "peer_gsym_s": theirs[speed],
                    "ratio": ours[speed] / theirs[speed],
                    **_from(ours, None if default is None else default / theirs[speed]),
                }
            )
    return found


def bars(rows: Sequence[Row], compared: Sequence[Row]) -> list[Row]:
    """Check a run's figures against the bars, each with its layout and the default's figure.

    Args:
        rows: Ours; those with an error have no figures, and do not count.
        compared: What `ratios` gave.
    """
    found, rows = [], _measured(rows)
    for direction in DIRECTIONS:
        best = _fastest(_large(rows), direction)
        speed = None if best is None else best[f"{direction}_gsym_s"]
        what = f"{direction}, {SOURCE}, at least {LARGE >> 20} Mi symbols"
        held = bar(what, AT_LEAST, _GSYM_S, speed, "Gsym/s")
        found.append({**held, **_from(best, _default(rows, direction))})
    for direction in DIRECTIONS:
        for peer in ("torch_ans", "torch_ans, no escapes"):
            row = next(
                (r for r in compared if (r["direction"], r["peer"]) == (direction, peer)), None
            )
            ratio = None if row is None else row["ratio"]
            held = bar(f"{direction}, over {peer}", AT_LEAST, _RATIO, ratio, "x")
            found.append({**held, **_from(row, None if row is None else row["default"])})
    return [*found, _single(rows)]


def _single(rows: Sequence[Row]) -> Row:
    """Give the bar of one packet, on the wall, by the fastest layout that costs little enough."""

    def us(row: Row) -> float:
        return float(row["decode_wall_us"])

    single = [
        row
        for row in rows
        if (row["source"], row["packets"], row["symbols"]) == (SOURCE, 1, SINGLE)
    ]
    cheap = [row for row in single if row["over_percent"] <= _SINGLE_OVER_PERCENT]
    best = min(cheap, key=us, default=None)
    default = min((us(row) for row in single if row["layout"] == DEFAULT), default=None)
    what = f"decode, one packet of {SINGLE} symbols, at most {_SINGLE_OVER_PERCENT} % over ideal"
    held = bar(what, AT_MOST, _SINGLE_US, None if best is None else us(best), "us")
    return {**held, **_from(best, default)}
