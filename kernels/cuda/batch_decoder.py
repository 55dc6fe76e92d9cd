"""Decodes batches of packets, step by step, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError, ShapeError
from . import shapes
from .device import Device, DeviceArray
from .elements import Elements
from .prepared import CudaTables
from .seats import Segments


class Payload(NamedTuple):
    """What the coder put into one packet; buffers are borrowed by the call."""

    segments: Any
    """Bytes-like, C-contiguous: all segments, each its states and then its words."""
    words: Sequence[int]
    """Number of words of each segment."""
    escapes: Any
    """Bytes-like, C-contiguous: the escape section."""
    lanes: int


class BatchDecoder:
    """Decodes batches of packets in buffers of fixed size.

    Methods only launch, unless they say that they wait: what differs between packets (payload,
    lanes, segments, numbers of symbols) is read on the device, so that a captured graph of the
    launches serves the next batch. A packet that fails does not affect the others.

    Args:
        device: Where the work is done.
        packets: Number of packets in a batch, 1 to 65535.
        most_segments: Segments that a packet may have, 1 to 256.
        payload_bytes: Room for the segments of all packets, each rounded up to an even number.
        escape_bytes: Room for the escape sections of all packets.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(
        self,
        device: Device,
        packets: int,
        most_segments: int,
        payload_bytes: int,
        escape_bytes: int,
    ) -> None:
        if not 1 <= packets <= shapes.MAX_PACKETS:
            raise ConfigError(
                f"a batch of {packets} packets; there are 1 to {shapes.MAX_PACKETS} of them"
            )
        if max(payload_bytes, escape_bytes) >= 1 << 32:
            raise ConfigError("the payloads of a batch must be below 4 GiB; decode smaller batches")
        self._device = device
        self.segments = Segments(device, packets, most_segments)
        self._payloads = device.zeros((payload_bytes + payload_bytes % 2,), np.uint8)
        self._sections = device.zeros((escape_bytes,), np.uint8)
        # Rows: payload's offset and size, escape section's offset and end.
        self._places = device.zeros((4, packets), np.uint32)
        self._word_counts = device.zeros((packets, most_segments), np.uint32)
        self._checks = device.zeros((packets,), np.uint32)
        self._escape_counts = device.empty((packets, most_segments), np.uint32)
        self._scratch: dict[str, DeviceArray] = {}

    def load(self, payloads: Sequence[Payload]) -> None:
        """Copies the payloads of a batch to the device and begins to decode: `put`, then `open`."""
        self.put(payloads)
        self.open()

    def put(self, payloads: Sequence[Payload]) -> None:
        """Copies the payloads of a batch to the device.

        Args:
            payloads: One for each packet.

        Raises:
            ShapeError: They are too many, too few or too large for the buffers.
        """
        own = self.segments
        if len(payloads) != own.packets:
            raise ShapeError(f"{len(payloads)} payloads for a batch of {own.packets}")
        places = np.zeros((4, own.packets), np.int64)
        words = np.zeros((own.packets, own.most), np.uint32)
        for b, payload in enumerate(payloads):
            if not 1 <= len(payload.words) <= own.most:
                raise ShapeError(
                    f"packet {b} has {len(payload.words)} segments; the buffers are for 1 to "
                    f"{own.most}"
                )
            words[b, : len(payload.words)] = payload.words
            places[1, b] = memoryview(payload.segments).nbytes
            places[3, b] = memoryview(payload.escapes).nbytes
        places[0, 1:] = np.cumsum(places[1] + places[1] % 2)[:-1]
        places[3] = np.cumsum(places[3])
        places[2, 1:] = places[3, :-1]
        self._copy(self._payloads, places[0], [p.segments for p in payloads])
        self._copy(self._sections, places[2], [p.escapes for p in payloads])
        write = self._device.write
        write(self._places, places.astype(np.uint32))
        write(self._word_counts, words)
        write(own.lanes, np.array([p.lanes for p in payloads], np.uint32))
        write(own.counts, np.array([len(p.words) for p in payloads], np.uint32))

    def _copy(self, target: DeviceArray, begins: npt.NDArray[Any], parts: Sequence[Any]) -> None:
        end = int(begins[-1]) + memoryview(parts[-1]).nbytes
        if end > len(target):
            raise ShapeError(f"the batch's packets do not fit buffers of {len(target)} bytes")
        whole = np.zeros(end, np.uint8)
        for begin, part in zip(begins, parts, strict=True):
            data = np.frombuffer(part, np.uint8)
            whole[begin : begin + len(data)] = data
        self._device.write(target[:end], whole)

    def open(self) -> None:
        """Begins to decode what lies in the buffers."""
        own = self.segments
        self._device.write(own.status, 0)
        self._device.launch(
            "open_packets",
            (shapes.warp_blocks(own.packets), 1, 1),
            shapes.THREADS,
            self._payloads,
            self._places[0],
            self._places[1],
            own.lanes,
            own.counts,
            self._word_counts,
            np.uint32(own.packets),
            np.uint32(own.most),
            own.states,
            own.words,
            own.status,
        )
        own.seat()

    def _room(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory that is kept from step to step."""
        held = self._scratch.get(name)
        size = int(np.prod(shape))
        if held is None or held.size < size:
            held = self._scratch[name] = self._device.empty((size,), dtype)
        return held[:size].reshape(shape)

    def step(self, elements: Elements, tables: CudaTables, symbols: DeviceArray) -> None:
        """Decodes the symbols of the next code step, escapes included.

        Args:
            elements: The step's table indexes.
            tables: Its table set.
            symbols: int32 `[packets, capacity]`, written; those of skipped elements become 0.
        """
        launch, own = self._device.launch, self.segments
        rows = (elements.packets, elements.capacity)
        coded = self._room("coded", (own.packets,), np.uint32)
        indexes = self._room("indexes", rows, np.uint16)
        counts = places = None
        if elements.skip > 0:
            counts = self._room("counts", (own.packets, elements.grid[0]), np.uint32)
            places = self._room("places", rows, np.uint32)
        escapes = self._room("escapes", rows, np.uint32)
        what = (*elements.index_arguments(), *elements.row_arguments(), counts)
        if elements.skip > 0:
            launch("count_coded", elements.grid, shapes.THREADS, *what)
        listed = (indexes, places, coded, symbols, own.status)
        launch("list_coded", elements.grid, shapes.THREADS, *what, *listed)
        to_decode = (indexes, places, coded, np.uint32(elements.capacity), symbols, escapes)
        launch(
            "decode_shared" if tables.shared else "decode_global",
            own.grid,
            shapes.THREADS,
            tables.data,
            np.uint32(tables.count),
            np.uint32(tables.word_bytes),
            *to_decode,
            self._escape_counts,
            self._payloads.view(np.uint16),
            own.firsts,
            own.seated,
            own.counts,
            np.uint32(own.most),
            own.states,
            own.words,
            own.status,
            shared_bytes=tables.word_bytes if tables.shared else 0,
        )
        launch(
            "resolve_escapes",
            (own.packets, 1, 1),
            shapes.WARP,
            tables.data,
            *to_decode,
            self._escape_counts,
            own.counts,
            np.uint32(own.most),
            self._sections,
            self._places[2],
            self._places[3],
            own.status,
        )

    def close(self) -> None:
        """Ends the packets: fails those with words or escapes left over, and reads the checks."""
        own = self.segments
        self._device.launch(
            "close_packets",
            (shapes.warp_blocks(own.packets), 1, 1),
            shapes.THREADS,
            own.lanes,
            own.counts,
            np.uint32(own.packets),
            np.uint32(own.most),
            own.states,
            own.words,
            self._places[2],
            self._places[3],
            self._checks,
            own.status,
        )

    def compare(self, checks: DeviceArray) -> None:
        """Fails the packets whose check is not that of the decoded integers.

        Args:
            checks: uint32 `[packets]`, the checks of the decoded integers.
        """
        own = self.segments
        self._device.launch(
            "compare_checks",
            (-(-own.packets // shapes.THREADS), 1, 1),
            shapes.THREADS,
            self._checks,
            checks,
            own.lanes,
            np.uint32(own.packets),
            own.status,
        )

    def fail(self, status: int) -> None:
        """Makes every packet of the batch fail, with a number of `Status`."""
        self._device.write(self.segments.status, status)

    def statuses(self) -> npt.NDArray[np.int32]:
        """Returns each packet's `Status`: int32 `[packets]`; waits for the device."""
        return self._device.download(self.segments.status)

    def checks(self) -> npt.NDArray[np.uint32]:
        """Returns the packets' checks: uint32 `[packets]`, undefined if failed; waits."""
        return self._device.download(self._checks)
