"""What a feature codec is meant to reach, and whether a run reached it.

Against features in x265; and, where the importance of its levels is predicted, against itself.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .allocations import IMPORTANCE, MSE
from .coder_bars import AT_LEAST, AT_MOST, BELOW, bar
from .statistics import METRICS
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .report import Row
    from .systems import System

ANCHOR = "features+x265-medium"
MOST_PERCENT = -52  # published for L-MSFC against earlier codecs of multi-scale features
LEAST_RATIO = 5  # of encoding times, published for L-MSFC
SAVED_PERCENT = -15  # by importance, against itself without
SAVED_BY_ELIC = -20  # the same for ELIC on detection, by the names of its engines
ELIC_ON_DETECTION = "elic-nanodet"


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
    for codec in codecs:
        if codec.allocation == IMPORTANCE:
            rows += _importance_bars(codec, bd_rates)
    return rows


def _importance_bars(codec: System, bd_rates: Sequence[Row]) -> list[Row]:
    """Hold a codec with predicted importance against the same with other allocations."""
    rows = []
    wanted = SAVED_BY_ELIC if codec.codec.startswith(ELIC_ON_DETECTION) else SAVED_PERCENT
    for allocation in (PLAIN, MSE):
        other = dataclasses.replace(codec, allocation=allocation).name
        for metric in METRICS:
            what = f"{codec.name}: BD-rate against {other}, equal {metric}"
            percent, high = (
                _of(bd_rates, codec, key, metric=metric, anchor=other)
                for key in ("percent", "high")
            )
            rows.append(bar(what, AT_MOST, wanted, percent, "%"))
            rows.append(bar(f"{what}, upper end", BELOW, 0, high, "%"))
    return rows


def _of(
    rows: Sequence[Row], codec: System, key: str, anchor: str = ANCHOR, **more: str
) -> float | None:
    """Give a codec's figure against an anchor, None if there is none."""
    wanted = {"codec": codec.codec, "allocation": codec.allocation, "anchor": anchor, **more}
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return float(row[key])
    return None
