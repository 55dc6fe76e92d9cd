"""What a region of interest gains inside, and costs outside, at equal bytes.

python -m benchmarks.roi [--engine FILE] [--gain STEPS] [--json PATH|-] [--quick]

The region of a picture is the detector's best box. A packet with the region is at most as large as
the one without: its step is the finest that fits, mixed over channels with the next one.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fcmrt
from fcmrt.groups import quality_groups
from fcmrt.importance import ROI_GAIN
from fcmrt.tasks.agreement import (
    REFERENCE_THRESHOLD,
    average_precision,
    distance_sums,
    match,
    pooled_distance,
)
from fcmrt.tasks.nanodet import INPUT_SIZE, Detections, Outputs, cell_centres
from fcmrt.tasks.task import NANODET

from . import evaluation_set, report
from .evaluation import Evaluation, load_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fcmrt.tasks.task import TaskNetwork
    from fcmrt.walk import Walk

    from .evaluation import Reference
    from .report import Row

    Box = tuple[float, float, float, float]

QUICK_PHOTOS = 2
LARGEST_REGION = 0.5  # of the input's area; with more there is little to take bytes from
MIX_TRIALS = 4  # halvings of the number of channels
COLUMNS = {
    "quality": "",
    "allocation": "",
    "bytes": ".0f",
    "agreement": ".3f",
    "distance": ".4f",
    "distance_outside": ".4f",
}


class Case(NamedTuple):
    """A picture and what is of interest in it."""

    reference: Reference
    box: Box
    # left, top, right, bottom in fractions of the network's input


def cases_of(references: Sequence[Reference]) -> list[Case]:
    """Give the pictures that have a reference box, with the best one, if it is not too large."""
    found = []
    for reference in references:
        if (reference.found.scores > REFERENCE_THRESHOLD).any():
            box = np.clip(reference.found.boxes[0] * reference.scale / INPUT_SIZE, 0, 1)
            left, top, right, bottom = map(float, box)
            if (right - left) * (bottom - top) <= LARGEST_REGION:
                found.append(Case(reference, (left, top, right, bottom)))
    return found


class Side:
    """One way to spend the bytes, over all pictures."""

    def __init__(self, net: TaskNetwork, decoder: fcmrt.Decoder) -> None:
        self._net = net
        self._decoder = decoder
        self._sizes: list[int] = []
        self._found: list[tuple[Detections, Detections]] = []
        self._sums: list[list[NDArray[np.float64]]] = [[], []]

    def add(self, case: Case, packet: fcmrt.Packet) -> None:
        """Decode a packet and see what the detector makes of it, inside and outside."""
        reference, box = case
        decoded = self._decoder.decode(packet)
        outputs = self._net.outputs({name: level[None] for name, level in decoded.items()})
        found = NANODET.results(self._net, outputs, reference.scale, reference.size)
        scaled = np.array(box) * INPUT_SIZE
        self._sizes.append(len(packet))
        inside = scaled / reference.scale
        self._found.append((_within(reference.found, inside), _within(found, inside)))
        cells = _holds(scaled, cell_centres()[0])
        for part, taken in zip(self._sums, (cells, ~cells), strict=True):
            pair = (_of_cells(one, taken) for one in (reference.outputs, outputs))
            part.append(distance_sums(*pair))

    def values(self) -> Row:
        """Give bytes, and merit inside and outside, of all pictures."""
        wanted, found = zip(*self._found, strict=True)
        inside, outside = (pooled_distance(np.concatenate(part)) for part in self._sums)
        return {
            "bytes": float(np.mean(self._sizes)),
            "agreement": average_precision(match(wanted, found)),
            "distance": inside,
            "distance_outside": outside,
        }


def _holds(box: NDArray[np.float64], points: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    return np.all((points >= box[:2]) & (points <= box[2:]), axis=1)


def _within(found: Detections, box: NDArray[np.float64]) -> Detections:
    """Those with their middle in a box."""
    taken = _holds(box, (found.boxes[:, :2] + found.boxes[:, 2:]) / 2)
    return Detections(found.boxes[taken], found.scores[taken], found.classes[taken])


def _of_cells(outputs: Outputs, taken: NDArray[np.bool_]) -> Outputs:
    return Outputs(outputs.scores[:, taken], outputs.boxes[:, taken])


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


def rows_of(engine: fcmrt.Engine, cases: Sequence[Case], gain: int, quick: bool) -> list[Row]:
    """Measure both ways at some qualities."""
    options = fcmrt.RuntimeOptions(threads=1)
    encoder = fcmrt.Encoder(engine, options=options)
    decoder, net = fcmrt.Decoder(engine, options=options), load_network(NANODET, threads=1)
    last = len(engine.manifest.quality.levels)
    rows = []
    for quality in [(last + 1) // 2] if quick else range(2, last + 1, 2):
        report.progress(f"quality {quality}")
        sides = {"even": Side(net, decoder), "roi": Side(net, decoder)}
        for case in cases:
            features = case.reference.features
            walk = encoder.walk(features, quality=quality)
            plain = encoder.code(walk)
            sides["even"].add(case, plain)
            importance = encoder.importance(features, roi=[case.box], roi_gain=gain)
            moved = encoder.requantise(walk, importance=importance)
            sides["roi"].add(case, fitting(encoder, moved, len(plain)))
        for name, side in sides.items():
            head = {"codec": engine.manifest.name, "quality": quality, "allocation": name}
            rows.append(head | side.values())
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roi", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--engine", metavar="FILE", help="engine file; default: the shipped one")
    parser.add_argument("--gain", metavar="STEPS", type=int, default=ROI_GAIN)
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    engine = fcmrt.Engine.load(arguments.engine) if arguments.engine else fcmrt.Engine.builtin()
    limit = QUICK_PHOTOS if arguments.quick else None
    pictures = evaluation_set.photos(crops=not arguments.quick, limit=limit)
    cases = cases_of(Evaluation(pictures).references)
    rows = rows_of(engine, cases, arguments.gain, arguments.quick)
    result = report.Report(
        report.command_line("benchmarks.roi"),
        rows,
        {"gain": arguments.gain, "pictures": len(cases)},
        [
            f"measured on {pictures.description}, {len(cases)} with a reference box; the best of "
            "each is its region, if it takes no more than half of the input",
            "agreement (AP at IoU 0.5) is of boxes with their middle in the region, distance of "
            "cells in it, distance_outside of all others; both against uncompressed features",
        ],
    )
    report.emit(result, report.table(rows, COLUMNS), arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
