"""Syntax of packets, against `docs/format.md`: what is written comes back, damage is told."""

from __future__ import annotations

import binascii
import dataclasses
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.bitstream import (
    Geometry,
    LevelSpec,
    PacketHead,
    StreamHeader,
    peek_packet,
    read_packet,
    write_header,
    write_packet,
    write_packet_into,
)
from fcmrt.config import Limits
from fcmrt.errors import (
    BitstreamError,
    ChecksumError,
    ShapeError,
    TruncatedError,
)

ENGINE = bytes(range(32))
LIMITS = Limits()
LEVELS = 3
HEADER = StreamHeader(
    engine_digest=ENGINE, levels=tuple(LevelSpec(name=name, channels=2) for name in "abc")
)

sides = st.integers(1, 300)
sizes = st.tuples(sides, sides)
geometries = st.none() | st.builds(
    Geometry, st.tuples(sizes) | st.lists(sizes, min_size=3, max_size=3).map(tuple)
)


@st.composite
def packets(draw: st.DrawFn) -> tuple[PacketHead, bytes, bytes]:
    """Draws what a packet is written from."""
    escapes = draw(st.binary(max_size=20))
    head = PacketHead(
        lanes=draw(st.sampled_from((1, 2, 4, 8, 16, 32))),
        step=draw(st.integers(-(1 << 31), (1 << 31) - 1)),
        geometry=draw(geometries),
        words=tuple(draw(st.lists(st.integers(0, 20), min_size=1, max_size=5))),
        escape_bytes=len(escapes),
    )
    filling = draw(st.binary(min_size=1, max_size=8))
    segments = b""
    for words in head.words:
        segments += struct.pack("<I", 0x10000 + filling[0]) * head.lanes
        segments += (filling * (2 * words))[: 2 * words]
    return head, segments, escapes


def mend(body: bytes) -> bytes:
    """Returns the packet whose checksum is right, as the format says it, in plain steps."""
    register = 0xFFFF
    for byte in ENGINE + body:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1) ^ (0x1021 if register & 0x8000 else 0)
            register &= 0xFFFF
    if len(body) <= 4093:
        return body + struct.pack("<H", register)
    return body + struct.pack("<I", zlib.crc32(ENGINE + body))


def small_packet() -> bytes:
    head = PacketHead(2, -5, Geometry(((6, 7),)), (3, 1), 2)
    segments = struct.pack("<2I3H2IH", 70000, 80000, 1, 2, 3, 90000, 65536, 4)
    return write_packet(head, segments, b"\x05\x06", ENGINE)


def test_checksum_is_the_catalogued_one() -> None:
    """F-9: CRC-16/IBM-3740 gives 0x29B1 for its check string."""
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


def test_packet_is_laid_out_as_told() -> None:
    """F-9, and the wire part of F-4: states, then words, segment by segment."""
    # Two lanes, several segments, escapes, finest size; step -5; 6 x 7; 2 segments, 3 words; 2.
    fields = bytes((1 | 8 | 16 | 1 << 5, 9, 6, 7, 2, 3, 2))
    segments = struct.pack("<2I3H2IH", 70000, 80000, 1, 2, 3, 90000, 65536, 4)
    assert small_packet() == mend(fields + segments + b"\x05\x06")


@given(packets())
def test_packets_come_back(drawn: tuple[PacketHead, bytes, bytes]) -> None:
    """F-9, and the wire part of F-4 and F-6."""
    head, segments, escapes = drawn
    data = write_packet(head, segments, escapes, ENGINE)
    buffer = bytearray(len(data) + 3)
    assert write_packet_into(memoryview(buffer), head, segments, escapes, ENGINE) == len(data)
    assert buffer == data + bytes(3)
    with pytest.raises(ShapeError, match=str(len(data))):
        write_packet_into(memoryview(buffer)[: len(data) - 1], head, segments, escapes, ENGINE)
    assert data == mend(data[:-2])
    parsed = read_packet(data, ENGINE, LIMITS, levels=LEVELS)
    assert parsed.head == head
    assert (bytes(parsed.segments), bytes(parsed.escapes)) == (segments, escapes)


def test_parts_are_views() -> None:
    data = bytearray(small_packet())
    parsed = read_packet(data, ENGINE, LIMITS)
    data[-3] ^= 1
    assert parsed.escapes[-1] == 0x07
    assert parsed.segments.readonly


