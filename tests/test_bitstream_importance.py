"""The bytes of a packet's importance, against `docs/format.md`, section 7."""

from __future__ import annotations

import binascii
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.bitstream import (
    EVEN,
    Geometry,
    Importance,
    PacketHead,
    Rectangle,
    Regions,
    peek_packet,
    read_packet,
    write_packet,
)
from fcmrt.bitstream.importance_syntax import read_importance, write_importance
from fcmrt.bitstream.varint import Cursor
from fcmrt.config import Limits
from fcmrt.errors import BitstreamError, ConfigError, TruncatedError
from fcmrt.importance import regions_of

ENGINE = bytes(range(32))
LIMITS = Limits()
STATE = struct.pack("<I", 65536)

offsets = st.lists(st.integers(-255, 255), max_size=64).map(tuple)
mixes = st.lists(st.integers(0, 1 << 20), max_size=64).map(tuple)


@st.composite
def regions(draw: st.DrawFn) -> Regions | None:
    """Regions as they follow from a grid of few different offsets."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    few = draw(st.sampled_from([(0, -8), (0, -1, 255), (-3, -255), (0, 0, 0, 7)]))
    cells = draw(st.lists(st.sampled_from(few), min_size=rows * columns, max_size=rows * columns))
    return regions_of(np.array(cells, np.int16).reshape(rows, columns), draw(st.integers(0, 2)))


importances = st.builds(Importance, offsets, mixes, regions())


def packet(importance: Importance, **more: Any) -> bytes:
    fields = {"lanes": 1, "step": -5, "geometry": None, "words": (1,), "escape_bytes": 0} | more
    head = PacketHead(importance=importance, **fields)  # type: ignore[arg-type]
    return write_packet(head, STATE + b"ab", b"", ENGINE)


def mended(importance: bytes) -> bytes:
    """A packet with these bytes as its importance."""
    body = b"\x80\x00" + importance + STATE
    return body + struct.pack("<H", binascii.crc_hqx(body, binascii.crc_hqx(ENGINE, 0xFFFF)))


@given(importances, st.sampled_from([None, Geometry(((6, 7),))]))
def test_what_is_written_is_read(importance: Importance, geometry: Geometry | None) -> None:
    data = packet(importance, geometry=geometry)
    head = read_packet(data, ENGINE, LIMITS).head
    assert head.importance == importance
    assert head.geometry == geometry
    assert peek_packet(data).head == head


@given(importances, st.binary(max_size=3), st.data())
@settings(max_examples=300)
def test_an_importance_has_one_form(
    importance: Importance, noise: bytes, data: st.DataObject
) -> None:
    """F-11: whatever is accepted is what would be written, bytes changed or not."""
    section = packet(importance)[2:-8] if importance else b""
    place = data.draw(st.integers(0, len(section)))
    for other in section[:place] + noise + section[place + len(noise) :], noise:
        changed = mended(other)
        try:
            head = read_packet(changed, ENGINE, LIMITS).head
        except BitstreamError:
            continue
        payload = changed[-6 - 2 * head.words[0] : -2]
        assert write_packet(head, payload, b"", ENGINE) == changed


def test_no_importance_costs_nothing() -> None:
    plain = PacketHead(1, -5, None, (1,), 0)
    assert packet(Importance((0, 0), (0,))) == write_packet(plain, STATE + b"ab", b"", ENGINE)
    assert not Importance((0,), (0, 0))
    assert Importance((0, 1, 0)) == Importance((0, 1))
    assert plain.importance is EVEN


@pytest.mark.parametrize(
    ("importance", "size"),
    [
        (Importance((), (9,)), 3),
        (Importance((), (200,)), 4),
        (Importance((2, 0, -4)), 4),
        (Importance(regions=Regions(2, (Rectangle(3, 4, 5, 6, -8),))), 8),
        (
            Importance(regions=Regions(0, tuple(Rectangle(9 * n, 4, 5, 6, -8) for n in range(4)))),
            20,
        ),
    ],
)
def test_it_is_small(importance: Importance, size: int) -> None:
    assert len(packet(importance)) - len(packet(EVEN)) == size


@pytest.mark.parametrize(
    ("section", "error"),
    [
        (b"\0", "is empty"),
        (b"\4\0", "is empty"),
        (b"\2", "is empty"),
        (b"\6\2\0", "mix of 0"),
        (b"\x08\2\0", "groups"),
        (b"\x84\2" + b"\0" * 65, "65 groups"),
        (b"\4\x80\4", "beyond 255"),
        (b"\1\x0d\1\2\0\0\0\0", "form 13"),
        (b"\1\x20\1\2\0\0\0\0", "form 32"),
        (b"\1\0\0\2", "0 rectangles"),
        (b"\1\0\x81\2\2", "257 rectangles"),
        (b"\1\0\1\0\0\0\0\0", "offset that is 0"),
        (b"\1\x10\1\0\0\0\0\2", "repeat an offset"),
        (b"\1\x10\2\0\0\0\0\2\2\0\0\0\2", "repeat an offset"),
        (b"\1\0\2\2\0\0\0\0\0\0\0\0", "not in order"),
        (b"\1\0\2\2\0\5\0\0\0\0\0\0", "not in order"),
        (b"\1\0\2\2\0\0\1\1\1\0\0\0", "overlap"),
        (b"\1\0\2\2\0\0\0\0\0\1\0\0", "to the right"),
        (b"\1\0\2\2\0\0\0\1\1\0\0\1", "downwards"),
        (b"\1\0\3\2\0\0\0\2\1\0\0\0\0\1\0\1", "downwards"),
        (b"\1\0\1\2\x80\x80\4\0\0\0", "reaches beyond"),
        (b"\1\0\1\2\xff\xff\xff\xff\x0f\0\xff\xff\xff\xff\x0f\0", "reaches beyond"),
    ],
)
def test_other_forms_are_refused(section: bytes, error: str) -> None:
    """F-11."""
    with pytest.raises(BitstreamError, match=error):
        read_packet(mended(section), ENGINE, LIMITS)
    with pytest.raises(BitstreamError, match=error):
        peek_packet(mended(section))


def test_a_rectangle_over_a_narrower_one_stays() -> None:
    """It cannot go on downwards where a part of the row is missing or has another offset."""
    narrower = Regions(0, (Rectangle(0, 0, 1, 3, -8), Rectangle(1, 0, 1, 2, -8)))
    assert len(narrower.rectangles) == 2
    other = Regions(0, (Rectangle(0, 0, 1, 2, -8), Rectangle(1, 0, 1, 2, 3)))
    assert len(other.rectangles) == 2


def test_every_cut_is_refused() -> None:
    regions = Regions(1, (Rectangle(0, 1, 2, 3, -8), Rectangle(4, 0, 1, 1, 5)))
    section = memoryview(write_importance(Importance((2, 0, -4), (300,), regions)))
    assert read_importance(Cursor(section)).regions == regions
    for end in range(len(section)):
        with pytest.raises(TruncatedError):
            read_importance(Cursor(section[:end]))


@pytest.mark.parametrize(
    "change",
    [
        {"offsets": (256,)},
        {"offsets": (1,) * 65},
        {"mix": (-1,)},
        {"mix": (1 << 32,)},
    ],
)
def test_an_importance_out_of_range_is_not_made(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Importance(**change)
