"""Writes a stream to a file, so that it can be read while it grows."""

from __future__ import annotations

import os
from types import TracebackType
from typing import BinaryIO

from ..arguments import binary_file, instance
from ..bitstream import (
    LEAST_PACKET_BYTES,
    BytesLike,
    StreamHeader,
    byte_view,
    is_self_contained,
)
from ..errors import ClosedError, ConfigError
from ..packet import Packet, presentation_time
from .prefix import write_prefix
from .records import ENTRY, write_index, write_record_head


class Writer:
    """Writes the packets of one stream to a file.

    Every packet is flushed before `write` returns, so that a `Reader` can follow; closing adds the
    index. A file that was never closed lacks only the index, and is read by scanning. Not safe for
    use by several threads at once.

    Args:
        file: A path, whose file is made or overwritten, or a binary file object open for writing
            at its start, which need not be seekable and which the caller closes.
        header: What all packets have in common.

    Raises:
        ConfigError: The header is too long or not a `StreamHeader`, or the file is neither a path
            nor a binary file object.
        OSError: The file cannot be opened or written.
    """

    header: StreamHeader

    def __init__(self, file: str | os.PathLike[str] | BinaryIO, header: StreamHeader) -> None:
        instance(header, StreamHeader, "header", "pass the encoder's")
        if not isinstance(file, (str, os.PathLike)):
            binary_file(file, "the file", "write", "flush")
        prefix = write_prefix(header)
        self.header = header
        self._entries = bytearray()
        self._count = 0
        self._offset = 0
        self._intact = True
        self._closed = False
        self._owned = isinstance(file, (str, os.PathLike))
        if isinstance(file, (str, os.PathLike)):
            self._file: BinaryIO = open(file, "wb")  # noqa: SIM115 - closed by close()
        else:
            self._file = file
        try:
            self._append(prefix)
        except BaseException:
            self.close()
            raise

    def write(self, packet: BytesLike, pts: int | None = None) -> None:
        """Appends one packet.

        Args:
            packet: A bare packet; borrowed until the call returns.
            pts: Its time in units of the header's time base, a signed 64-bit integer. None: that
                of the packet if it is a `Packet` with one, otherwise its number in the file.

        Raises:
            ClosedError: The writer was closed.
            ConfigError: These are not the bytes of a bare packet, or `pts` is out of range.
            OSError: The file could not be written; what was written before can still be read.
        """
        if self._closed:
            raise ClosedError("the writer was closed")
        if not self._intact:
            raise ClosedError("an earlier packet could not be written; start another file")
        if pts is None and isinstance(packet, Packet):
            pts = packet.pts
        pts = presentation_time(self._count if pts is None else pts)
        payload = byte_view(packet)
        if is_self_contained(payload):
            raise ConfigError("the packet carries its stream header; a file takes bare packets")
        if not LEAST_PACKET_BYTES <= len(payload) < 1 << 32:
            raise ConfigError(f"{len(payload)} bytes are no packet")
        offset = self._offset
        self._append(b"".join((write_record_head(len(payload), pts), payload)))
        self._entries += ENTRY.pack(offset, pts)
        self._count += 1

    def close(self) -> None:
        """Adds the index, and closes the file if the writer opened it; closing again does nothing.

        Raises:
            OSError: The file could not be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            # After a failed write, an index would follow half a record.
            if self._intact:
                self._append(write_index(self._entries, self._offset))
        finally:
            if self._owned:
                self._file.close()

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        self._intact = False
        while rest:
            written = self._file.write(rest)
            if not written:
                raise OSError("the file takes no more bytes")
            rest = rest[written:]
        self._file.flush()
        self._intact = True
        self._offset += len(data)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
