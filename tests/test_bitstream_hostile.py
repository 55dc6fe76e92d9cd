"""Packets that must be refused, against `docs/format.md`."""

from __future__ import annotations

import binascii
import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.bitstream import (
    Geometry,
    LevelSpec,
    PacketHead,
    StreamHeader,
    is_self_contained,
    peek_packet,
    read_header,
    read_packet,
    write_header,
    write_packet,
)
from fcmrt.config import Limits
from fcmrt.errors import (
    BitstreamError,
    ConfigError,
    DTypeError,
    LimitExceededError,
)

ENGINE = bytes(range(32))
LIMITS = Limits()
TAIL = struct.pack("<I", 65536)
HEADER = StreamHeader(
    engine_digest=ENGINE, levels=tuple(LevelSpec(name=name, channels=2) for name in "abc")
)
SMALL = write_packet(PacketHead(1, -5, Geometry(((6, 7),)), (1,), 1), TAIL + b"ab", b"!", ENGINE)


def mend(body: bytes) -> bytes:
    """Returns the packet of at most 4095 bytes whose checksum is right."""
    return body + struct.pack("<H", binascii.crc_hqx(body, binascii.crc_hqx(ENGINE, 0xFFFF)))


@pytest.mark.parametrize("size", [4096, 4097])
def test_no_packet_has_a_size_between(size: int) -> None:
    """F-9."""
    with pytest.raises(BitstreamError, match="no packet has"):
        read_packet(bytes(size), ENGINE, LIMITS)
    with pytest.raises(BitstreamError, match="no packet has"):
        peek_packet(bytes(size))


@pytest.mark.parametrize(
    ("body", "error", "offset"),
    [
        (b"\x06\0" + TAIL, "flags 0x06", 0),
        (b"\x07\0" + TAIL, "flags 0x07", 0),
        (b"\x80\0" + TAIL, "is empty", 2),
        (b"\x60\0" + TAIL, "geometry 3", 2),
        (b"\x40\0\1\1\1\1" + TAIL, "number of levels is not known", 2),
        (b"\x20\0\0\1" + TAIL, "no rows", 2),
        (b"\x08\0\1" + TAIL, "1 segments", 2),
        (b"\x08\0\x81\x02" + TAIL, "257 segments", 2),
        (b"\x08\0\2\x7f" + TAIL + TAIL, "too short", 12),
        (b"\x10\0\0" + TAIL, "cannot be empty", 2),
        (b"\x10\0\5" + TAIL, "too short", 7),
        (b"\x05\0" + TAIL, "too short", 6),
        (b"\0\0" + TAIL + b"!", "within a word", 2),
        (b"\0\0\xff\xff\0\0", "below 65536", 2),
        (b"\x08\0\2\1" + TAIL + b"ab\0\0\0\0", "below 65536", 10),
    ],
)
def test_malformed_packets_are_refused(body: bytes, error: str, offset: int) -> None:
    """F-4: first states too low among them."""
    packet = mend(body)
    with pytest.raises(BitstreamError, match=error) as caught:
        read_packet(packet, ENGINE, LIMITS)
    assert caught.value.offset == offset
    header = write_header(HEADER)
    with pytest.raises(BitstreamError) as caught:
        peek_packet(header + packet)
    if "levels" not in error:
        assert caught.value.offset == len(header) + offset


def test_limits_are_kept() -> None:
    packet = SMALL
    for limits in (
        Limits(max_packet_bytes=len(packet) - 1),
        Limits(max_side=6),
        Limits(max_elements=41),
    ):
        with pytest.raises(LimitExceededError):
            read_packet(packet, ENGINE, limits)
        with pytest.raises(LimitExceededError):
            peek_packet(packet, limits=limits)
    read_packet(packet, ENGINE, Limits(max_packet_bytes=len(packet), max_side=7, max_elements=42))


