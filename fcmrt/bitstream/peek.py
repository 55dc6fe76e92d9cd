"""What can be read of a packet without its engine, for people and tools that inspect streams."""

from __future__ import annotations

import dataclasses

from ..config import Limits
from .header import StreamHeader
from .header_syntax import is_self_contained, read_header
from .packet_head import PacketHead
from .packet_syntax import checksum_offset, parse_fields
from .varint import BytesLike, byte_view


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PacketBytes:
    """How many bytes each part of a packet takes; they add up to its length."""

    header: int
    """Stream header of a self-contained packet, 0 for a bare one."""

    head: int
    """Flags, quality step, importance and geometry."""

    directory: int
    """Number of segments, their lengths, length of the escape section."""

    states: int
    """First states of all lanes."""

    words: int
    """Words of all segments."""

    escapes: int
    """Escape section."""

    checksum: int
    """Checksum, 2 or 4."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PacketInfo:
    """A packet's fields, as they stand in it; nothing was verified with an engine."""

    header: StreamHeader | None
    """Its stream header if it is self-contained, otherwise None."""

    head: PacketHead
    """Its fields."""

    bytes: PacketBytes
    """How many bytes each of its parts takes."""


def peek_packet(
    data: BytesLike, *, limits: Limits | None = None, levels: int | None = None
) -> PacketInfo:
    """Parses a packet, bare or self-contained, without an engine.

    The packet's checksum needs the engine's digest, so it is not verified here.

    Args:
        data: The untrusted bytes of one packet, no more and no less. No reference to them is kept.
        limits: Bounds on what the bytes may ask for; None: the default ones.
        levels: Number of feature levels. Only a bare packet that carries the size of every level
            needs it; None: such packets are refused.

    Raises:
        BitstreamError: The bytes are malformed; offsets count from the start of `data`.
    """
    limits = limits or Limits()
    view = byte_view(data)
    header = None
    begin = 0
    if is_self_contained(view):
        header, begin = read_header(view, limits=limits)
        levels = len(header.levels)
    checksum = begin + checksum_offset(len(view) - begin, limits)
    layout = parse_fields(view[:checksum], begin, limits, levels)
    head = layout.parsed.head
    return PacketInfo(
        header=header,
        head=head,
        bytes=PacketBytes(
            header=begin,
            head=layout.directory - begin,
            directory=layout.segments - layout.directory,
            states=4 * head.lanes * len(head.words),
            words=2 * sum(head.words),
            escapes=head.escape_bytes,
            checksum=len(view) - checksum,
        ),
    )
