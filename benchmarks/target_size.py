"""How near packets come to a size that is asked for.

python -m benchmarks.target_size [--task nanodet|movenet|selfie] [--engine FILE] [--every N]
                                 [--json PATH|-] [--quick]

Sizes are spread evenly, by their logarithms, over what each picture can have, both ends among them:
from its packet at the lowest quality to that at the engine's finest step.
"""

from __future__ import annotations

import argparse
import collections
import sys
import unittest.mock
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import fcmrt
from fcmrt.executor import Executor
from fcmrt.schedule import Run
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

    from fcmrt.kernels.api import Kernels
    from fcmrt.manifest import Manifest

    from .report import Row

    Array = NDArray[Any]
    Features = Mapping[str, NDArray[np.float32]]

QUICK_PHOTOS = 2
SIZES, QUICK_SIZES = 10, 4  # for each picture
NEAR, NEAR_SHARE = 0.03, 0.95
FURTHEST = 0.08
ONCE = 1  # run of the analysis network for a packet
COLUMNS = {
    "codec": "",
    "allocation": "",
    "packets": "",
    "near": ".1%",
    "median_miss": ".2%",
    "largest_miss": ".2%",
    "smallest_bytes": "",
    "largest_bytes": "",
    "tries": ".0f",
    "most_tries": "",
    "analysis_runs": "",
}


class CountingKernels:
    """Kernels that count the packets they have coded.

    Args:
        kernels: What does the work.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self.packets = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def pack(self, *arguments: Any, **more: Any) -> Any:
        """Count, and code."""
        self.packets += 1
        return self._kernels.pack(*arguments, **more)


class CountingExecutor(Executor):
    """An executor that counts what encoding takes; arguments as of an `Executor`."""

    def __init__(self, engine: fcmrt.Engine, options: fcmrt.RuntimeOptions) -> None:
        super().__init__(engine, options)
        self._counting = CountingKernels(self.kernels)
        self.kernels = cast("Kernels", self._counting)
        self._analysis = analysis_graphs(self.manifest)
        self._ran: collections.Counter[str] = collections.Counter()

    def run(self, name: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Count, and run a graph."""
        self._ran[name] += 1
        return super().run(name, inputs, outputs)

    def counted(self) -> tuple[int, int]:
        """Give packets coded and runs of analysis since the last call; of several graphs the most.

        Of an engine with a graph for each level, all of them are one analysis.
        """
        found = self._counting.packets, max(self._ran[graph] for graph in self._analysis)
        self._counting.packets = 0
        self._ran.clear()
        return found


def analysis_graphs(manifest: Manifest) -> set[str]:
    """Give the names of the encoder's graphs that see features."""
    levels = {feature.name for feature in manifest.features}
    return {s.graph for s in manifest.encode if isinstance(s, Run) and levels & {*s.inputs}}


def counting_encoder(engine: fcmrt.Engine) -> tuple[fcmrt.Encoder, CountingExecutor]:
    """Give an encoder, and what counts its work."""
    options = fcmrt.RuntimeOptions(threads=1)
    executor = CountingExecutor(engine, options)
    with unittest.mock.patch("fcmrt.encoder.executor_for", return_value=executor):
        return fcmrt.Encoder(engine, options=options), executor


def wanted_sizes(encoder: fcmrt.Encoder, features: Features, count: int) -> list[int]:
    """Give sizes in bytes that a picture's packet can have, from end to end of the range."""
    manifest = encoder.engine.manifest
    ends = manifest.quality.levels[0], manifest.step_numbers[0]
    least, most = (len(encoder.encode(features, step=step)) for step in ends)
    return [round(size) for size in np.geomspace(least, most, count)]


def measure(engine: fcmrt.Engine, pictures: Sequence[Features], count: int) -> list[Row]:
    """Ask for sizes of every picture: a row for each way to share the bytes out.

    Args:
        engine: One whose quality follows steps.
        pictures: Features of each.
        count: Sizes for each picture, 2 or more.
    """
    encoder, executor = counting_encoder(engine)
    sizes = [wanted_sizes(encoder, one, count) for one in pictures]
    rows = []
    for name in (PLAIN, IMPORTANCE):
        if name == IMPORTANCE and engine.manifest.importance is None:
            continue
        misses, tries, analyses = [], [], []
        for features, wishes in zip(pictures, sizes, strict=True):
            for wanted in wishes:
                importance = name == IMPORTANCE or None
                executor.counted()
                packet = encoder.encode(features, target_bytes=wanted, importance=importance)
                coded, analysed = executor.counted()
                tries.append(coded - 1)  # once more for the packet itself
                analyses.append(analysed)
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
                "tries": float(np.median(tries)),
                "most_tries": max(tries),
                "analysis_runs": max(analyses),
            }
        )
    return rows


def bars_of(rows: Sequence[Row]) -> list[Row]:
    """Check the rows against the bars."""
    bars = []
    for row in rows:
        name = f"{row['codec']} ({row['allocation']})"
        share = f"{name}: packets within {NEAR:.0%} of the size asked for"
        bars.append(bar(share, AT_LEAST, NEAR_SHARE, row["near"], "of all"))
        furthest = f"{name}: the furthest from it"
        bars.append(bar(furthest, AT_MOST, FURTHEST, row["largest_miss"], "of it"))
        analysis = f"{name}: runs of the analysis network for a packet"
        bars.append(bar(analysis, AT_MOST, ONCE, row["analysis_runs"] or None, "at most"))
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
        "sizes are spread evenly, by their logarithms, from a picture's packet at the lowest "
        "quality to that at the engine's finest step, both among them",
        "tries: how often the integers were coded to learn a size, the median and the most; "
        "analysis_runs: the most for any packet",
    ]
    command = report.command_line("benchmarks.target_size")
    result = report.Report(command, rows, {"bars": bars}, notes, engines=[engine])
    text = "\n\n".join(report.table(*one) for one in ((rows, COLUMNS), (bars, BARS)))
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
