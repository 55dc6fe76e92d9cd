"""Syntax of stream headers, against `docs/format.md`."""

from __future__ import annotations

import dataclasses
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.bitstream import (
    LevelSpec,
    StreamHeader,
    read_header,
    read_varint,
    write_header,
    write_varint,
)
from fcmrt.config import CodingParams, Limits
from fcmrt.errors import (
    BitstreamError,
    ConfigError,
    LimitExceededError,
    TruncatedError,
    UnsupportedVersionError,
)

ENGINE = bytes(range(32))
sides = st.integers(1, 300)
sizes = st.tuples(sides, sides)


def full_header() -> StreamHeader:
    return StreamHeader(
        engine_digest=ENGINE,
        profile="same-engine",
        runner_digest=b"r" * 32,
        coding=CodingParams(overhead_permille=1000),
        time_base=(1001, 30000),
        picture_width=1920,
        picture_height=1080,
        input_width=416,
        input_height=320,
        levels=(
            LevelSpec(name="p3", channels=128, height=40, width=52, dtype="float16"),
            LevelSpec(name="p4", channels=128),
            LevelSpec(name="é", channels=1, height=10, width=13),
        ),
        notes=(("", ""), ("task", "detection"), ("k" * 64, "v" * 1024)),
    )


texts = st.text(max_size=16)
u32 = st.integers(0, 0xFFFF_FFFF)
level_sizes = st.just((0, 0)) | sizes
levels = st.builds(
    lambda name, channels, size, dtype: LevelSpec(
        name=name, channels=channels, height=size[0], width=size[1], dtype=dtype
    ),
    st.text(min_size=1, max_size=16),
    st.integers(1, 50),
    level_sizes,
    st.sampled_from(("float32", "float16")),
)
headers = st.builds(
    lambda profile, runner, **fields: StreamHeader(
        profile=profile,
        runner_digest=runner if profile == "same-engine" and any(runner or b"") else None,
        **fields,
    ),
    profile=st.sampled_from(("exact", "same-engine")),
    runner=st.none() | st.binary(min_size=32, max_size=32),
    engine_digest=st.binary(min_size=32, max_size=32),
    coding=st.builds(CodingParams, overhead_permille=st.integers(1, 1000)),
    time_base=st.tuples(st.integers(1, 0xFFFF_FFFF), st.integers(1, 0xFFFF_FFFF)),
    picture_width=u32,
    picture_height=u32,
    input_width=u32,
    input_height=u32,
    levels=st.lists(levels, min_size=1, max_size=4, unique_by=lambda level: level.name).map(tuple),
    notes=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


@given(headers, st.binary(max_size=5))
def test_headers_come_back(header: StreamHeader, after: bytes) -> None:
    data = write_header(header)
    assert read_header(data + after) == (header, len(data))


def test_every_wrong_bit_and_every_cut_of_a_header_is_told() -> None:
    data = write_header(dataclasses.replace(full_header(), notes=()))
    for place in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[place // 8] ^= 1 << place % 8
        with pytest.raises(BitstreamError):
            read_header(wrong)
    for cut in range(len(data)):
        with pytest.raises(TruncatedError):
            read_header(data[:cut])


@given(headers, st.data())
@settings(max_examples=400)
def test_mended_damage_of_a_header_is_refused_or_another_header(
    header: StreamHeader, data: st.DataObject
) -> None:
    """F-1: what is accepted is what `write_header` writes, and only BitstreamErrors come."""
    whole = write_header(header)
    start = 6 + len(write_varint(read_varint(whole, 6)[0]))
    body = bytearray(whole[start:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(32, len(body)))
        body[begin : begin + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    coded = whole[:6] + write_varint(len(body)) + body
    coded += struct.pack("<I", zlib.crc32(coded))
    try:
        found, size = read_header(coded)
    except BitstreamError:
        return
    assert size == len(coded)
    assert write_header(found) == coded


def test_headers_of_other_versions_are_refused() -> None:
    data = write_header(full_header())
    for version in (b"\x00\x02", b"\x01\x01", b"\x00\x00"):
        with pytest.raises(UnsupportedVersionError, match=r"this library reads 0\.1"):
            read_header(data[:4] + version + data[6:])
    with pytest.raises(BitstreamError, match="begin with FCMH"):
        read_header(b"FCMX" + data[4:])


def test_header_limits_are_kept() -> None:
    data = write_header(full_header())
    elements = 128 * 40 * 52 + 128 + 10 * 13
    assert read_header(data, limits=Limits(max_side=52, max_elements=elements))
    for limits in (Limits(max_side=51), Limits(max_elements=elements - 1)):
        with pytest.raises(LimitExceededError):
            read_header(data, limits=limits)


def test_headers_tell_sizes_where_they_can() -> None:
    assert full_header().sizes is None
    assert full_header().elements is None
    header = StreamHeader(
        engine_digest=ENGINE, levels=(LevelSpec(name="a", channels=3, height=4, width=5),)
    )
    assert header.sizes == ((4, 5),)
    assert header.elements == 60


LEVEL = LevelSpec(name="a", channels=1)


@pytest.mark.parametrize(
    "change",
    [
        {"engine_digest": b"short"},
        {"profile": "other"},
        {"profile": "exact"},
        {"runner_digest": bytes(32)},
        {"runner_digest": b"short"},
        {"time_base": (0, 1)},
        {"time_base": (1, 1 << 32)},
        {"time_base": (1,)},
        {"picture_width": -1},
        {"input_height": 1 << 32},
        {"levels": ()},
        {"levels": (LEVEL, LEVEL)},
        {"levels": tuple(LevelSpec(name=str(n), channels=1) for n in range(65))},
        {"notes": (("k" * 65, ""),)},
        {"notes": (("", "v" * 1025),)},
        {"notes": (("", "\ud800"),)},
        {"notes": (("", ""),) * 65},
    ],
)
def test_wrong_headers_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(full_header(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "n" * 65},
        {"name": "ü" * 33},
        {"channels": 0},
        {"height": 3},
        {"height": -1, "width": -1},
        {"dtype": "int8"},
    ],
)
def test_wrong_levels_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(LEVEL, **change)  # type: ignore[arg-type]


def test_a_header_has_a_longest_size() -> None:
    notes = tuple(("k" * 64, "v" * 1024) for _ in range(64))
    with pytest.raises(ConfigError, match="65536"):
        write_header(dataclasses.replace(full_header(), notes=notes))


def test_a_header_with_too_many_of_anything_is_refused() -> None:
    header = dataclasses.replace(
        full_header(), levels=(LEVEL,), notes=(), profile="exact", runner_digest=None
    )
    whole = write_header(header)
    # The body ends in the number of levels, one level of 6 bytes, and the number of notes.
    for place, text in ((-8, "levels"), (-1, "notes")):
        for number in (0, 65) if text == "levels" else (65,):
            body = bytearray(whole[7:-4])
            body[place] = number
            coded = whole[:7] + body
            coded += struct.pack("<I", zlib.crc32(coded))
            with pytest.raises(BitstreamError, match=f"there are {number} {text}"):
                read_header(coded)
