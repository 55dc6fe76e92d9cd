"""The parts of a file that are neither header nor packet.

Rules: `docs/format.md`, section 10.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

SYNC = b"FCMP"
RECORD_HEAD_BYTES = 24
INDEX_MAGIC = b"FCMI"
ENTRY = struct.Struct("<Qq")
FOOTER_BYTES = 24

_RECORD_FLAGS = 0
_RECORD = struct.Struct("<4sIIq")
_COUNT = struct.Struct("<4sI")
_FOOTER = struct.Struct("<QI")
_FOOTER_MAGIC = b"FCMEND\r\n"
_CRC = struct.Struct("<I")


class RecordHead(NamedTuple):
    """What stands before a packet in a file."""

    payload_bytes: int
    """Length of the packet."""
    pts: int
    """Its presentation time, in units of the header's time base."""


def _with_crc(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def _crc_is_right(data: bytes | memoryview) -> bool:
    return zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")


def write_record_head(payload_bytes: int, pts: int) -> bytes:
    """Writes what stands before a packet; `pts` is a signed 64-bit integer."""
    return _with_crc(_RECORD.pack(SYNC, payload_bytes, _RECORD_FLAGS, pts))


def read_record_head(data: bytes, offset: int = 0) -> RecordHead | None:
    """Reads the 24 bytes before a packet; None if they are something else, damaged or cut off."""
    head = data[offset : offset + RECORD_HEAD_BYTES]
    if len(head) < RECORD_HEAD_BYTES or not _crc_is_right(head):
        return None
    sync, payload_bytes, flags, pts = _RECORD.unpack_from(head)
    return RecordHead(payload_bytes, pts) if sync == SYNC and flags == _RECORD_FLAGS else None


def write_index(entries: bytes | bytearray, offset: int) -> bytes:
    """Writes index and footer.

    Args:
        entries: File offset and pts of every record, an `ENTRY` each.
        offset: Where in the file the index begins.
    """
    count = len(entries) // ENTRY.size
    index = _with_crc(_COUNT.pack(INDEX_MAGIC, count) + entries)
    return index + _with_crc(_FOOTER.pack(offset, count)) + _FOOTER_MAGIC


def index_bytes(count: int) -> int:
    """Returns the length in bytes of the index of `count` records."""
    return _COUNT.size + count * ENTRY.size + _CRC.size


def read_index(data: bytes, count: int) -> bytes | None:
    """Reads the index of `count` records; returns its entries, or None if it is damaged."""
    if not data.startswith(_COUNT.pack(INDEX_MAGIC, count)) or not _crc_is_right(data):
        return None
    return data[_COUNT.size : -_CRC.size]


def read_footer(data: bytes) -> tuple[int, int] | None:
    """Reads the last 24 bytes of a file; returns the offset of the index and the number of records.

    None if they are no footer, or a damaged one.
    """
    if data[16:] != _FOOTER_MAGIC or not _crc_is_right(data[:16]):
        return None
    offset, count = _FOOTER.unpack_from(data)
    return offset, count
