"""What a file begins with: its magic, and the stream header twice.

Rules: `docs/format.md`, section 10.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..bitstream import MAX_HEADER_BYTES, StreamHeader, read_header, write_header
from ..config import Limits
from ..errors import BitstreamError, LimitExceededError, TruncatedError

# As in PNG: the first byte is not text, and the rest shows what changes line ends or stops at ^Z.
FILE_MAGIC = b"\x89FCM\r\n\x1a\n"

_HEADER_PLACE = len(FILE_MAGIC) + 4
MAX_PREFIX_BYTES = _HEADER_PLACE + 2 * MAX_HEADER_BYTES


class Prefix(NamedTuple):
    """What was found at the beginning of a file."""

    header: StreamHeader
    size: int
    """Offset of the first record."""
    damaged: bool
    """Whether one copy of the header, or their length, is damaged."""


def write_prefix(header: StreamHeader) -> bytes:
    """Writes what stands before the first record; ConfigError where the header is too long."""
    coded = write_header(header)
    return FILE_MAGIC + struct.pack("<I", len(coded)) + coded + coded


def read_prefix(data: bytes, limits: Limits) -> Prefix:
    """Reads what stands before the first record.

    Args:
        data: The first `MAX_PREFIX_BYTES` bytes of a file, or all of a shorter one.
        limits: Bounds on the sizes of the levels.

    Raises:
        TruncatedError: The bytes end before the first record.
        UnsupportedVersionError: The file has another version of the format.
        LimitExceededError: Its levels are larger than the limits allow.
        BitstreamError: It is not in this format, or both copies of its header are damaged.
    """
    if not FILE_MAGIC.startswith(data[: len(FILE_MAGIC)]):
        raise BitstreamError("this is no fcmrt file, or its line ends were changed", offset=0)
    if len(data) < _HEADER_PLACE:
        raise TruncatedError("the file ends before its header", offset=len(data))
    stated = int.from_bytes(data[len(FILE_MAGIC) : _HEADER_PLACE], "little")
    try:
        header, size = _read_header_at(data, _HEADER_PLACE, limits)
    except LimitExceededError:
        raise
    except BitstreamError as first:
        try:
            header, size = _read_header_at(data, _HEADER_PLACE + stated, limits)
        except BitstreamError as second:
            # The same error in both is hardly damage, but another version or a cut-off file.
            if type(first) is type(second):
                raise first from None
            raise BitstreamError(
                "both copies of the stream header are damaged", offset=_HEADER_PLACE
            ) from first
        return Prefix(header, _HEADER_PLACE + stated + size, True)
    middle = _HEADER_PLACE + size
    copy = data[middle : middle + size]
    damaged = stated != size or not data[_HEADER_PLACE:middle].startswith(copy)
    return Prefix(header, middle + size, damaged)


def _read_header_at(data: bytes, place: int, limits: Limits) -> tuple[StreamHeader, int]:
    try:
        return read_header(memoryview(data)[place:], limits=limits)
    except BitstreamError as error:
        error.offset = place + (error.offset or 0)
        raise