def test_claims_make_no_room() -> None:
    """Sizes in hostile bytes are not allocated."""
    bodies = [
        b"\x08\0\x80\x02" + b"\xff\xff\xff\xff\x0f" * 255 + TAIL,
        b"\x10\0\xff\xff\xff\xff\x0f" + TAIL,
        b"\x20\0\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f" + TAIL,
    ]
    header = write_header(HEADER)
    length = header[:6] + b"\xff\xff\xff\x0f"
    tracemalloc.start()
    try:
        for body in bodies:
            with pytest.raises(BitstreamError):
                read_packet(mend(body), ENGINE, LIMITS)
        with pytest.raises(BitstreamError):
            read_header(length)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_self_contained_packets_are_told() -> None:
    header, packet = write_header(HEADER), SMALL
    assert is_self_contained(header + packet)
    assert not is_self_contained(packet)
    assert not is_self_contained(b"FCM")
    with pytest.raises(BitstreamError, match="carries its stream header"):
        read_packet(header + packet, ENGINE, LIMITS)


@pytest.mark.parametrize(
    ("given_sizes", "strides", "kept"),
    [
        (((9, 5), (5, 3), (3, 2)), (1, 2, 4), 1),
        (((9, 5), (4, 3), (3, 2)), (1, 2, 4), 3),
        (((3, 2), (5, 3), (9, 5)), (4, 2, 1), 1),
        (((9, 5),), (1,), 1),
        (((9, 5), (9, 6)), (1, 1), 2),
    ],
)
def test_geometry_takes_the_shorter_form(
    given_sizes: tuple[tuple[int, int], ...], strides: tuple[int, ...], kept: int
) -> None:
    geometry = Geometry.of_levels(given_sizes, strides)
    assert len(geometry.sizes) == kept
    assert geometry.level_sizes(strides) == given_sizes


def test_geometry_refuses_what_an_encoder_must_not_write() -> None:
    with pytest.raises(BitstreamError, match="the finest would do"):
        Geometry(((9, 5), (5, 3))).level_sizes((1, 2))
    with pytest.raises(BitstreamError, match="2 levels, the engine has 3"):
        Geometry(((9, 5), (5, 3))).level_sizes((1, 2, 4))
    packet = mend(b"\x40\0\1\1" + TAIL)
    with pytest.raises(BitstreamError, match="one level needs no more"):
        read_packet(packet, ENGINE, LIMITS, levels=1)
    for wrong in ((), ((0, 1),), ((1, 1 << 32),)):
        with pytest.raises(ConfigError):
            Geometry(wrong)
    with pytest.raises(ConfigError):
        Geometry.of_levels(((4, 4),), (2,))


@pytest.mark.parametrize(
    "change",
    [
        {"lanes": 3},
        {"step": 1 << 31},
        {"words": ()},
        {"words": (0,) * 257},
        {"words": (-1,)},
        {"escape_bytes": -1},
    ],
)
def test_wrong_heads_are_refused(change: dict[str, object]) -> None:
    fields = {"lanes": 1, "step": 0, "geometry": None, "words": (0,), "escape_bytes": 0}
    with pytest.raises(ConfigError):
        PacketHead(**{**fields, **change})  # type: ignore[arg-type]


def test_writing_refuses_contradictions() -> None:
    head = PacketHead(1, 0, None, (1,), 0)
    with pytest.raises(ConfigError, match="6 bytes of segments"):
        write_packet(head, TAIL, b"", ENGINE)
    with pytest.raises(ConfigError, match="0 of escapes"):
        write_packet(head, TAIL + b"ab", b"!", ENGINE)
    with pytest.raises(ConfigError, match="digest"):
        write_packet(head, TAIL + b"ab", b"", b"short")


@given(st.binary(max_size=100))
def test_any_bytes_give_only_bitstream_errors(data: bytes) -> None:
    for read in (
        lambda: read_packet(data, ENGINE, LIMITS),
        lambda: read_packet(mend(data), ENGINE, LIMITS, levels=3),
        lambda: read_header(b"FCMH\x00\x01" + data),
        lambda: peek_packet(data),
    ):
        with contextlib.suppress(BitstreamError):
            read()


def test_anything_like_bytes_will_do() -> None:
    packet = write_packet(PacketHead(1, 0, None, (3,), 0), TAIL + b"abcdef", b"", ENGINE)
    for data in (bytearray(packet), memoryview(packet), memoryview(packet).cast("H")):
        assert read_packet(data, ENGINE, LIMITS).head.words == (3,)
    with pytest.raises(DTypeError):
        read_packet("text", ENGINE, LIMITS)  # type: ignore[arg-type]
    with pytest.raises(DTypeError):
        read_packet(memoryview(packet)[::2], ENGINE, LIMITS)
