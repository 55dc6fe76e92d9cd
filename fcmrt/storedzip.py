"""Reads and writes the strict kind of ZIP of engine files: stored members, back to back.

Any ZIP tool reads it; this reader takes only what `pack` could have written. Each member lies
where the one before it ends, so that none can overlap, hide between others, or be read in two
ways. Record layouts are those of PKWARE's APPNOTE.TXT, 4.3.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterable

from .errors import EngineError

_LOCAL = struct.Struct("<I5H3I2H")
_CENTRAL = struct.Struct("<I6H3I5H2I")
_END = struct.Struct("<I4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = 0x04034B50, 0x02014B50, 0x06054B50

_VERSION = 20  # 2.0, the first with folders; also the newest that needs no ZIP64
_MADE_BY = 3 << 8 | _VERSION  # Unix, whose file modes stand in the attributes
_MODE = 0o100644 << 16
_DATE = 1 << 5 | 1  # 1980-01-01, the earliest: the same members give the same bytes
_ENCRYPTED = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Where a member's data lies in the archive, in bytes."""

    start: int
    size: int


def pack(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Makes an archive.

    Args:
        members: Name and data of each, in the order of the archive.

    Returns:
        The archive; the same members give the same bytes.

    Raises:
        EngineError: A name that `read` would refuse, or more than ZIP without ZIP64 can hold.
    """
    body = bytearray()
    directory = bytearray()
    count = 0
    for name, data in members:
        _check_name(name)
        raw = name.encode("ascii")
        if len(body) + len(data) + (1 << 20) >= 1 << 32:
            raise EngineError("the engine file would reach 4 GiB")
        common = (_VERSION, 0, 0, 0, _DATE, zlib.crc32(data), len(data), len(data), len(raw), 0)
        directory += _CENTRAL.pack(_CENTRAL_MARK, _MADE_BY, *common, 0, 0, 0, _MODE, len(body))
        directory += raw
        body += _LOCAL.pack(_LOCAL_MARK, *common)
        body += raw
        body += data
        count += 1
    end = _END.pack(_END_MARK, 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read(data: memoryview, max_members: int) -> dict[str, Span]:
    """Finds the members of an archive and checks their CRC-32.

    Args:
        data: The whole archive; borrowed.
        max_members: Most members that are accepted.

    Returns:
        Where each member lies, by name, in the archive's order.

    Raises:
        EngineError: It is not a ZIP, or not of the strict kind; the message says why.
    """
    directory_start, directory_end, count = _read_end(data, max_members)
    members: dict[str, Span] = {}
    place = directory_start
    offset = 0
    for _ in range(count):
        if directory_end - place < _CENTRAL.size:
            raise EngineError("the engine file's directory ends early")
        record = _CENTRAL.unpack_from(data, place)
        place += _CENTRAL.size
        if record[0] != _CENTRAL_MARK:
            raise EngineError("the engine file's directory is damaged")
        common, (comment, disk, _, _, start) = record[2:12], record[12:]
        raw = bytes(data[place : min(place + common[8], directory_end)])
        place += common[8] + common[9] + comment
        name = _check_name(raw.decode("latin-1"))
        if name in members:
            raise EngineError(f"the engine file has the member {name!r} twice")
        _check_kind(name, common, comment, disk)
        if start != offset:
            raise EngineError(
                f"member {name!r} begins at byte {start}; it must begin at {offset}, where the one "
                "before it ends"
            )
        span = _read_local(data, name, raw, common, offset, directory_start)
        members[name] = span
        offset = span.start + span.size
    if place != directory_end or offset != directory_start:
        raise EngineError("the engine file has bytes that belong to no member")
    return members


def _read_end(data: memoryview, max_members: int) -> tuple[int, int, int]:
    """Returns start and end of the directory, and the number of members."""
    end = len(data) - _END.size
    if end < 0:
        raise EngineError(f"an engine file of {len(data)} bytes is too short; it is cut off")
    mark, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, end)
    if mark != _END_MARK or comment:
        if bytes(data[:4]) != struct.pack("<I", _LOCAL_MARK):
            raise EngineError("not an engine file: it does not begin like one")
        raise EngineError("the engine file does not end like one: cut off, or something follows it")
    if disk or first_disk or here != count:
        raise EngineError("the engine file is one disk of several")
    if count > max_members:
        raise EngineError(f"the engine file has {count} members; {max_members} are allowed")
    if start + size != end:
        raise EngineError("the engine file's directory is not where its end says, or is ZIP64")
    return start, end, count


def _check_name(name: str) -> str:
    parts = name.split("/")
    plain = name.isascii() and name.isprintable() and "\\" not in name and ":" not in name
    if not plain or len(name) > 255 or not all(part.strip(". ") for part in parts):
        raise EngineError(f"member name {name[:80]!r} is not a plain relative file name")
    return name


def _check_kind(name: str, common: tuple[int, ...], comment: int, disk: int) -> None:
    version, flags, method, _, _, _, packed, size, _, extra = common
    if flags & _ENCRYPTED:
        raise EngineError(f"member {name!r} is encrypted")
    if method:
        raise EngineError(f"member {name!r} is compressed (method {method}); it must be stored")
    if packed != size:
        raise EngineError(f"member {name!r} has {packed} bytes for {size}, though it is stored")
    if flags or extra or comment or disk or version > _VERSION:
        raise EngineError(f"member {name!r} uses features of ZIP that engine files do not use")


def _read_local(
    data: memoryview, name: str, raw: bytes, common: tuple[int, ...], offset: int, limit: int
) -> Span:
    start = offset + _LOCAL.size + len(raw)
    size = common[7]
    if start + size > limit:
        raise EngineError(f"member {name!r} does not fit the engine file: damaged or cut off")
    record = _LOCAL.unpack_from(data, offset)
    if record[0] != _LOCAL_MARK:
        raise EngineError(f"member {name!r} has no header at byte {offset}")
    if record[1:] != common or bytes(data[start - len(raw) : start]) != raw:
        raise EngineError(f"member {name!r}: its header and the directory do not agree")
    if zlib.crc32(data[start : start + size]) != common[5]:
        raise EngineError(f"member {name!r} is damaged: its CRC-32 does not match")
    return Span(start, size)
