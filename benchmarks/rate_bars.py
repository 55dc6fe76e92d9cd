"""What a feature codec is meant to reach against features in x265, and whether a run reached it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .coder_bars import AT_LEAST, AT_MOST, bar
from .statistics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Row
    from .systems import System

ANCHOR = "features+x265-medium"
MOST_PERCENT = -52  # published for L-MSFC against earlier codecs of multi-scale features
LEAST_RATIO = 5  # of encoding times, published for L-MSFC


def rate_bars(
    codecs: Sequence[System], bd_rates: Sequence[Row], time_ratios: Sequence[Row]
) -> list[Row]:
    """Hold a run's figures against the bars.

    Args:
        codecs: The codecs measured.
        bd_rates: The run's, for every codec, allocation, anchor and metric.
        time_ratios: The run's; empty if nothing was timed.
    """
    rows = []
    for codec in codecs:
        for metric in METRICS:
            percent = _of(bd_rates, codec, "percent", metric=metric)
            what = f"{codec.name}: BD-rate against {ANCHOR}, equal {metric}"
            rows.append(bar(what, AT_MOST, MOST_PERCENT, percent, "%"))
        what = f"{codec.name}: encoding time of {ANCHOR} over its own"
        ratio = _of(time_ratios, codec, "ratio")
        rows.append(bar(what, AT_LEAST, LEAST_RATIO, ratio, "times"))
    return rows


def _of(rows: Sequence[Row], codec: System, key: str, **more: str) -> float | None:
    """Give a codec's figure against the anchor, None if there is none."""
    wanted = {"codec": codec.codec, "allocation": codec.allocation, "anchor": ANCHOR, **more}
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return float(row[key])
    return None
