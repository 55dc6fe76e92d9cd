"""A stream header and packets that fit it, for tests of the file."""

from __future__ import annotations

import struct

from fcmrt.bitstream import LevelSpec, PacketHead, StreamHeader, write_header, write_packet

ENGINE = bytes(range(32))
HEADER = StreamHeader(
    engine_digest=ENGINE, levels=(LevelSpec(name="p", channels=3, height=4, width=5),)
)
FIRST = 12 + 2 * len(write_header(HEADER))


def packet(words: int = 1) -> bytes:
    """A packet of so many words, whose payload looks like the sync of a record."""
    head = PacketHead(1, 0, None, (words,), 0)
    return write_packet(
        head, struct.pack("<I", 65536) + b"FCMP" * (words // 2) + b"ab" * (words % 2), b"", ENGINE
    )
