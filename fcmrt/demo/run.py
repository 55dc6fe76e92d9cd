"""Runs photos through the split detector, with uncompressed and with decoded features."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..decoder import Decoder
from ..encoder import Encoder
from ..observe import StageTimes
from ..tasks.agreement import agreement_ap50
from ..tasks.nanodet import NanoDet, iou_matrix, letterbox
from .photos import Photo

if TYPE_CHECKING:
    from ..engine import Engine
    from ..packet import Packet
    from ..tasks.nanodet import Detections, Float32

SHOWN = 0.4
"""Detections of the uncompressed features with at least this score are shown and counted."""

MATCH_IOU = 0.5
"""Least overlap at which two boxes of a class count as the same, as in AP50."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Times:
    """Where one direction's time goes: medians over the runs, in milliseconds."""

    total: float
    """The whole call."""
    networks: float
    """The graphs: analysis, hyper-synthesis, synthesis."""
    coder: float
    """The entropy coder."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A detection before the codec, its counterpart after it, or one of the two alone."""

    label: int
    """Index into CLASS_NAMES."""
    before: int | None
    """Index into `Result.before`; None: it has no counterpart."""
    after: int | None
    """Index into `Result.after`; None: it has no counterpart."""
    iou: float
    """Overlap of the two; 0 where one is missing."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the codec did to one photo."""

    photo: Photo
    quality: float
    packet: Packet
    raw_bytes: int
    """Size of the features as float32."""
    before: Detections
    """On uncompressed features; scores of at least 0.05."""
    after: Detections
    """On decoded features; scores of at least 0.05."""
    pairs: list[Pair]
    """Those of `before` and `after` with a score of at least `SHOWN`, and their counterparts."""
    agreement: float
    """AP50 of `after` with `before` standing in for the labels; NaN without a box in `before`."""
    encode: Times
    decode: Times


@dataclass(frozen=True, slots=True)
class Point:
    """One quality level, over several photos."""

    quality: float
    packet_bytes: float
    """Mean per photo."""
    agreement: float
    """AP50 over all photos, as in `Result`."""


class Demo:
    """The split detector with a codec between its halves.

    Args:
        engine: A codec for the detector's features.
        quality: Quality level; None takes the engine's default.
        models_dir: Folder of the detector's halves; None takes those shipped with the package.
        runs: How often each photo is coded to measure the times, after one run to warm up.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        quality: float | None = None,
        models_dir: str | Path | None = None,
        runs: int = 7,
    ) -> None:
        self.engine = engine
        self.quality = engine.manifest.quality.default if quality is None else quality
        self.runs = runs
        self._detector = NanoDet(models_dir)
        self._times = StageTimes(), StageTimes()
        self._encoder = Encoder(engine, quality=self.quality, recorder=self._times[0])
        self._decoder = Decoder(engine, recorder=self._times[1])

    def run(self, photo: Photo) -> Result:
        """Codes one photo's features, and measures times and results."""
        x, scale = letterbox(photo.pixels)
        features = self._detector.features(x)
        before = self._detect(features, scale, photo)
        levels = {name: level[0] for name, level in features.items()}
        packet, encode = self._measure(lambda: self._encoder.encode(levels), self._times[0])
        decoded, decode = self._measure(lambda: self._decoder.decode(packet), self._times[1])
        after = self._detect({name: level[None] for name, level in decoded.items()}, scale, photo)
        return Result(
            photo=photo,
            quality=self.quality,
            packet=packet,
            raw_bytes=sum(level.nbytes for level in levels.values()),
            before=before,
            after=after,
            pairs=match(before, after),
            agreement=agreement_ap50([before], [after]),
            encode=encode,
            decode=decode,
        )

    def curve(self, photos: Sequence[Photo]) -> list[Point]:
        """Codes the photos at every quality level of the engine, and at the demo's own.

        Returns:
            One point per level, fewest bytes first.
        """
        inputs = [letterbox(photo.pixels) for photo in photos]
        features = [self._detector.features(x) for x, _ in inputs]
        scales = [scale for _, scale in inputs]
        before = [self._detect(*item) for item in zip(features, scales, photos, strict=True)]
        points = []
        levels = range(1, len(self.engine.manifest.quality.levels) + 1)
        for quality in sorted({*levels, self.quality}):
            packets = [
                self._encoder.encode({n: level[0] for n, level in maps.items()}, quality=quality)
                for maps in features
            ]
            after = [
                self._detect({n: level[None] for n, level in decoded.items()}, scale, photo)
                for decoded, scale, photo in zip(
                    map(self._decoder.decode, packets), scales, photos, strict=True
                )
            ]
            size = statistics.fmean(len(packet) for packet in packets)
            points.append(Point(quality, size, agreement_ap50(before, after)))
        return points

    def _detect(self, features: Mapping[str, Float32], scale: float, photo: Photo) -> Detections:
        return self._detector.detections(self._detector.outputs(features), scale, photo.size)

    def _measure(self, call: Callable[[], T], times: StageTimes) -> tuple[T, Times]:
        """Calls once to warm up, then `runs` times; returns the last result and the medians."""
        result = call()
        times.ns.clear()
        for _ in range(self.runs):
            result = call()
        medians = {stage: statistics.median(ns) / 1e6 for stage, ns in times.ns.items()}
        networks = sum(ms for stage, ms in medians.items() if stage in self.engine.manifest.graphs)
        return result, Times(medians["total"], networks, medians["code"])


def match(before: Detections, after: Detections) -> list[Pair]:
    """Pairs detections of one class that overlap, best score first.

    Detections with a score of at least `SHOWN` are listed, on either side; their counterparts may
    have any score.
    """
    overlaps = iou_matrix(before.boxes, after.boxes)
    overlaps *= before.classes[:, None] == after.classes[None]
    free = np.ones(len(after.scores), bool)
    pairs = []
    for i in map(int, np.flatnonzero(before.scores >= SHOWN)):
        found = _best(np.where(free, overlaps[i], 0))
        if found is not None:
            free[found] = False
        iou = 0.0 if found is None else float(overlaps[i, found])
        pairs.append(Pair(int(before.classes[i]), i, found, iou))
    for j in map(int, np.flatnonzero(free & (after.scores >= SHOWN))):
        found = _best(np.where(before.scores < SHOWN, overlaps[:, j], 0))
        iou = 0.0 if found is None else float(overlaps[found, j])
        pairs.append(Pair(int(after.classes[j]), found, j, iou))
    return pairs


def _best(overlaps: Float32) -> int | None:
    """Returns the index of the largest overlap; None if that is too small for a match."""
    best = int(overlaps.argmax()) if len(overlaps) else -1
    return best if best >= 0 and overlaps[best] >= MATCH_IOU else None
