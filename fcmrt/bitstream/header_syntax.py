"""The bytes of a stream header.

Rules: `docs/format.md`, section 9.
"""

from __future__ import annotations

import struct
import zlib

from ..config import CodingParams, Limits
from ..errors import (
    BitstreamError,
    ChecksumError,
    ConfigError,
    TruncatedError,
    UnsupportedVersionError,
)
from .header import (
    DIGEST_BYTES,
    FEATURE_DTYPES,
    MAX_LEVELS,
    MAX_NAME_BYTES,
    MAX_NOTE_KEY_BYTES,
    MAX_NOTE_VALUE_BYTES,
    MAX_NOTES,
    PROFILES,
    LevelSpec,
    StreamHeader,
)
from .varint import BytesLike, Cursor, byte_view, write_varint

FORMAT_VERSION = (0, 1)
"""Major and minor version of the format that this library writes and reads."""

HEADER_MAGIC = b"FCMH"
MAX_BODY_BYTES = 65536
MAX_HEADER_BYTES = len(HEADER_MAGIC) + 2 + 3 + MAX_BODY_BYTES + 4


def _text(data: bytes) -> bytes:
    return write_varint(len(data)) + data


def write_header(header: StreamHeader) -> bytes:
    """Writes a stream header, checksum included.

    Raises:
        ConfigError: Names and notes together make it longer than the format allows.
    """
    body = bytearray(header.engine_digest)
    body.append(PROFILES.index(header.profile))
    if header.profile == "same-engine":
        body += header.runner_digest or bytes(DIGEST_BYTES)
    for number in (
        header.coding.overhead_permille,
        *header.time_base,
        header.picture_width,
        header.picture_height,
        header.input_width,
        header.input_height,
        len(header.levels),
    ):
        body += write_varint(number)
    for level in header.levels:
        body += _text(level.name.encode())
        for number in (level.channels, level.height, level.width):
            body += write_varint(number)
        body.append(FEATURE_DTYPES.index(level.dtype))
    body += write_varint(len(header.notes))
    for key, value in header.notes:
        body += _text(key.encode()) + _text(value.encode())
    if len(body) > MAX_BODY_BYTES:
        raise ConfigError(
            f"the header's body has {len(body)} bytes; shorten the notes to fit 65536"
        )
    out = HEADER_MAGIC + bytes(FORMAT_VERSION) + write_varint(len(body)) + body
    return out + struct.pack("<I", zlib.crc32(out))


def is_self_contained(data: BytesLike) -> bool:
    """Returns whether bytes begin with a stream header (True) or may be a bare packet (False)."""
    return bytes(byte_view(data)[:4]) == HEADER_MAGIC


def read_header(data: BytesLike, *, limits: Limits | None = None) -> tuple[StreamHeader, int]:
    """Reads the stream header at the start of some bytes.

    Args:
        data: Untrusted bytes; more may follow the header. No reference to them is kept.
        limits: Bounds on the sizes of the levels; None: the default ones.

    Returns:
        The header, and how many bytes it takes.

    Raises:
        TruncatedError: The bytes end within the header.
        UnsupportedVersionError: It has another version of the format.
        ChecksumError: It is damaged.
        LimitExceededError: Its levels are larger than the limits allow.
        BitstreamError: It is malformed in another way.
    """
    limits = limits or Limits()
    cursor = Cursor(byte_view(data))
    magic = bytes(cursor.data[:4])
    if not HEADER_MAGIC.startswith(magic):
        raise BitstreamError("a stream header must begin with FCMH", offset=0)
    cursor.take(4)
    version = (cursor.u8(), cursor.u8())
    if version != FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"the stream is of format {version[0]}.{version[1]}, this library reads "
            f"{FORMAT_VERSION[0]}.{FORMAT_VERSION[1]}",
            offset=4,
        )
    body_bytes = cursor.varint()
    if body_bytes > MAX_BODY_BYTES:
        raise BitstreamError(f"the stream header claims {body_bytes} bytes", offset=6)
    begin = cursor.offset
    end = begin + body_bytes
    if end + 4 > len(cursor.data):
        raise TruncatedError("the bytes end within the stream header", offset=len(cursor.data))
    if zlib.crc32(cursor.data[:end]) != int.from_bytes(cursor.data[end : end + 4], "little"):
        raise ChecksumError("the checksum of the stream header does not match", offset=end)
    body = Cursor(cursor.data[:end], begin)
    try:
        header = _read_body(body, limits)
    except ConfigError as error:
        raise BitstreamError(f"the stream header is malformed: {error}", offset=begin) from error
    if body.left:
        raise BitstreamError(
            f"{body.left} bytes are left over in the stream header", offset=body.offset
        )
    return header, end + 4


def _one_of(cursor: Cursor, what: str, names: tuple[str, ...]) -> int:
    number = cursor.u8()
    if number >= len(names):
        raise BitstreamError(f"{what} number {number} is not known", offset=cursor.offset - 1)
    return number


def _read_body(body: Cursor, limits: Limits) -> StreamHeader:
    engine_digest = bytes(body.take(DIGEST_BYTES))
    profile = PROFILES[_one_of(body, "profile", PROFILES)]
    runner = bytes(body.take(DIGEST_BYTES)) if profile == "same-engine" else b""
    coding = CodingParams(overhead_permille=body.varint())
    time_base = (body.varint(), body.varint())
    pictures = tuple(body.varint() for _ in range(4))
    level_count = body.varint()
    if not 1 <= level_count <= MAX_LEVELS:
        raise BitstreamError(f"there are {level_count} levels", offset=body.offset)
    levels = []
    elements = 0
    for _ in range(level_count):
        place = body.offset
        level = LevelSpec(
            name=body.text(MAX_NAME_BYTES),
            channels=body.varint(),
            height=body.varint(),
            width=body.varint(),
            dtype=FEATURE_DTYPES[_one_of(body, "dtype", FEATURE_DTYPES)],
        )
        elements += level.channels * max(level.height * level.width, 1)
        side, so_far = max(level.height, level.width), f"the levels up to {level.name!r} have"
        limits.require("max_side", side, f"level {level.name!r} has a side of {side}", place)
        limits.require("max_elements", elements, f"{so_far} {elements} elements", place)
        levels.append(level)
    note_count = body.varint()
    if note_count > MAX_NOTES:
        raise BitstreamError(f"there are {note_count} notes", offset=body.offset)
    notes = [
        (body.text(MAX_NOTE_KEY_BYTES), body.text(MAX_NOTE_VALUE_BYTES)) for _ in range(note_count)
    ]
    return StreamHeader(
        engine_digest=engine_digest,
        levels=tuple(levels),
        profile=profile,
        runner_digest=runner if any(runner) else None,
        coding=coding,
        time_base=time_base,
        picture_width=pictures[0],
        picture_height=pictures[1],
        input_width=pictures[2],
        input_height=pictures[3],
        notes=tuple(notes),
    )
