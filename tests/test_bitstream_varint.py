"""Integers of the bitstream, against `docs/format.md`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.bitstream import (
    read_varint,
    unzigzag,
    write_varint,
    zigzag,
)
from fcmrt.errors import (
    BitstreamError,
    ConfigError,
    TruncatedError,
)


def test_varints_are_leb128() -> None:
    """F-1: seven bits a byte, least significant first."""
    assert write_varint(0) == b"\0"
    assert write_varint(127) == b"\x7f"
    assert write_varint(128) == b"\x80\x01"
    assert write_varint(300) == b"\xac\x02"
    assert write_varint(0xFFFF_FFFF) == b"\xff\xff\xff\xff\x0f"


@given(st.integers(0, (1 << 33) - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_varints_come_back(value: int, before: bytes, after: bytes) -> None:
    """F-1, and F-6 for the 33 bits of an escape."""
    coded = write_varint(value, bits=33)
    assert len(coded) <= 5
    assert read_varint(before + coded + after, len(before), bits=33) == (
        value,
        len(before) + len(coded),
    )
    if value >> 32:
        with pytest.raises(BitstreamError, match="32 bits"):
            read_varint(coded)
    for cut in range(len(coded)):
        with pytest.raises(TruncatedError):
            read_varint(coded[:cut], bits=33)


@given(st.binary(max_size=7))
def test_a_varint_has_one_form(data: bytes) -> None:
    """F-1: whatever is accepted is the shortest form."""
    try:
        value, end = read_varint(data)
    except BitstreamError:
        return
    assert write_varint(value) == data[:end]


@pytest.mark.parametrize(
    "data", [b"\x80\x00", b"\xff\x80\x00", b"\xff\xff\xff\xff\x1f", b"\x80\x80\x80\x80\x80\x01"]
)
def test_varints_too_long_are_refused(data: bytes) -> None:
    """F-1: not the shortest form, or more than 32 bits."""
    with pytest.raises(BitstreamError) as caught:
        read_varint(b"\x01" + data, 1)
    assert caught.value.offset == 1


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_varints_out_of_range_are_not_written(value: int) -> None:
    """F-1."""
    with pytest.raises(ConfigError):
        write_varint(value)


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_zigzag_comes_back(value: int) -> None:
    assert unzigzag(zigzag(value)) == value
    assert 0 <= zigzag(value) < 1 << 32


def test_zigzag_puts_small_numbers_first() -> None:
    assert [zigzag(v) for v in (0, -1, 1, -2, 2, -(1 << 31))] == [0, 1, 2, 3, 4, (1 << 32) - 1]
    with pytest.raises(ConfigError):
        zigzag(1 << 31)
