"""Encodes batches of packets without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError
from ...tables import PROB_BITS
from ..api import LANES, MAX_SEGMENTS, CodedPayload
from . import prepared, shapes
from .device import Argument, Device, DeviceArray
from .elements import Elements
from .prepared import CudaTables
from .seats import Segments

_COUNTED = 4  # words of a `Counted` of events.cuh


class Layout(NamedTuple):
    """How lanes and segments are chosen."""

    overhead_permille: int = 5
    """What lanes may cost, in thousandths of the payload."""
    min_lanes: int = 1
    lanes: int = 0
    """Number of lanes of every packet, `segments` then too; 0: they follow from the payload."""
    segments: int = 0


class BatchStep(NamedTuple):
    """One code step of a batch; arrays are borrowed until the launches are over."""

    elements: Elements
    tables: CudaTables
    symbols: DeviceArray
    """int32 `[packets, capacity]`."""


class BatchEncoder:
    """Encodes batches of packets in buffers of fixed size.

    Methods only launch, unless they say that they wait. A packet that cannot be encoded fails
    without affecting the others.

    Args:
        device: Where the work is done.
        packets: Number of packets in a batch, 1 to 65535.
        most_segments: Segments that a packet may have, 1 to 256; one that needs more fails. See
            `most_segments`.
        capacities: Elements that each code step's rows hold.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(
        self, device: Device, packets: int, most_segments: int, capacities: Sequence[int]
    ) -> None:
        if not 1 <= packets <= shapes.MAX_PACKETS:
            raise ConfigError(
                f"a batch of {packets} packets; there are 1 to {shapes.MAX_PACKETS} of them"
            )
        self._device = device
        self._steps = len(capacities)
        self._chunk_firsts = np.cumsum([0, *map(shapes.chunks, capacities)]).astype(np.uint32)
        self._event_firsts = np.cumsum([0, *capacities]).astype(np.uint32)
        events = int(self._event_firsts[-1])
        self._escape_capacity = 5 * events
        self.segments = Segments(device, packets, most_segments)
        rows = (packets, events)
        self._events = device.empty(rows, np.uint32)
        self._words = device.empty(rows, np.uint16)
        self._escapes = device.empty((packets, self._escape_capacity), np.uint8)
        self._counted = device.empty((packets, int(self._chunk_firsts[-1]), _COUNTED), np.uint32)
        self._coded = device.zeros((packets, self._steps), np.uint32)
        self.escape_bytes = device.zeros((packets,), np.uint32)
        self.sizes = device.zeros((packets,), np.uint32)
        self._word_counts = device.zeros((packets, most_segments), np.uint32)
        self._device_chunk_firsts = device.upload(self._chunk_firsts)
        self._device_event_firsts = device.upload(self._event_firsts)
        self.payload_capacity = 128 * most_segments + 2 * events + self._escape_capacity
        self._reciprocals = device.upload(prepared.reciprocals())

    @staticmethod
    def _event_arguments(step: BatchStep) -> tuple[Argument, ...]:
        return (
            *step.elements.index_arguments(),
            step.symbols,
            *step.elements.row_arguments(),
            step.tables.data,
            np.uint32(step.tables.word_bytes),
        )

    def _target_arguments(self, k: int) -> tuple[Argument, ...]:
        return (
            self._counted,
            np.uint32(self._chunk_firsts[-1]),
            np.uint32(self._chunk_firsts[k]),
            self._events,
            np.uint64(self._event_firsts[-1]),
            np.uint32(self._event_firsts[k]),
        )

    def plan(self, steps: Sequence[BatchStep], layout: Layout) -> None:
        """Measures the packets, and chooses lanes and segments for each.

        Args:
            steps: All code steps.
            layout: How to choose.
        """
        own, launch = self.segments, self._device.launch
        self._device.write(own.status, 0)
        for k, step in enumerate(steps):
            launch(
                "count_events",
                step.elements.grid,
                shapes.THREADS,
                *self._event_arguments(step),
                *self._target_arguments(k),
            )
        launch(
            "plan_packets",
            (own.packets, 1, 1),
            shapes.THREADS,
            self._counted,
            self._device_chunk_firsts,
            np.uint32(self._steps),
            *map(np.uint32, layout),
            np.uint32(own.most),
            self._coded,
            self.escape_bytes,
            own.lanes,
            own.counts,
            own.status,
        )

    def encode(self, steps: Sequence[BatchStep], layout: Layout, checks: DeviceArray) -> None:
        """Codes the packets: calls `plan`, then makes segments and escapes; `gather` joins them.

        Args:
            steps: As for `plan`.
            layout: As for `plan`.
            checks: uint32 `[packets]`, each packet's check over its integers.
        """
        own, launch = self.segments, self._device.launch
        self.plan(steps, layout)
        own.seat()
        row = np.uint64(self._event_firsts[-1])
        section = np.uint64(self._escape_capacity)
        for k, step in enumerate(steps):
            launch(
                "list_events",
                step.elements.grid,
                shapes.THREADS,
                *self._event_arguments(step),
                *self._target_arguments(k),
                self._escapes,
                section,
                own.status,
            )
        launch(
            "encode_segments",
            own.grid,
            shapes.THREADS,
            self._events,
            row,
            self._device_event_firsts,
            self._coded,
            np.uint32(self._steps),
            self._reciprocals,
            checks,
            own.firsts,
            own.seated,
            own.counts,
            np.uint32(own.most),
            own.states,
            self._words,
            own.words,
        )

    def gather(self, out: DeviceArray, begins: DeviceArray | None = None) -> None:
        """Copies each packet's segments and escapes, one behind the other, to its row.

        Args:
            out: uint8 `[packets, n]`, written; `n` is at least `payload_capacity` plus the largest
                of `begins`.
            begins: uint32 `[packets]`, where in its row a packet's segments begin; None: at 0.
        """
        own = self.segments
        self._device.launch(
            "gather_packets",
            (own.most + 1, own.packets, 1),
            shapes.THREADS,
            own.lanes,
            own.counts,
            np.uint32(own.most),
            own.states,
            self._words,
            np.uint64(self._event_firsts[-1]),
            own.words,
            self._escapes,
            np.uint64(self._escape_capacity),
            self.escape_bytes,
            begins,
            out,
            np.uint64(out.shape[1]),
            self.sizes,
            self._word_counts,
            own.status,
        )

    def statuses(self) -> npt.NDArray[np.int32]:
        """Returns each packet's `Status`: int32 `[packets]`; waits for the device."""
        return self._device.download(self.segments.status)

    def layouts(self) -> list[tuple[int, int]]:
        """Returns lanes and segments of each packet; waits for the device."""
        lanes = self._device.download(self.segments.lanes).tolist()
        counts = self._device.download(self.segments.counts).tolist()
        return list(zip(lanes, counts, strict=True))

    def payloads(self) -> list[CodedPayload | None]:
        """Returns the payload of each packet, None for those that failed; waits for the device."""
        rows = (self.segments.packets, self.payload_capacity)
        out = self._device.empty(rows, np.uint8)
        self.gather(out)
        statuses = self.statuses()
        return [None if status else self._payload(out, b) for b, status in enumerate(statuses)]

    def _payload(self, out: DeviceArray, packet: int) -> CodedPayload:
        get = self._device.download
        count = int(get(self.segments.counts[packet : packet + 1])[0])
        size = int(get(self.sizes[packet : packet + 1])[0])
        escapes = int(get(self.escape_bytes[packet : packet + 1])[0])
        words = get(self._word_counts[packet, :count])
        data = get(out[packet, :size]).tobytes()
        split = size - escapes
        return CodedPayload(data[:split], tuple(words.tolist()), data[split:])


def most_segments(capacities: Sequence[int], overhead_permille: int) -> int:
    """Returns the most segments that such packets can be given (`docs/format.md`, section 5).

    Args:
        capacities: Elements that each code step's rows hold.
        overhead_permille: What lanes may cost, in thousandths of the payload.
    """
    payload = sum(capacities) * PROB_BITS // 8
    blocks = -(-max(capacities, default=0) // max(LANES))
    return max(1, min(MAX_SEGMENTS, overhead_permille * payload // 128000, blocks))