@pytest.mark.parametrize(("words", "size"), [(2043, 4094), (2044, 4098)])
def test_longer_packets_have_the_longer_checksum(words: int, size: int) -> None:
    """F-9: 16 bits up to 4095 bytes, 32 bits from 4098 on."""
    head = PacketHead(1, 0, None, (words,), 0)
    data = write_packet(head, struct.pack("<I", 65536) + bytes(2 * words), b"", ENGINE)
    assert len(data) == size
    assert data == mend(data[: -2 if size < 4096 else -4])
    assert read_packet(data, ENGINE, LIMITS).head == head


@given(packets(), st.data())
def test_up_to_three_wrong_bits_are_told(
    drawn: tuple[PacketHead, bytes, bytes], data: st.DataObject
) -> None:
    """F-9: 16 bits tell any three wrong bits in 4095 bytes."""
    packet = bytearray(write_packet(*drawn, ENGINE))
    places = st.integers(0, 8 * len(packet) - 1)
    for place in data.draw(st.sets(places, min_size=1, max_size=3)):
        packet[place // 8] ^= 1 << place % 8
    with pytest.raises(BitstreamError):
        read_packet(packet, ENGINE, LIMITS, levels=LEVELS)


@given(st.sets(st.integers(0, 8 * 4094 - 1), min_size=1, max_size=3))
@settings(max_examples=50)
def test_three_wrong_bits_are_told_in_the_longest(places: set[int]) -> None:
    """F-9."""
    head = PacketHead(1, 0, None, (2043,), 0)
    packet = bytearray(write_packet(head, struct.pack("<I", 65536) + bytes(4086), b"", ENGINE))
    for place in places:
        packet[place // 8] ^= 1 << place % 8
    with pytest.raises(ChecksumError):
        read_packet(packet, ENGINE, LIMITS)


def test_every_wrong_bit_and_every_cut_is_told() -> None:
    """F-9."""
    packet = small_packet()
    for place in range(8 * len(packet)):
        wrong = bytearray(packet)
        wrong[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read_packet(wrong, ENGINE, LIMITS)
    for cut in range(len(packet)):
        with pytest.raises(TruncatedError if cut < 8 else ChecksumError):
            read_packet(packet[:cut], ENGINE, LIMITS)


@pytest.mark.parametrize("words", [0, 3000])
def test_another_engine_is_told(words: int) -> None:
    """F-9: the digest is fed in before the packet, with both checksums."""
    head = PacketHead(1, 0, None, (words,), 0)
    data = write_packet(head, struct.pack("<I", 65536) + bytes(2 * words), b"", ENGINE)
    with pytest.raises(ChecksumError, match="another engine"):
        read_packet(data, ENGINE[:-1] + b"!", LIMITS)


@given(packets(), st.data())
@settings(max_examples=400)
def test_mended_damage_is_refused_or_another_packet(
    drawn: tuple[PacketHead, bytes, bytes], data: st.DataObject
) -> None:
    """F-1, F-9: what is accepted is what `write_packet` writes, and only BitstreamErrors come."""
    body = bytearray(write_packet(*drawn, ENGINE)[:-2])
    for _ in range(data.draw(st.integers(1, 4))):
        # Most places that matter are among the first.
        begin = data.draw(st.integers(0, min(20, len(body))) | st.integers(0, len(body)))
        body[begin : begin + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    packet = mend(bytes(body))
    try:
        parsed = read_packet(packet, ENGINE, LIMITS, levels=LEVELS)
    except BitstreamError:
        with pytest.raises(BitstreamError):
            peek_packet(packet, levels=LEVELS)
        return
    assert write_packet(*parsed, ENGINE) == packet
    assert peek_packet(packet, levels=LEVELS).head == parsed.head


@given(packets())
def test_bytes_are_accounted_for(drawn: tuple[PacketHead, bytes, bytes]) -> None:
    packet = write_packet(*drawn, ENGINE)
    header = write_header(HEADER)
    info = peek_packet(header + packet)
    assert (info.header, info.head) == (HEADER, drawn[0])
    assert info.bytes.header == len(header)
    assert sum(dataclasses.astuple(info.bytes)) == len(header + packet)
    assert info.bytes.states + info.bytes.words == len(drawn[1])
    bare = peek_packet(packet, levels=LEVELS)
    assert bare.header is None
    assert bare.bytes == dataclasses.replace(info.bytes, header=0)


def test_accounts_of_a_known_packet() -> None:
    info = peek_packet(small_packet())
    assert dataclasses.astuple(info.bytes) == (0, 4, 3, 16, 8, 2, 2)
