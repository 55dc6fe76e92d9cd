"""The bytes of a packet's importance.

Rules: `docs/format.md`, section 7.
"""

from __future__ import annotations

from ..errors import BitstreamError, ConfigError
from .importance import MAX_BLOCK_BITS, MAX_GROUPS, MAX_RECTANGLES, Importance, Rectangle, Regions
from .varint import Cursor, unzigzag, write_varint, zigzag

_REGIONS = 0x01
_MIX = 0x02
_GROUPS_SHIFT = 2
_OWN_OFFSETS = 0x10


def write_importance(importance: Importance) -> bytes:
    """Writes an importance, which must not be empty."""
    groups = range(importance.groups)
    parts = len(groups) << _GROUPS_SHIFT
    fields = b"".join(write_varint(zigzag(importance.offset(group))) for group in groups)
    if importance.mix:
        parts |= _MIX
        fields += b"".join(write_varint(importance.mixed(group)) for group in groups)
    if importance.regions is not None:
        parts |= _REGIONS
        fields += _write_regions(importance.regions)
    return write_varint(parts) + fields


def _write_regions(regions: Regions) -> bytes:
    first = regions.rectangles[0]
    own = any(rectangle.offset != first.offset for rectangle in regions.rectangles)
    out = write_varint(regions.block_bits | (_OWN_OFFSETS if own else 0))
    out += write_varint(len(regions.rectangles))
    out += b"" if own else write_varint(zigzag(first.offset))
    above = 0
    for row, column, rows, columns, offset in regions.rectangles:
        for number in (row - above, column, rows - 1, columns - 1):
            out += write_varint(number)
        out += write_varint(zigzag(offset)) if own else b""
        above = row
    return out


def read_importance(cursor: Cursor) -> Importance:
    """Reads an importance.

    Raises:
        TruncatedError: The bytes end within it.
        BitstreamError: It is malformed, empty, or not in the form that the format requires.
    """
    begin = cursor.offset
    parts = cursor.varint()
    groups = parts >> _GROUPS_SHIFT
    if groups > MAX_GROUPS:
        raise BitstreamError(f"a packet cannot have {groups} groups", offset=begin)
    offsets = tuple(unzigzag(cursor.varint()) for _ in range(groups))
    mix = tuple(cursor.varint() for _ in range(groups)) if parts & _MIX else ()
    try:
        regions = _read_regions(cursor) if parts & _REGIONS else None
        importance = Importance(offsets, mix, regions)
    except ConfigError as error:
        raise BitstreamError(
            f"a packet's importance is malformed: {error}", offset=begin
        ) from error
    if not importance:
        raise BitstreamError("a packet's importance is empty", offset=begin)
    if importance.groups != groups or bool(importance.mix) != bool(parts & _MIX):
        raise BitstreamError("a packet's importance ends in groups or a mix of 0", offset=begin)
    return importance


def _read_regions(cursor: Cursor) -> Regions:
    begin = cursor.offset
    form = cursor.varint()
    own = bool(form & _OWN_OFFSETS)
    block_bits = form & ~_OWN_OFFSETS
    if block_bits > MAX_BLOCK_BITS:
        raise BitstreamError(f"regions cannot have the form {form}", offset=begin)
    count = cursor.varint()
    if count > MAX_RECTANGLES:
        raise BitstreamError(f"a packet cannot have {count} rectangles", offset=begin)
    common = 0 if own else unzigzag(cursor.varint())
    rectangles = []
    row = 0
    for _ in range(count):
        row += cursor.varint()
        column, rows, columns = cursor.varint(), cursor.varint() + 1, cursor.varint() + 1
        offset = unzigzag(cursor.varint()) if own else common
        rectangles.append(Rectangle(row, column, rows, columns, offset))
    if own and len({rectangle.offset for rectangle in rectangles}) < 2:
        raise BitstreamError("the rectangles repeat an offset that all share", offset=begin)
    return Regions(block_bits, tuple(rectangles))
