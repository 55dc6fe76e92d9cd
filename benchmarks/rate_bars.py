"""What feature codecs are meant to reach, and whether a run reached it.

L-MSFC on detection, against features in x265; ELIC and LIC-TCM, where the importance of their
levels is predicted, against themselves. Other codecs and tasks have no bars.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fcmrt.tasks.task import MOVENET, NANODET

from .allocations import IMPORTANCE, MSE
from .coder_bars import AT_LEAST, AT_MOST, BELOW, bar
from .statistics import METRICS
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcmrt.tasks.task import Task

    from .report import Row
    from .systems import System

ANCHOR = "features+x265-medium"
LMSFC = ("lmsfc-v1", "lmsfc-v2")
MOST_PERCENT = -52  # published for L-MSFC against earlier codecs of multi-scale features
LEAST_RATIO = 5  # of encoding times, published for L-MSFC
SAVED_PERCENT = {
    ("elic", NANODET.name): -20,
    ("lic-tcm", NANODET.name): -15,
    ("elic", MOVENET.name): -15,
    ("lic-tcm", MOVENET.name): -15,
}
"""By importance, against the same codec without; by the engine's family and the task."""


def rate_bars(
    task: Task, codecs: Sequence[System], bd_rates: Sequence[Row], time_ratios: Sequence[Row]
) -> list[Row]:
    """Check a run's figures against the bars.

    Args:
        task: The task measured.
        codecs: The codecs measured.
        bd_rates: The run's, for every codec, allocation, anchor and metric.
        time_ratios: The run's; empty if nothing was timed.
    """
    rows = []
    for codec in codecs:
        if codec.family in LMSFC and task is NANODET:
            rows += _x265_bars(codec, bd_rates, time_ratios)
        wanted = SAVED_PERCENT.get((codec.family, task.name))
        if codec.allocation == IMPORTANCE and wanted is not None:
            rows += _importance_bars(codec, wanted, bd_rates)
    return rows


def _x265_bars(codec: System, bd_rates: Sequence[Row], time_ratios: Sequence[Row]) -> list[Row]:
    """Hold a codec against features in x265."""
    rows = []
    for metric in METRICS:
        percent = _of(bd_rates, codec, "percent", metric=metric)
        what = f"{codec.name}: BD-rate against {ANCHOR}, equal {metric}"
        rows.append(bar(what, AT_MOST, MOST_PERCENT, percent, "%"))
    what = f"{codec.name}: encoding time of {ANCHOR} over its own"
    ratio = _of(time_ratios, codec, "ratio")
    rows.append(bar(what, AT_LEAST, LEAST_RATIO, ratio, "times"))
    return rows


def _importance_bars(codec: System, wanted: float, bd_rates: Sequence[Row]) -> list[Row]:
    """Hold a codec with predicted importance against the same with other allocations."""
    rows = []
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
