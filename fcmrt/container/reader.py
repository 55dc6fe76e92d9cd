"""Reads a stream from a file that may be damaged, cut off, hostile, or still growing."""

from __future__ import annotations

import bisect
import io
import math
import operator
import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from ..arguments import binary_file, instance, real
from ..bitstream import BytesLike, StreamHeader, byte_view
from ..config import Limits
from ..errors import (
    ChecksumError,
    ClosedError,
    ConfigError,
    LimitExceededError,
    TruncatedError,
)
from ..packet import Packet
from .prefix import MAX_PREFIX_BYTES, read_prefix
from .records import (
    ENTRY,
    FOOTER_BYTES,
    RECORD_HEAD_BYTES,
    SYNC,
    index_bytes,
    read_footer,
    read_index,
    read_record_head,
)

_SEARCH_BYTES_LEAST = 1 << 8
_SEARCH_BYTES_MOST = 1 << 16


class Reader:
    """Reads the packets of one stream from a file, in order or by number.

    It uses the index if that is intact, and otherwise finds the records one after the other,
    looking for the next intact one after damage. Packets are read when asked for; only 16 bytes a
    record are kept. Damage within a packet shows only when it is decoded. An iterator survives an
    error: `next` continues with the packet after the bad one. Not safe for use by several threads
    at once.

    Args:
        file: A path, the bytes of a file, or a seekable binary file object whose position 0 is the
            file's first byte, and which the caller closes.
        limits: Bounds on what the file may ask for; None: the default ones.

    Raises:
        BitstreamError: The file is not in this format, or both copies of its header are damaged.
        ConfigError: The file object cannot seek, or is not a binary file.
        OSError: The file cannot be opened or read.
    """

    header: StreamHeader
    """What all packets have in common."""

    header_damaged: bool
    """Whether one of the two copies of the header, or their length, was damaged."""

    recovered: bool
    """Whether the index is missing or damaged, so that records were found by scanning."""

    skipped_bytes: int
    """Bytes between records that belonged to none; 0 unless `recovered`."""

    def __init__(
        self,
        file: str | os.PathLike[str] | BytesLike | BinaryIO,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._limits = Limits() if limits is None else limits
        instance(self._limits, Limits, "limits")
        self._entries = bytearray()
        self._ordered = True
        self._closed = False
        self._owned = True
        if isinstance(file, (str, os.PathLike)):
            self._file: BinaryIO = open(file, "rb")  # noqa: SIM115 - closed by close()
        elif isinstance(file, (bytes, bytearray, memoryview)):
            # BytesIO shares bytes, and copies the others.
            self._file = io.BytesIO(file if isinstance(file, bytes) else byte_view(file))
        else:
            binary_file(file, "the file", "seekable", "seek", "read")
            self._file, self._owned = file, False
        try:
            if not self._file.seekable():
                raise ConfigError("the file cannot seek; read it whole and pass its bytes")
            self._size = self._file.seek(0, io.SEEK_END)
            prefix = read_prefix(self._read(0, min(self._size, MAX_PREFIX_BYTES)), self._limits)
            self.header, self._first, self.header_damaged = prefix
            self._next = self._searched = self._first
            self.recovered = True
            self.skipped_bytes = 0
            self._find_records()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._entries) // ENTRY.size

    def __iter__(self) -> Iterator[Packet]:
        # Unlike a generator, a map survives an error.
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Packet:
        """Reads one packet by its number; negative ones count from the end.

        Returns:
            The packet with its pts; `elements` is set where the stream header has all sizes.

        Raises:
            IndexError: There is no such packet.
            ClosedError: The reader was closed.
            BitstreamError: The record is damaged, cut off, or larger than the limits allow.
        """
        index = operator.index(index)
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there is no packet {index} in a file of {len(self)}")
        offset, _ = self._entry(number)
        record = read_record_head(self._read(offset, RECORD_HEAD_BYTES))
        if record is None:
            raise ChecksumError(f"record {number} is damaged", offset=offset, packet_index=number)
        size = record.payload_bytes
        try:
            self._limits.require(
                "max_packet_bytes", size, f"packet {number} has {size} bytes", offset
            )
        except LimitExceededError as error:
            error.packet_index = number
            raise
        begin = offset + RECORD_HEAD_BYTES
        # If packets could overlap, reading all of them could take the square of the file's size.
        if number + 1 < len(self) and begin + size > self._entry(number + 1)[0]:
            raise ChecksumError(
                f"record {number} is damaged: it reaches into the next one",
                offset=offset,
                packet_index=number,
            )
        if begin + size > self._size:
            raise TruncatedError(
                f"the file ends within packet {number}", offset=self._size, packet_index=number
            )
        payload = self._read(begin, size)
        # Bits 5 and 6 of a packet are 0 where the sizes are those of the stream header.
        sized_by_header = payload[:1] and not payload[0] & 0x60
        return Packet(
            payload, pts=record.pts, elements=self.header.elements if sized_by_header else None
        )

    def seek_pts(self, pts: float) -> int | None:
        """Returns the number of the last packet at or before a time, None if all are later.

        If packets are not in the order of their times, it is the one with the latest time that is
        not after `pts`, and the last of several with that time.

        Args:
            pts: In units of the header's time base; may be a fraction of one.

        Raises:
            ConfigError: `pts` is not a number.
        """
        if math.isnan(real(pts, "pts")):
            raise ConfigError("pts is nan; it must be a number")
        numbers = range(len(self))
        if self._ordered:
            later = bisect.bisect_right(numbers, pts, key=lambda i: self._entry(i)[1])
            return later - 1 if later else None
        earlier = (i for i in numbers if self._entry(i)[1] <= pts)
        return max(earlier, key=lambda i: (self._entry(i)[1], i), default=None)

    def refresh(self) -> int:
        """Looks for packets that were added since; a writer may still be at work.

        Returns:
            How many were found. Those known before keep their numbers.

        Raises:
            ClosedError: The reader was closed.
        """
        self._check_open()
        known = len(self)
        self._size = self._file.seek(0, io.SEEK_END)
        if self.recovered:
            self._find_records()
        return len(self) - known

    def close(self) -> None:
        """Closes the reader, and the file if the reader opened it; closing again does nothing."""
        self._closed = True
        if self._owned:
            self._file.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the reader was closed")

    def _entry(self, number: int) -> tuple[int, int]:
        offset, pts = ENTRY.unpack_from(self._entries, number * ENTRY.size)
        return offset, pts

    def _read(self, offset: int, size: int) -> bytes:
        self._check_open()
        self._file.seek(offset)
        data = self._file.read(size)
        # An unbuffered file may give less than was asked for.
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise TruncatedError("the file ends where more was", offset=offset + len(data))
            data += more
        return data

    def _find_records(self) -> None:
        if not self._take_index():
            self._scan()

    def _take_index(self) -> bool:
        # Packets found beyond damage keep their numbers; the index would change them.
        end = self._size - FOOTER_BYTES
        if self.skipped_bytes or end < self._first:
            return False
        footer = read_footer(self._read(end, FOOTER_BYTES))
        if footer is None:
            return False
        place, count = footer
        # Each record takes room before the index, so a false count cannot cause a large read.
        if count * RECORD_HEAD_BYTES > place - self._first or index_bytes(count) != end - place:
            return False
        entries = read_index(self._read(place, end - place), count)
        if entries is None or not entries.startswith(self._entries):
            return False
        least, latest, ordered = self._first, -(1 << 63), True
        for offset, pts in ENTRY.iter_unpack(entries):
            if offset < least:
                return False
            ordered &= pts >= latest
            least, latest = offset + RECORD_HEAD_BYTES, pts
        if least > place:
            return False
        self._entries = bytearray(entries)
        self._ordered = ordered
        self.recovered = False
        return True

    def _scan(self) -> None:
        while self._next + RECORD_HEAD_BYTES <= self._size:
            record = read_record_head(self._read(self._next, RECORD_HEAD_BYTES))
            if record is None:
                found = self._search()
                if found is None:
                    return
                self.skipped_bytes += found - self._next
                self._next = found
                continue
            end = self._next + RECORD_HEAD_BYTES + record.payload_bytes
            if end > self._size:
                return
            if len(self) and record.pts < self._entry(len(self) - 1)[1]:
                self._ordered = False
            self._entries += ENTRY.pack(self._next, record.pts)
            self._next = end

    def _search(self) -> int | None:
        # What was searched in vain is not searched again when the file has grown.
        place = max(self._next, self._searched)
        # Most gaps are short, and a hostile file may have many: large reads only for large gaps.
        step = _SEARCH_BYTES_LEAST
        while place + RECORD_HEAD_BYTES <= self._size:
            data = self._read(place, min(step, self._size - place))
            step = min(2 * step, _SEARCH_BYTES_MOST)
            at = data.find(SYNC)
            while 0 <= at <= len(data) - RECORD_HEAD_BYTES:
                if read_record_head(data, at) is not None:
                    self._searched = place + at
                    return place + at
                at = data.find(SYNC, at + 1)
            place += len(data) - RECORD_HEAD_BYTES + 1
        self._searched = place
        return None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
