"""The coder under test: one implementation on a source, its packets, and one small packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fcmrt import kernels
from fcmrt.bitstream import DIGEST_BYTES, Geometry, PacketHead, write_packet
from fcmrt.kernels.api import CodedPayload, CodeStep, Kernels

from . import report
from .coder_timing import Timed, alternate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .coder_sources import Source
    from .report import Row

OVERHEAD_PERMILLE = 5
MEGABYTE = 1_000_000
ONE_PAIR, EIGHT_THREADS = 2, 16  # segments: two in flight on one thread, and two for each of eight
PACKET_BYTES = (200, 500, 1000, 2000, 5000, 20_000, 100_000)
PACKETS, QUICK_PACKETS = 200, 40  # of one size and source, where the source has that many
SMALL_SYMBOLS = 3000
# The fields of a picture's packet: a quality step of one byte and, unless the stream header has
# them, the finest level's height and width.
STEP, GEOMETRY = 10, Geometry(((52, 52),))


def implementations() -> list[str]:
    """Name the native implementations that this processor can run, the fastest first."""
    return [name for name in kernels.available() if name != "reference"]


@dataclass(frozen=True, slots=True)
class Ours:
    """An implementation with a source's steps prepared."""

    coder: Kernels
    steps: tuple[CodeStep, ...]
    lanes: int
    segments: int
    symbols: tuple[NDArray[np.int32], ...]
    """The caller's memory that `decode_into` writes to, a step each."""
    payload: bytearray
    """The same for `encode_into`."""

    @classmethod
    def of(cls, coder: Kernels, source: Source, segments: int | None = None) -> Ours:
        """Prepare the tables and have lanes and segments chosen.

        Args:
            coder: The implementation.
            source: What to code.
            segments: Number of segments, with 32 lanes; None: the coder chooses both.
        """
        steps = tuple(
            CodeStep(step.symbols, step.indexes, coder.prepare(step.tables), step.skip)
            for step in source.steps
        )
        layout = coder.plan(steps, OVERHEAD_PERMILLE, 1) if segments is None else (32, segments)
        symbols = tuple(np.zeros(len(step.symbols), np.int32) for step in steps)
        coded = coder.encode(steps, *layout, 0)
        payload = bytearray(len(coded.segments) + len(coded.escapes))
        return cls(coder, steps, *layout, symbols, payload)

    def plan(self) -> tuple[int, int]:
        """Choose lanes and segments, which an encoder does before every packet."""
        return self.coder.plan(self.steps, OVERHEAD_PERMILLE, 1)

    def encode(self) -> CodedPayload:
        """Encode the source."""
        return self.coder.encode(self.steps, self.lanes, self.segments, 0)

    def encode_into(self) -> CodedPayload:
        """Encode the source into memory that is there already."""
        return self.coder.encode(self.steps, self.lanes, self.segments, 0, out=self.payload)

    def decode_into(self, coded: CodedPayload) -> None:
        """Decode what `encode` gave, to its end, into memory that is there already."""
        decoder = self.coder.decoder(coded.segments, coded.words, coded.escapes, self.lanes)
        for step, out in zip(self.steps, self.symbols, strict=True):
            decoder.step(step.indexes, step.tables, step.skip, out=out)
        decoder.finish()

    def checked(self) -> CodedPayload:
        """Encode, and see that the same symbols come back."""
        coded = self.encode()
        self.decode_into(coded)
        for found, step in zip(self.symbols, self.steps, strict=True):
            if not np.array_equal(found, step.symbols):
                raise AssertionError(f"{self.coder.name} did not decode what was encoded")
        return coded

    def packet(self, geometry: Geometry | None) -> bytes:
        """Encode to a whole packet, as it is sent.

        Args:
            geometry: Sizes that the packet carries; None: the stream header has them.
        """
        coded = self.encode()
        head = PacketHead(self.lanes, STEP, geometry, coded.words, len(coded.escapes))
        return write_packet(head, coded.segments, coded.escapes, bytes(DIGEST_BYTES))


def size_row(
    coder: Kernels, source: Source, size: int, most: int, segments: int | None = None
) -> Row:
    """Give the mean bytes over ideal of packets of about `size` bytes.

    Args:
        coder: The implementation; all write the same bytes.
        source: Of one step; packets are its slices, one after the other.
        size: Ideal bytes of a packet, on average.
        most: Number of packets, fewer where the source ends before.
        segments: As for `Ours.of`.
    """
    count = round(size * source.coded / source.ideal_bytes)
    packets = max(1, min(most, source.coded // count))
    totals = np.zeros(3)
    for k in range(packets):
        part = source.slice(k * count, count)
        ours = Ours.of(coder, part, segments)
        totals += len(ours.packet(None)), len(ours.packet(GEOMETRY)), part.ideal_bytes
    mean, alone, ideal = (float(total) for total in totals / packets)
    return {
        "source": source.name,
        "packet_bytes": size,
        "packets": packets,
        "symbols": count,
        "lanes": ours.lanes,
        "segments": ours.segments,
        "chosen": segments is None,
        "bytes": mean,
        "bytes_with_sizes": alone,
        "ideal_bytes": ideal,
        "over_percent": 100 * (mean / ideal - 1),
        "over_percent_with_sizes": 100 * (alone / ideal - 1),
    }


def size_rows(coder: Kernels, sources: Sequence[Source], quick: bool) -> list[Row]:
    """Give bytes over ideal against the size of packets, headers and checksums included."""
    most = QUICK_PACKETS if quick else PACKETS
    rows = []
    for source in sources:
        rows += [size_row(coder, source, size, most) for size in PACKET_BYTES]
        if not quick:
            whole = (None, ONE_PAIR, EIGHT_THREADS)
            rows += [size_row(coder, source, MEGABYTE, 1, segments) for segments in whole]
    return rows


def small_packet_row(coder: Kernels, source: Source, repeats: int) -> Row:
    """Time one small packet from Python, in microseconds by the clock on the wall.

    Encoding is choosing lanes and coding; decoding is making a decoder, its step and its end.
    """
    ours = Ours.of(coder, source.slice(0, SMALL_SYMBOLS))
    coded = ours.checked()

    def encode(_: Any) -> object:
        return ours.coder.pack(ours.steps, OVERHEAD_PERMILLE, 1, 0)

    calls = {"encode": Timed(encode), "decode": Timed(lambda _: ours.decode_into(coded))}
    row: Row = {
        "implementation": coder.name,
        "source": source.name,
        "symbols": SMALL_SYMBOLS,
        "lanes": ours.lanes,
    }
    for direction, samples in alternate(calls, repeats).items():
        figures = report.median_and_spread(samples.wall * 1e6)
        row |= {f"{direction}_us": figures["median"], f"{direction}_spread": figures["spread"]}
    return row
