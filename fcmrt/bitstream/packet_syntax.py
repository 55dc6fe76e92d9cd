"""The bytes of a packet: its fields, and where its segments and escapes lie.

Rules: `docs/format.md`, section 7, and the layout of segments in section 4.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from ..config import Limits
from ..errors import (
    BitstreamError,
    ChecksumError,
    ConfigError,
    ShapeError,
    TruncatedError,
)
from .header import DIGEST_BYTES
from .header_syntax import is_self_contained
from .importance import EVEN, Importance
from .importance_syntax import read_importance, write_importance
from .packet_head import LANES, MAX_SEGMENTS, Geometry, PacketHead
from .varint import BytesLike, Cursor, byte_view, unzigzag, write_varint, zigzag

STATE_LEAST = 1 << 16

# Up to this size the 16-bit checksum detects any two wrong bits.
LONGEST_WITH_CRC16 = 4095

# Flags, step, one state, checksum.
LEAST_PACKET_BYTES = 1 + 1 + 4 + 2

_FLAG_SEGMENTS = 0x08
_FLAG_ESCAPES = 0x10
_FLAG_IMPORTANCE = 0x80
_GEOMETRY_SHIFT = 5


class ParsedPacket(NamedTuple):
    """A packet whose checksum and syntax are right; its integers are not decoded yet."""

    head: PacketHead
    segments: memoryview
    """All segments, each its states and words; a view into the packet."""
    escapes: memoryview
    """The escape section; a view into the packet."""


class Layout(NamedTuple):
    """The fields of a packet, and the offsets at which two of its parts begin."""

    parsed: ParsedPacket
    directory: int
    segments: int


def _crc16(parts: Iterable[BytesLike], engine_digest: BytesLike) -> int:
    checksum = binascii.crc_hqx(engine_digest, 0xFFFF)
    for part in parts:
        checksum = binascii.crc_hqx(part, checksum)
    return checksum


def _crc32(parts: Iterable[BytesLike], engine_digest: BytesLike) -> int:
    checksum = zlib.crc32(engine_digest)
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _check_digest(engine_digest: bytes) -> None:
    if len(engine_digest) != DIGEST_BYTES:
        raise ConfigError(f"the engine digest has {len(engine_digest)} bytes; it must have 32")


def write_packet(
    head: PacketHead, segments: BytesLike, escapes: BytesLike, engine_digest: bytes
) -> bytes:
    """Writes a packet, checksum included.

    Args:
        head: The packet's fields.
        segments: All segments, each its states and words, as long as `head` says; borrowed.
        escapes: The escape section, as long as `head` says; borrowed.
        engine_digest: SHA-256 of the engine's manifest, 32 bytes.

    Raises:
        ConfigError: The lengths contradict each other.
    """
    return b"".join(_packet_parts(head, segments, escapes, engine_digest))


def write_packet_into(
    buffer: memoryview,
    head: PacketHead,
    segments: BytesLike,
    escapes: BytesLike,
    engine_digest: bytes,
) -> int:
    """Writes a packet to the beginning of a buffer; returns its length.

    Args:
        buffer: Writable, a flat run of bytes; borrowed. Nothing is written behind the packet.
        head: As for `write_packet`.
        segments: As for `write_packet`.
        escapes: As for `write_packet`.
        engine_digest: As for `write_packet`.

    Raises:
        ConfigError: The lengths contradict each other.
        ShapeError: The buffer is too small; the message says what size is needed. Nothing was
            written.
    """
    return put_packet(buffer, *_packet_parts(head, segments, escapes, engine_digest))


def put_packet(buffer: memoryview, *parts: BytesLike) -> int:
    """Writes the pieces of a packet to the beginning of a buffer; returns its length.

    Raises:
        ShapeError: As `write_packet_into`.
    """
    size = sum(map(len, parts))
    if size > len(buffer):
        raise ShapeError(f"the buffer has {len(buffer)} bytes; the packet takes {size}")
    place = 0
    for part in parts:
        buffer[place : place + len(part)] = part
        place += len(part)
    return size


def packet_front(step: int, geometry: Geometry | None, importance: Importance) -> bytes:
    """Writes the beginning of a packet as far as it is known before its integers are coded.

    Args:
        step: As in `PacketHead`.
        geometry: As in `PacketHead`.
        importance: As in `PacketHead`.

    Returns:
        The flags, without those of lanes, segments and escapes, and the fields up to the number of
        segments.
    """
    flags = 0
    fields = write_varint(zigzag(step))
    if importance:
        flags |= _FLAG_IMPORTANCE
        fields += write_importance(importance)
    if geometry is not None:
        flags |= (1 if len(geometry.sizes) == 1 else 2) << _GEOMETRY_SHIFT
        for height, width in geometry.sizes:
            fields += write_varint(height) + write_varint(width)
    return bytes((flags,)) + fields


def _packet_parts(
    head: PacketHead, segments: BytesLike, escapes: BytesLike, engine_digest: bytes
) -> tuple[BytesLike, ...]:
    """The packet in pieces: fields, segments, escapes, checksum; errors as `write_packet`."""
    _check_digest(engine_digest)
    segments, escapes = byte_view(segments), byte_view(escapes)
    if len(segments) != head.segment_bytes or len(escapes) != head.escape_bytes:
        raise ConfigError(
            f"the head asks for {head.segment_bytes} bytes of segments and {head.escape_bytes} of "
            f"escapes; there are {len(segments)} and {len(escapes)}"
        )
    front = packet_front(head.step, head.geometry, head.importance)
    flags, fields = front[0] | LANES.index(head.lanes), front[1:]
    if len(head.words) > 1:
        flags |= _FLAG_SEGMENTS
        fields += write_varint(len(head.words))
        fields += b"".join(write_varint(words) for words in head.words[:-1])
    if head.escape_bytes:
        flags |= _FLAG_ESCAPES
        fields += write_varint(head.escape_bytes)
    parts = (bytes((flags,)) + fields, segments, escapes)
    short = sum(map(len, parts)) + 2 <= LONGEST_WITH_CRC16
    checksum = (_crc16 if short else _crc32)(parts, engine_digest)
    return *parts, checksum.to_bytes(2 if short else 4, "little")


def read_packet(
    data: BytesLike, engine_digest: bytes, limits: Limits, *, levels: int | None = None
) -> ParsedPacket:
    """Reads a bare packet: the checksum first, then the fields.

    Args:
        data: The untrusted bytes of one packet, no more and no less.
        engine_digest: SHA-256 of the engine's manifest, 32 bytes.
        limits: Bounds on what the bytes may ask for.
        levels: Number of feature levels of the engine. Only a packet that carries the size of every
            level needs it; None: such packets are refused.

    Returns:
        The fields, and views of `data`, valid for as long as `data` is unchanged.

    Raises:
        TruncatedError: There are too few bytes for any packet, or a field runs over the end.
        ChecksumError: The bytes are damaged, or were made with another engine.
        LimitExceededError: They ask for more than the limits allow.
        BitstreamError: They are malformed in another way.
    """
    _check_digest(engine_digest)
    view = byte_view(data)
    body_bytes = checksum_offset(len(view), limits)
    if is_self_contained(view):
        raise BitstreamError(
            "the packet carries its stream header; read that first, and then the rest", offset=0
        )
    checksum = _crc16 if len(view) <= LONGEST_WITH_CRC16 else _crc32
    found = int.from_bytes(view[body_bytes:], "little")
    if checksum((view[:body_bytes],), engine_digest) != found:
        raise ChecksumError(
            "the packet's checksum does not match: it is damaged, or was made with another engine",
            offset=body_bytes,
        )
    return parse_fields(view[:body_bytes], 0, limits, levels).parsed


def checksum_offset(size: int, limits: Limits) -> int:
    """Returns where the checksum of a packet of `size` bytes begins; errors as `read_packet`."""
    limits.require("max_packet_bytes", size, f"the packet has {size} bytes")
    if size < LEAST_PACKET_BYTES:
        raise TruncatedError(f"a packet has at least {LEAST_PACKET_BYTES} bytes, there are {size}")
    if size <= LONGEST_WITH_CRC16:
        return size - 2
    if size - 4 <= LONGEST_WITH_CRC16 - 2:
        raise BitstreamError(f"no packet has {size} bytes")
    return size - 4


def parse_fields(view: memoryview, begin: int, limits: Limits, levels: int | None) -> Layout:
    """Parses a packet that begins at `begin` and ends, without its checksum, where `view` ends.

    Errors as `read_packet`; the views in the result are into `view`.
    """
    cursor = Cursor(view, begin)
    flags = cursor.u8()
    if flags & 7 >= len(LANES):
        raise BitstreamError(f"a packet cannot have the flags {flags:#04x}", offset=begin)
    lanes = LANES[flags & 7]
    step = unzigzag(cursor.varint())
    importance = read_importance(cursor) if flags & _FLAG_IMPORTANCE else EVEN
    geometry = _read_geometry(cursor, flags >> _GEOMETRY_SHIFT & 3, limits, levels)

    directory = cursor.offset
    words: list[int] = []
    if flags & _FLAG_SEGMENTS:
        count = cursor.varint()
        if not 2 <= count <= MAX_SEGMENTS:
            raise BitstreamError(f"a packet cannot list {count} segments", offset=directory)
        words = [cursor.varint() for _ in range(count - 1)]
    escape_bytes = 0
    if flags & _FLAG_ESCAPES:
        place = cursor.offset
        escape_bytes = cursor.varint()
        if not escape_bytes:
            raise BitstreamError("an escape section cannot be empty", offset=place)

    segments = cursor.offset
    last = cursor.left - escape_bytes - 4 * lanes * (len(words) + 1) - 2 * sum(words)
    if last < 0:
        raise TruncatedError(f"the packet is {-last} bytes too short", offset=len(view))
    if last % 2:
        raise BitstreamError("the last segment ends within a word", offset=segments)
    words.append(last // 2)

    head = PacketHead(lanes, step, geometry, tuple(words), escape_bytes, importance)
    parsed = ParsedPacket(head, cursor.take(head.segment_bytes), cursor.take(escape_bytes))
    _check_states(parsed, segments)
    return Layout(parsed, directory, segments)


def _read_geometry(
    cursor: Cursor, form: int, limits: Limits, levels: int | None
) -> Geometry | None:
    place = cursor.offset
    if form == 0:
        return None
    if form == 3:
        raise BitstreamError("a packet cannot have geometry 3", offset=place)
    if form == 2 and (levels is None or levels < 2):
        reason = "one level needs no more" if levels else "the number of levels is not known"
        raise BitstreamError(
            f"the packet carries the size of every level, and {reason}", offset=place
        )
    count = levels if form == 2 and levels else 1
    sizes = tuple((cursor.varint(), cursor.varint()) for _ in range(count))
    if not all(height and width for height, width in sizes):
        raise BitstreamError("a level has no rows or no columns", offset=place)
    side = max(map(max, sizes))
    limits.require("max_side", side, f"a level has a side of {side}", place)
    # Each level has at least one channel, so the picture has at least this many elements.
    least = sum(height * width for height, width in sizes)
    limits.require("max_elements", least, f"the levels have {least} elements or more", place)
    return Geometry(sizes)


def _check_states(parsed: ParsedPacket, offset: int) -> None:
    head = parsed.head
    states = struct.Struct(f"<{head.lanes}I")
    place = 0
    for words in head.words:
        if min(states.unpack_from(parsed.segments, place)) < STATE_LEAST:
            raise BitstreamError("a segment begins with a state below 65536", offset=offset + place)
        place += states.size + 2 * words
