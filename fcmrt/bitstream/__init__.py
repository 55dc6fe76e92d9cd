"""Syntax of the bitstream: integers, packets and stream headers, using only the standard library.

Everything here takes untrusted bytes and raises nothing but `BitstreamError` for them.
"""

from __future__ import annotations

from .header import (
    DIGEST_BYTES,
    FEATURE_DTYPES,
    FeatureDType,
    LevelSpec,
    Profile,
    StreamHeader,
)
from .header_syntax import (
    FORMAT_VERSION,
    MAX_HEADER_BYTES,
    is_self_contained,
    read_header,
    write_header,
)
from .importance import EVEN, Importance, Rectangle, Regions
from .packet_head import Geometry, PacketHead
from .packet_syntax import (
    LEAST_PACKET_BYTES,
    ParsedPacket,
    packet_front,
    put_packet,
    read_packet,
    write_packet,
    write_packet_into,
)
from .peek import PacketBytes, PacketInfo, peek_packet
from .varint import BytesLike, byte_view, read_varint, unzigzag, write_varint, zigzag

__all__ = [
    "DIGEST_BYTES",
    "EVEN",
    "FEATURE_DTYPES",
    "FORMAT_VERSION",
    "LEAST_PACKET_BYTES",
    "MAX_HEADER_BYTES",
    "BytesLike",
    "FeatureDType",
    "Geometry",
    "Importance",
    "LevelSpec",
    "PacketBytes",
    "PacketHead",
    "PacketInfo",
    "ParsedPacket",
    "Profile",
    "Rectangle",
    "Regions",
    "StreamHeader",
    "byte_view",
    "is_self_contained",
    "packet_front",
    "peek_packet",
    "put_packet",
    "read_header",
    "read_packet",
    "read_varint",
    "unzigzag",
    "write_header",
    "write_packet",
    "write_packet_into",
    "write_varint",
    "zigzag",
]
