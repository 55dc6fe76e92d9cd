"""What a region of interest gains inside, and costs outside, at equal bytes.

python -m benchmarks.roi [--task nanodet|movenet] [--engine FILE] [--gain STEPS] [--every N]
                         [--json PATH|-] [--quick]

The region of a picture is the best box that the network finds in the uncompressed picture. A packet
with the region is at most as large as the one without: its step is the finest that fits, mixed over
channels with the next one.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.errors import ConfigError
from fcmrt.groups import quality_groups
from fcmrt.importance import ROI_GAIN
from fcmrt.tasks.agreement import pooled_distance
from fcmrt.tasks.task import NANODET, TASKS

from . import evaluation_set, report
from .coder_bars import BARS, BELOW, bar
from .engine_coder import load_engine
from .evaluation import Evaluation, load_network
from .paired import Paired
from .regions import RULES, cases_of
from .statistics import METRICS, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcmrt.tasks.task import Task, TaskNetwork
    from fcmrt.walk import Walk

    from .regions import Case
    from .report import Row
    from .statistics import Float64

QUICK_PHOTOS = 4
MIX_TRIALS = 4  # halvings of the number of channels
MOST_CHANCE = 0.05  # that what is better inside is so by chance
ALL = "all"  # qualities together
COLUMNS = {
    "quality": "",
    "allocation": "",
    "bytes": ".0f",
    "agreement": ".3f",
    "distance": ".4f",
    "distance_outside": ".4f",
}
TEST_COLUMNS = {
    "metric": "",
    "quality": "",
    "change": "+.2f",
    "low": "+.2f",
    "high": "+.2f",
    "p": ".4f",
}


class Side:
    """One way to spend the bytes at one quality, over all pictures."""

    def __init__(self, task: Task, net: TaskNetwork, decoder: fcmrt.Decoder) -> None:
        self._task, self._net, self._decoder = task, net, decoder
        self.sizes: list[int] = []
        self.matches: list[Any] = []
        self.inside: list[Float64] = []
        self.outside: list[Float64] = []

    def add(self, case: Case, packet: fcmrt.Packet) -> None:
        """Decode a packet and see what the network makes of it, inside and outside."""
        (reference, box), task = case, self._task
        rule = RULES[task.name]
        decoded = self._decoder.decode(packet)
        outputs = self._net.outputs({name: level[None] for name, level in decoded.items()})
        found = task.results(self._net, outputs, reference.scale, reference.size)
        scaled = np.array(box) * task.input_size
        both = [rule.results(one, scaled / reference.scale) for one in (reference.found, found)]
        self.matches += task.match(both[:1], both[1:])
        parts = zip(
            *(rule.outputs(one, scaled) for one in (reference.outputs, outputs)), strict=True
        )
        for sums, pair in zip((self.inside, self.outside), parts, strict=True):
            sums.append(task.distance_sums(*pair))
        self.sizes.append(len(packet))

    def values(self) -> Row:
        """Give bytes, and merit inside and outside, of all pictures."""
        return {
            "bytes": float(np.mean(self.sizes)),
            "agreement": self._task.agreement(self.matches)(None),
            "distance": pooled_distance(np.concatenate(self.inside)),
            "distance_outside": pooled_distance(np.concatenate(self.outside)),
        }


def together(task: Task, quality: int, even: Side, roi: Side) -> Measured:
    """Give what both sides measured inside as one operating point, for `Paired`."""
    return Measured(
        quality,
        np.array(even.sizes + roi.sizes, np.float64),
        task.agreement(even.matches + roi.matches),
        np.concatenate(even.inside + roi.inside),
    )


def fitting(encoder: fcmrt.Encoder, walk: Walk, most: int) -> fcmrt.Packet:
    """Give the packet of a picture that is as large as possible, and at most `most` bytes.

    Args:
        encoder: Of the engine.
        walk: The picture's, with the importance that it is to have, at the finest step allowed.
        most: Bytes.

    Raises:
        ValueError: No step of the engine makes it so small.
    """
    channels = [group.channels for group in quality_groups(encoder.engine.manifest)]

    def coded(step: int, shares: int) -> fcmrt.Packet:
        mix = tuple(shares * count >> MIX_TRIALS for count in channels)
        importance = dataclasses.replace(walk.importance, mix=mix)
        return encoder.code(encoder.requantise(walk, step=step, importance=importance))

    last = encoder.engine.manifest.step_numbers[-1]
    for step in range(walk.d, last + 1):
        best = coded(step, 0)
        if len(best) <= most:
            break
    else:
        raise ValueError(f"no packet of {most} bytes")
    low, high = (
        0,
        1 << MIX_TRIALS,
    )  # too few channels with one step more than the finer step, enough
    while high - low > 1 and step > walk.d:
        middle = (low + high) // 2
        packet = coded(step - 1, middle)
        if len(packet) <= most:
            best, high = packet, middle
        else:
            low = middle
    return best


def measure(
    engine: fcmrt.Engine, task: Task, cases: Sequence[Case], gain: int, quick: bool
) -> tuple[list[Row], list[Measured]]:
    """Measure both ways at some qualities.

    Returns:
        Rows, and a point for each quality, of both ways together.
    """
    options = fcmrt.RuntimeOptions(threads=1)
    encoder = fcmrt.Encoder(engine, options=options)
    decoder, net = fcmrt.Decoder(engine, options=options), load_network(task, threads=1)
    last = len(engine.manifest.quality.levels)
    rows, points = [], []
    for quality in [(last + 1) // 2] if quick else range(2, last + 1, 2):
        report.progress(f"quality {quality}")
        even, roi = (Side(task, net, decoder) for _ in range(2))
        for case in cases:
            features = case.reference.features
            walk = encoder.walk(features, quality=quality)
            plain = encoder.code(walk)
            even.add(case, plain)
            importance = encoder.importance(features, roi=[case.box], roi_gain=gain)
            moved = encoder.requantise(walk, importance=importance)
            roi.add(case, fitting(encoder, moved, len(plain)))
        for name, side in (("even", even), ("roi", roi)):
            head = {"codec": engine.manifest.name, "quality": quality, "allocation": name}
            rows.append(head | side.values())
        points.append(together(task, quality, even, roi))
    return rows, points


def tests_of(points: Sequence[Measured], groups: Sequence[str]) -> list[Row]:
    """Test what the region gains inside, over all qualities and at each."""
    paired = Paired(points, groups)
    everything = range(len(points))
    chosen: list[tuple[Any, Sequence[int]]] = [(ALL, everything)]
    chosen += [(points[k].label, [k]) for k in everything]
    return [
        {"metric": metric, "quality": label, **paired.compare(metric, numbers)._asdict()}
        for metric in METRICS
        for label, numbers in chosen
    ]


def bars_of(tests: Sequence[Row]) -> list[Row]:
    """Check the tests over all qualities against the bar."""
    return [
        bar(f"{row['metric']} inside improves: p", BELOW, MOST_CHANCE, row["p"], "")
        for row in tests
        if row["quality"] == ALL
    ]


def notes(pictures: evaluation_set.EvaluationSet, cases: Sequence[Case], task: Task) -> list[str]:
    """Give the sentences on what was measured."""
    groups = len({case.reference.item.group for case in cases})
    return [
        f"measured on {pictures.description}, {len(cases)} of them, of {groups} photos, with a "
        "region: the best box that the network finds in the uncompressed picture, if it takes no "
        "more than half of the input",
        "a packet with the region is at most as long as that without, picture by picture",
        f"agreement ({task.agreement_rule}) is of boxes with their middle in the region, distance "
        "of cells in it, distance_outside of all others",
        "change: of the agreement inside in points of 0 to 100, of the distance inside in percent, "
        "with a 95 % interval (paired bootstrap over photos); p: one-sided permutation test, the "
        "two packets exchanged photo by photo",
        "nothing was fitted to these pictures; the decoded features decide neither the region nor "
        "its gain",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roi", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--task", choices=sorted(RULES), default=NANODET.name)
    parser.add_argument(
        "--engine", metavar="FILE", help="engine file; default: the shipped one, for nanodet"
    )
    parser.add_argument("--gain", metavar="STEPS", type=int, default=ROI_GAIN)
    evaluation_set.add_every(parser)
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    task = TASKS[arguments.task]
    engine = load_engine(arguments.engine, task)
    pictures = evaluation_set.photos_for(arguments, QUICK_PHOTOS)
    cases = cases_of(task, Evaluation(pictures, task).references)
    if not cases:
        raise ConfigError(f"{task.name} finds nothing in these pictures; take more of them")
    rows, points = measure(engine, task, cases, arguments.gain, arguments.quick)
    tests = tests_of(points, [case.reference.item.group for case in cases])
    bars = bars_of(tests)
    more = {
        "task": task.name,
        "gain": arguments.gain,
        "pictures": len(cases),
        "tests": tests,
        "bars": bars,
    }
    command = report.command_line("benchmarks.roi")
    result = report.Report(command, rows, more, notes(pictures, cases, task), engines=[engine])
    tables = ((rows, COLUMNS), (tests, TEST_COLUMNS), (bars, BARS))
    text = "\n\n".join(report.table(*one) for one in tables)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
