"""Codes a batch of packets in a device's memory, and compares with the CPU's coder."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcmrt.bitstream import PacketHead, write_packet
from fcmrt.bitstream.varint import write_varint, zigzag
from fcmrt.kernels.api import CodeStep
from fcmrt.kernels.cuda.batch_decoder import BatchDecoder, Payload
from fcmrt.kernels.cuda.batch_encoder import BatchEncoder, BatchStep, Layout, most_segments
from fcmrt.kernels.cuda.elements import Elements
from fcmrt.kernels.cuda.packet_writer import PacketWriter
from fcmrt.kernels.cuda.prepared import CudaTables

from .coder_ours import STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fcmrt.kernels.api import Kernels
    from fcmrt.kernels.cuda.device import Device, DeviceArray

    from .coder_sources import Source

DIGEST = bytes(range(32))
FRONT = bytes([0]) + write_varint(zigzag(STEP))
_GOLDEN_RATIO = 0x9E3779B9
_POISON = 0x5A  # fills what no symbol, size, status or check is equal to


class Coded(NamedTuple):
    """One packet, as the CPU codes it."""

    payload: Payload
    check: int
    packet: bytes


def code_on_cpu(coder: Kernels, part: Source, layout: Layout, number: int) -> Coded:
    """Code one packet.

    Args:
        coder: An implementation for the CPU.
        part: The packet's symbols.
        layout: How lanes and segments are chosen.
        number: The packet's; gives it a check of its own.
    """
    steps = [
        CodeStep(step.symbols, step.indexes, coder.prepare(step.tables), step.skip)
        for step in part.steps
    ]
    lanes, segments = layout.lanes, layout.segments
    if not lanes:
        lanes, segments = coder.plan(steps, layout.overhead_permille, layout.min_lanes)
    check = _GOLDEN_RATIO * (number + 1) & 0xFFFFFFFF
    coded = coder.encode(steps, lanes, segments, check)
    head = PacketHead(lanes, STEP, None, coded.words, len(coded.escapes))
    packet = bytes(write_packet(head, coded.segments, coded.escapes, DIGEST))
    payload = Payload(bytes(coded.segments), coded.words, bytes(coded.escapes), lanes)
    return Coded(payload, check, packet)


@dataclass(frozen=True, slots=True)
class _Step:
    """One code step of the batch."""

    rows: NDArray[np.int32]
    """The symbols of distinct packets, `[distinct, capacity]`."""
    elements: Elements
    tables: CudaTables
    symbols: DeviceArray
    decoded: DeviceArray


class PacketBatch:
    """Packets to encode and decode on a device, in buffers that are kept.

    Args:
        device: Where to.
        coder: An implementation for the CPU; its bytes and integers are those that are wanted.
        parts: The symbols of each packet, over the same table sets; fewer than `packets` come up
            again from the first on.
        packets: Number of packets.
        layout: How lanes and segments are chosen.
    """

    def __init__(
        self, device: Device, coder: Kernels, parts: Sequence[Source], packets: int, layout: Layout
    ) -> None:
        parts = parts[:packets]
        self.packets, self._layout, self._device = packets, layout, device
        self.coded = [code_on_cpu(coder, part, layout, k) for k, part in enumerate(parts)]
        self._turns = np.arange(packets) % len(parts)
        self._steps = [self._step(parts, k) for k in range(len(parts[0].steps))]
        capacities = [step.rows.shape[1] for step in self._steps]
        most = layout.segments or most_segments(capacities, layout.overhead_permille)
        self._encoder = BatchEncoder(device, packets, most, capacities)
        self._writer = PacketWriter(device, self._encoder, DIGEST, len(FRONT))
        self._writer.load([FRONT] * packets)
        checks = np.array([coded.check for coded in self.coded], np.uint32)[self._turns]
        self._checks = device.upload(checks)
        payloads = [coded.payload for coded in self.coded]
        self._payloads = [payloads[turn] for turn in self._turns]
        self._decoder = BatchDecoder(
            device,
            packets,
            max(len(payload.words) for payload in payloads),
            sum(len(p.segments) + len(p.segments) % 2 for p in self._payloads),
            sum(len(p.escapes) for p in self._payloads),
        )
        counts = np.array([part.coded for part in parts])[self._turns]
        self.symbols = int(counts.sum())
        self._parts = parts
        sizes = np.array([sum(len(step.symbols) for step in part.steps) for part in parts])
        self.elements = int(sizes[self._turns].sum())  # those that are skipped included

    def _step(self, parts: Sequence[Source], k: int) -> _Step:
        steps = [part.steps[k] for part in parts]
        tables, skip = steps[0].tables, steps[0].skip
        counts = np.array([len(step.symbols) for step in steps], np.uint32)
        shape = (len(steps), int(counts.max()))
        rows, indexes = np.zeros(shape, np.int32), np.zeros(shape, steps[0].indexes.dtype)
        for b, step in enumerate(steps):
            rows[b, : counts[b]] = step.symbols
            indexes[b, : counts[b]] = step.indexes
        upload = self._device.upload
        elements = Elements(
            upload(indexes[self._turns]), upload(counts[self._turns]), tables.count, skip
        )
        symbols = upload(rows[self._turns])
        decoded = self._device.zeros(symbols.shape, np.int32)
        return _Step(rows, elements, CudaTables(tables, self._device), symbols, decoded)

    @property
    def total_bytes(self) -> int:
        """Bytes of all packets."""
        sizes = np.array([len(coded.packet) for coded in self.coded])
        return int(sizes[self._turns].sum())

    @functools.cached_property
    def ideal_bytes(self) -> float:
        """Entropy of all packets under the integer tables, in bytes."""
        ideal = np.array([part.ideal_bytes for part in self._parts])
        return float(ideal[self._turns].sum())

    @property
    def moved(self) -> int:
        """Bytes of table indexes, symbols and packets, each once."""
        held = sum(step.elements.indexes.nbytes + step.symbols.nbytes for step in self._steps)
        return int(held) + self.total_bytes

    @property
    def layout(self) -> tuple[int, int]:
        """Lanes and segments of the first packet."""
        first = self.coded[0].payload
        return first.lanes, len(first.words)

    def encode(self) -> None:
        """From symbols to whole packets; only launches."""
        steps = [BatchStep(step.elements, step.tables, step.symbols) for step in self._steps]
        self._encoder.encode(steps, self._layout, self._checks)
        self._writer.write()

    def load(self) -> None:
        """Copies the packets' payloads to the device."""
        self._decoder.load(self._payloads)

    def decode(self) -> None:
        """From payloads to symbols; only launches, and each time needs a `load` before."""
        self._decoder.open()
        for step in self._steps:
            self._decoder.step(step.elements, step.tables, step.decoded)
        self._decoder.close()

    def encoded(self) -> list[bytes | None]:
        """What `encode` wrote."""
        return self._writer.packets()

    def decoded(self) -> list[NDArray[np.int32]]:
        """What `decode` found, rows of each step."""
        return [self._device.download(step.decoded) for step in self._steps]

    def poison(self) -> None:
        """Overwrites all that is compared, so that it is right only if the next call writes it."""
        decoder, encoder = self._decoder, self._encoder
        decoded = [step.decoded for step in self._steps]
        for array in (*decoded, decoder.segments.status, decoder._checks):
            self._device.write(array, _POISON)
        for array in (self._writer.out, encoder.sizes, encoder.segments.status):
            self._device.write(array, _POISON)

    def verify(self) -> None:
        """Encodes and decodes once, and compares with the CPU.

        Raises:
            AssertionError: A byte, an integer, a check or a status is another.
        """
        self.encode()
        self.require_encoded()
        self.load()
        self.decode()
        self.require_decoded()

    def require_encoded(self) -> None:
        """Compares what was encoded last, byte by byte."""
        for b, packet in enumerate(self.encoded()):
            if packet != self.coded[self._turns[b]].packet:
                raise AssertionError(f"packet {b} has other bytes on {self._device.name}")

    def require_decoded(self) -> None:
        """Compares what was decoded last, integer by integer."""
        if self._decoder.statuses().any():
            raise AssertionError(f"packets failed on {self._device.name}")
        for b, check in enumerate(self._decoder.checks()):
            coded = self.coded[self._turns[b]]
            wanted = coded.check
            if coded.payload.lanes == 1:
                wanted = (wanted ^ wanted >> 16) & 0xFFFF
            if check != wanted:
                raise AssertionError(f"packet {b} has another check on {self._device.name}")
        for found, step in zip(self.decoded(), self._steps, strict=True):
            if not self._same(found, step):
                raise AssertionError(f"other integers on {self._device.name}")

    def _same(self, found: Any, step: _Step) -> bool:
        counts = self._device.download(step.elements.counts)
        return all(
            np.array_equal(row[:count], step.rows[turn, :count])
            for row, turn, count in zip(found, self._turns, counts, strict=True)
        )
