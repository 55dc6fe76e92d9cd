"""How near packets come to a size that is asked for.

python -m benchmarks.target_size [--task nanodet|movenet|selfie] [--engine FILE] [--every N]
                                 [--json PATH|-] [--quick]

Sizes are spread evenly, by their logarithms, over what each picture can have: from its packet at
the lowest quality to that at the engine's finest step.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np

import fcmrt
from fcmrt.tasks.task import NANODET, TASKS

from . import evaluation_set, report
from .allocations import IMPORTANCE
from .coder_bars import AT_LEAST, AT_MOST, BARS, bar
from .engine_coder import load_engine
from .evaluation import Evaluation
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

QUICK_PHOTOS = 2
SIZES, QUICK_SIZES = 8, 3  # for each picture
NEAR, NEAR_SHARE = 0.03, 0.95
FURTHEST = 0.08
COLUMNS = {
    "codec": "",
    "allocation": "",
    "packets": "",
    "near": ".1%",
    "median_miss": ".2%",
    "largest_miss": ".2%",
    "smallest_bytes": "",
    "largest_bytes": "",
}


def wanted_sizes(encoder: fcmrt.Encoder, features: Features, count: int) -> list[int]:
    """Give sizes that a picture's packet can have, bytes, the ends of the range left out."""
    manifest = encoder.engine.manifest
    ends = manifest.quality.levels[0], manifest.step_numbers[0]
    least, most = (len(encoder.encode(features, step=step)) for step in ends)
    return [round(size) for size in np.geomspace(least, most, count + 2)[1:-1]]


def measure(engine: fcmrt.Engine, pictures: Sequence[Features], count: int) -> list[Row]:
    """Ask for sizes of every picture: a row for each way to share the bytes out.

    Args:
        engine: One whose quality follows steps.
        pictures: Features of each.
        count: Sizes for each picture.
    """
    encoder = fcmrt.Encoder(engine, options=fcmrt.RuntimeOptions(threads=1))
    sizes = [wanted_sizes(encoder, one, count) for one in pictures]
    rows = []
    for name in (PLAIN, IMPORTANCE):
        if name == IMPORTANCE and engine.manifest.importance is None:
            continue
        misses = []
        for features, wishes in zip(pictures, sizes, strict=True):
            for wanted in wishes:
                told = name == IMPORTANCE or None
                packet = encoder.encode(features, target_bytes=wanted, importance=told)
                misses.append(abs(len(packet) / wanted - 1))
        rows.append(
            {
                "codec": engine.manifest.name,
                "allocation": name,
                "packets": len(misses),
                "near": float(np.mean(np.array(misses) <= NEAR)),
                "median_miss": float(np.median(misses)),
                "largest_miss": max(misses),
                "smallest_bytes": min(map(min, sizes)),
                "largest_bytes": max(map(max, sizes)),
            }
        )
    return rows


def bars_of(rows: Sequence[Row]) -> list[Row]:
    """Hold the rows against the bars."""
    bars = []
    for row in rows:
        name = f"{row['codec']} ({row['allocation']})"
        share = f"{name}: packets within {NEAR:.0%} of the size asked for"
        bars.append(bar(share, AT_LEAST, NEAR_SHARE, row["near"], "of all"))
        furthest = f"{name}: the furthest from it"
        bars.append(bar(furthest, AT_MOST, FURTHEST, row["largest_miss"], "of it"))
    return bars


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.target_size", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--task", choices=sorted(TASKS), default=NANODET.name)
    parser.add_argument(
        "--engine", metavar="FILE", help="engine file; default: the shipped one, for nanodet"
    )
    evaluation_set.add_every(parser)
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    task = TASKS[arguments.task]
    engine = load_engine(arguments.engine, task)
    photos = evaluation_set.photos_for(arguments, QUICK_PHOTOS)
    pictures = [one.features for one in Evaluation(photos, task).references]
    rows = measure(engine, pictures, QUICK_SIZES if arguments.quick else SIZES)
    bars = bars_of(rows)
    notes = [
        f"measured on {photos.description}",
        "sizes are spread evenly, by their logarithms, between a picture's packet at the lowest "
        "quality and that at the engine's finest step",
    ]
    command = report.command_line("benchmarks.target_size")
    result = report.Report(command, rows, {"bars": bars}, notes)
    text = "\n\n".join(report.table(*one) for one in ((rows, COLUMNS), (bars, BARS)))
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
