"""Every encoder's packets in every decoder, counted; what `benchmarks.interop` is made of."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

import fcmrt
from fcmrt import kernels
from fcmrt.errors import BitstreamError
from fcmrt.executor import executor_for
from fcmrt.observe import StageClock
from fcmrt.verify import REFERENCE, Configuration
from fcmrt.walk import Walk

from . import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.walk import Integers

    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

REFERENCE_EVERY = 100  # one packet in this many is coded again by the slow reference kernels


class Side:
    """One way to run the engine: an encoder and a decoder.

    Args:
        engine: The codec.
        configuration: How to run it.
    """

    def __init__(self, engine: fcmrt.Engine, configuration: Configuration) -> None:
        self.name = configuration.name
        self.encoder = fcmrt.Encoder(engine, options=configuration.options)
        self.decoder = fcmrt.Decoder(engine, options=configuration.options)
        self._known: dict[bytes, dict[str, Integers] | None] = {}
        self.identity = executor_for(engine, configuration.options).identity

    def decode(self, packet: bytes) -> dict[str, Integers] | None:
        """Decode a packet as far as its integers, once; None if it is refused."""
        if packet not in self._known:
            try:
                self._known[packet] = self.decoder.integers(packet)
            except BitstreamError:
                self._known[packet] = None
        return self._known[packet]

    def forget(self) -> None:
        """Forget the packets decoded so far."""
        self._known.clear()

    def encode(self, features: Features, steps: Sequence[int]) -> list[Walk]:
        """Take one picture to its integers at several steps; analysis runs once.

        Args:
            features: float32 `[C, H, W]` by level.
            steps: Numbers of the quality steps.
        """
        first = self.encoder.walk(features, step=steps[0])
        return [first, *(self.encoder.requantise(first, step=step) for step in steps[1:])]


class Pair:
    """What was counted of one encoder's packets in one decoder."""

    def __init__(self, encoder: str, decoder: str) -> None:
        self.row: Row = {"encoder": encoder, "decoder": decoder}
        self.row |= dict.fromkeys(("packets", "symbols", "means", "mismatches", "refused"), 0)
        self.row["features"] = None

    def count(self, wanted: Mapping[str, Integers], found: Mapping[str, Integers] | None) -> None:
        """Compare what a packet decodes to (None: it was refused) with what its encoder had."""
        row = self.row
        row["packets"] += 1
        symbols = sum(len(latent.symbols) for latent in wanted.values())
        means = sum(len(latent.means) for latent in wanted.values() if latent.means is not None)
        row["symbols"] += symbols
        row["means"] += means
        if found is None:
            row["refused"] += 1
            row["mismatches"] += symbols + means
            return
        row["mismatches"] += sum(differing(wanted[name], found[name]) for name in wanted)

    def compare(self, reference: Features, features: Features) -> None:
        """Take note of how far decoded features are from the reference's, relative to its range."""
        for name, level in reference.items():
            furthest = float(np.abs(level - features[name]).max() / np.abs(level).max())
            self.row["features"] = max(self.row["features"] or 0.0, furthest)


def differing(wanted: Integers, found: Integers) -> int:
    """Count the symbols and means of a latent that differ."""
    count = int(np.count_nonzero(wanted.symbols != found.symbols))
    if wanted.means is not None and found.means is not None:
        count += int(np.count_nonzero(wanted.means != found.means))
    return count


def matrix(
    sides: Sequence[Side], pictures: Iterable[Features], steps: Sequence[int], every: int
) -> tuple[list[Row], Row]:
    """Send every side's packets through every side.

    Args:
        sides: Encoders and decoders; features are compared with the first decoder's.
        pictures: Features, float32 `[C, H, W]` by level.
        steps: Each picture is coded at all of them.
        every: One packet in this many is decoded to features by all sides.

    Returns:
        A row per pair, and what came of coding the same integers with every kernel.
    """
    pairs = {(e.name, d.name): Pair(e.name, d.name) for e in sides for d in sides}
    again = Recoding()
    for k, features in enumerate(pictures):
        for side in sides:
            side.forget()
        report.progress(f"picture {k}: {len(sides)} encoders x {len(steps)} steps")
        for encoder in sides:
            for number, walk in enumerate(encoder.encode(features, steps), k * len(steps)):
                packet = bytes(encoder.encoder.code(walk))
                again.count(encoder.encoder.engine, walk, packet)
                for decoder in sides:
                    pair = pairs[encoder.name, decoder.name]
                    pair.count(walk.integers, decoder.decode(packet))
                if number % every == 0:
                    found = [_features(decoder, packet) for decoder in sides]
                    for decoder, decoded in zip(sides, found, strict=True):
                        if found[0] is not None and decoded is not None:
                            pairs[encoder.name, decoder.name].compare(found[0], decoded)
    return [pair.row for pair in pairs.values()], again.row


def _features(side: Side, packet: bytes) -> Features | None:
    """Decode a packet; None if it is refused, which has been counted already."""
    try:
        features: Features = side.decoder.decode(packet)
    except BitstreamError:
        return None
    return features


class Recoding:
    """Checks that all implementations of the kernels code the same integers to the same bytes."""

    def __init__(self) -> None:
        self.row: Row = {"packets": dict.fromkeys(kernels.available(), 0), "different": 0}

    def count(self, engine: fcmrt.Engine, walk: Walk, packet: bytes) -> None:
        """Code a walk's integers with every implementation and compare the packets."""
        packets = self.row["packets"]
        slow = packets["reference"] * REFERENCE_EVERY > max(packets.values())
        for name in packets:
            if name == "reference" and slow:
                continue
            options = dataclasses.replace(REFERENCE, kernels=name)
            machine = executor_for(engine, options)
            other = Walk(machine, walk.padded, walk.d, StageClock(None), walk.importance)
            other.sizes, other.integers = walk.sizes, walk.integers
            packets[name] += 1
            found = bytes(fcmrt.Encoder(engine, options=options).code(other))
            self.row["different"] += found != packet


def batches(sides: Sequence[Side], pictures: Sequence[Features], sizes: Sequence[int]) -> list[Row]:
    """Code pictures alone, in batches, and in batches with other neighbours.

    Args:
        sides: What to code with, both ways.
        pictures: Features of equal sizes.
        sizes: Pictures of a batch.

    Returns:
        Rows with the packets whose bytes, and the decoded pictures whose features, are not those
        of the picture alone.
    """
    rows = []
    order = np.random.default_rng(0).permutation(len(pictures))
    for side in sides:
        report.progress(f"batches: {side.name}")
        alone = [bytes(side.encoder.encode(features)) for features in pictures]
        decoded = [side.decoder.decode(packet) for packet in alone]
        for size in sizes:
            for neighbours, chosen in ("same", range(len(pictures))), ("changed", order):
                packets = different = 0
                for first in range(0, len(pictures), size):
                    numbers = [int(n) for n in chosen[first : first + size]]
                    stacked = {
                        name: np.stack([pictures[n][name] for n in numbers]) for name in pictures[0]
                    }
                    together = [bytes(packet) for packet in side.encoder.encode(stacked)]
                    features = side.decoder.decode(together)
                    for n, packet, found in zip(numbers, together, features, strict=True):
                        same = all(np.array_equal(decoded[n][name], found[name]) for name in found)
                        different += packet != alone[n] or not same
                        packets += 1
                rows.append(
                    {
                        "configuration": side.name,
                        "batch": size,
                        "neighbours": neighbours,
                        "packets": packets,
                        "mismatches": different,
                    }
                )
    return rows
