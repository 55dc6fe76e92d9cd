"""The integers of the bitstream, and a reader of untrusted bytes that stays within them.

Rules: `docs/format.md`, section 1.
"""

from __future__ import annotations

from typing import TypeAlias

from ..errors import BitstreamError, ConfigError, DTypeError, TruncatedError

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""For type checkers; at run time any contiguous buffer will do, such as an array of bytes."""

U32_MAX = 0xFFFF_FFFF


def byte_view(data: BytesLike) -> memoryview:
    """Views any contiguous buffer as a flat run of bytes, without copying.

    Args:
        data: A contiguous buffer; borrowed for as long as the view lives.

    Returns:
        A read-only view of `data`.

    Raises:
        DTypeError: `data` has no buffer, or one with gaps.
    """
    try:
        view = memoryview(data).toreadonly()
    except (TypeError, ValueError) as error:
        raise DTypeError(f"expected bytes, got {type(data).__name__}") from error
    if not view.c_contiguous:
        raise DTypeError("expected contiguous bytes, got a buffer with gaps")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def write_varint(value: int, *, bits: int = 32) -> bytes:
    """Writes an unsigned integer as LEB128, in its shortest form.

    Args:
        value: The integer, 0 to 2^`bits` - 1.
        bits: Width of the widest integer that may stand here.

    Raises:
        ConfigError: `value` is out of that range.
    """
    if value < 0 or value >> bits:
        raise ConfigError(f"{value} does not fit an unsigned integer of {bits} bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: BytesLike, offset: int = 0, *, bits: int = 32) -> tuple[int, int]:
    """Reads an unsigned integer written as LEB128, refusing all but the shortest form.

    Args:
        data: The bytes; nothing outside of them is read.
        offset: Where the integer begins, at least 0.
        bits: Width of the widest integer that may stand here.

    Returns:
        The integer, and the offset of the byte after it.

    Raises:
        TruncatedError: The bytes end within the integer.
        BitstreamError: The integer is not in its shortest form, or does not fit `bits`.
    """
    value = 0
    place = offset
    for shift in range(0, bits, 7):
        if place >= len(data):
            raise TruncatedError("the bytes end within an integer", offset=offset)
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise BitstreamError("an integer is not in its shortest form", offset=offset)
            if value >> bits:
                break
            return value, place
    raise BitstreamError(f"an integer does not fit {bits} bits", offset=offset)


def zigzag(value: int) -> int:
    """Maps a signed 32-bit integer to an unsigned one, small magnitudes to small numbers.

    Raises:
        ConfigError: `value` is not a signed 32-bit integer.
    """
    if not -(1 << 31) <= value < 1 << 31:
        raise ConfigError(f"{value} does not fit a signed integer of 32 bits")
    return (value << 1) ^ (value >> 31)


def unzigzag(value: int) -> int:
    """Undoes `zigzag`; `value` is an unsigned 32-bit integer."""
    return (value >> 1) ^ -(value & 1)


class Cursor:
    """A place in untrusted bytes that moves forward, field by field.

    Args:
        data: The bytes; borrowed.
        offset: Where to begin. Errors carry offsets counted from the start of `data`.
    """

    __slots__ = ("data", "offset")

    def __init__(self, data: memoryview, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return len(self.data) - self.offset

    def take(self, size: int) -> memoryview:
        """Reads `size` bytes, as a view; TruncatedError where fewer are left."""
        if size > self.left:
            raise TruncatedError(
                f"{size} bytes are needed and {self.left} are left", offset=self.offset
            )
        begin = self.offset
        self.offset = begin + size
        return self.data[begin : self.offset]

    def u8(self) -> int:
        """Reads one byte; TruncatedError where none is left."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Reads an integer of up to 32 bits; errors as `read_varint`."""
        value, self.offset = read_varint(self.data, self.offset)
        return value

    def text(self, longest: int) -> str:
        """Reads a length, and that many bytes of UTF-8.

        Raises:
            BitstreamError: The text is longer than `longest` bytes, is cut off, or is not UTF-8.
        """
        begin = self.offset
        size = self.varint()
        if size > longest:
            raise BitstreamError(f"a text has {size} bytes; at most {longest} may be", offset=begin)
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise BitstreamError("a text is not valid UTF-8", offset=begin) from error
