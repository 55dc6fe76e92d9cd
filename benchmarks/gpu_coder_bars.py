"""What the coder is meant to reach on a GPU, and whether this run reached it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .coder_bars import AT_LEAST, AT_MOST, BARS, SOURCE, bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .report import Row

__all__ = ["BARS", "RATIOS", "SINGLE", "bars", "ratios"]

DIRECTIONS = ("encode", "decode")
LARGE = 64 << 20  # symbols of a batch from which on it is a large one
SINGLE = 100_000  # symbols of the one packet that a bar is about
_GSYM_S, _RATIO, _SINGLE_US, _OVERHEAD_PERCENT = 100, 4, 250, 1.5
RATIOS = {
    "direction": "",
    "peer": "",
    "setting": "",
    "gsym_s": ".2f",
    "peer_gsym_s": ".2f",
    "ratio": ".2f",
}


def _fastest(rows: Iterable[Row], direction: str) -> Row | None:
    speed = f"{direction}_gsym_s"
    return max((row for row in rows if speed in row), key=lambda row: row[speed], default=None)


def ratios(rows: Sequence[Row], peers: Sequence[Row]) -> list[Row]:
    """Compare the fastest large batch of ours with the fastest of torch_ans, of any size.

    Args:
        rows: Ours.
        peers: Those of torch_ans.
    """
    found = []
    for direction in DIRECTIONS:
        ours = _fastest(_large(rows), direction)
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
                }
            )
    return found


def bars(rows: Sequence[Row], compared: Sequence[Row]) -> list[Row]:
    """Hold a run's figures against the bars.

    Args:
        rows: Ours.
        compared: What `ratios` gave.
    """
    found = []
    for direction in DIRECTIONS:
        best = _fastest(_large(rows), direction)
        speed = None if best is None else best[f"{direction}_gsym_s"]
        what = f"{direction}, {SOURCE}, at least {LARGE >> 20} Mi symbols"
        found.append(bar(what, AT_LEAST, _GSYM_S, speed, "Gsym/s"))
    for direction in DIRECTIONS:
        for peer in ("torch_ans", "torch_ans, no escapes"):
            ratio = next(
                (r["ratio"] for r in compared if (r["direction"], r["peer"]) == (direction, peer)),
                None,
            )
            found.append(bar(f"{direction}, over {peer}", AT_LEAST, _RATIO, ratio, "x"))
    return [*found, _single(rows)]


def _large(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["source"] == SOURCE and row["symbols"] >= LARGE]


def _single(rows: Sequence[Row]) -> Row:
    """Give the bar of one packet, on the wall, by the fastest layout that costs little enough."""
    cheap = [
        row["decode_wall_us"]
        for row in rows
        if (row["source"], row["packets"], row["symbols"]) == (SOURCE, 1, SINGLE)
        and row["over_percent"] <= _OVERHEAD_PERCENT
    ]
    what = f"decode, one packet of {SINGLE} symbols, at most {_OVERHEAD_PERCENT} % over ideal"
    return bar(what, AT_MOST, _SINGLE_US, min(cheap, default=None), "us")
