"""Stream files, against `docs/format.md`, section 10: writing, reading, following."""

from __future__ import annotations

import io
import pathlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt import container
from fcmrt.bitstream import write_header
from fcmrt.config import Limits
from fcmrt.container import Reader, Writer
from fcmrt.errors import (
    ClosedError,
    ConfigError,
    LimitExceededError,
)
from fcmrt.packet import Packet

from .streams import FIRST, HEADER, packet


def stream(times: list[int]) -> bytes:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        for number, pts in enumerate(times):
            writer.write(packet(number), pts)
    return file.getvalue()


def test_file_is_laid_out_as_told() -> None:
    data = stream([5, -6])
    header = write_header(HEADER)
    assert data[:FIRST] == b"\x89FCM\r\n\x1a\n" + struct.pack("<I", len(header)) + header * 2
    first, second = packet(0), packet(1)
    sync, size, flags, pts = struct.unpack_from("<4sIIq", data, FIRST)
    assert (sync, size, flags, pts) == (b"FCMP", len(first), 0, 5)
    assert data[FIRST + 24 :].startswith(first + b"FCMP")
    index = FIRST + 48 + len(first + second)
    assert struct.unpack_from("<4sIQqQq", data, index) == (
        *(b"FCMI", 2),
        *(FIRST, 5),
        *(FIRST + 24 + len(first), -6),
    )
    assert struct.unpack_from("<QI", data, len(data) - 24) == (index, 2)
    assert data.endswith(b"FCMEND\r\n")
    assert len(data) == index + 12 + 2 * 16 + 24


def test_reads_what_was_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.fcm"
    path.write_bytes(stream([0, 40, 80]))
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), file):
            with Reader(source) as reader:
                assert reader.header == HEADER
                assert (reader.recovered, reader.header_damaged) == (False, False)
                assert reader.skipped_bytes == 0
                assert len(reader) == 3
                assert [(p.pts, bytes(p)) for p in reader] == [
                    (40 * n, packet(n)) for n in range(3)
                ]
                assert reader[-1] == reader[2] == packet(2)
                assert type(reader[0]) is Packet
        assert not file.closed


def test_numbers_outside_are_index_errors() -> None:
    reader = Reader(stream([0]))
    for number in (1, -2):
        with pytest.raises(IndexError):
            reader[number]


def test_packets_know_their_elements_where_the_header_does() -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        writer.write(packet())
        own_size = bytes((1 << 5, 0, 8, 9)) + packet()[2:]
        writer.write(own_size)
    found = [p.elements for p in Reader(file)]
    assert found == [60, None]


def test_times_are_given_or_those_of_the_packet_or_counted() -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        writer.write(packet())
        writer.write(Packet(packet(), pts=-9))
        writer.write(Packet(packet(), pts=-9), 70)
        writer.write(Packet(packet()))
    assert [p.pts for p in Reader(file)] == [0, -9, 70, 3]


@given(st.lists(st.integers(-5, 5), max_size=8), st.booleans(), st.integers(-6, 6), st.booleans())
def test_seeking_finds_the_last_packet_at_or_before(
    times: list[int], ordered: bool, pts: int, scan: bool
) -> None:
    times = sorted(times) if ordered else times
    data = stream(times)
    found = Reader(data[:-1] if scan else data).seek_pts(pts)
    nearest = max((t for t in times if t <= pts), default=None)
    if nearest is None:
        assert found is None
    else:
        assert found == len(times) - 1 - times[::-1].index(nearest)


@given(st.lists(st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 50)), max_size=6))
def test_any_stream_comes_back_with_and_without_its_index(packets: list[tuple[int, int]]) -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        for pts, words in packets:
            writer.write(packet(words), pts)
    data = file.getvalue()
    for source, recovered in ((data, False), (data[:-1], True), (data[: FIRST + 1], True)):
        reader = Reader(source)
        assert reader.recovered is recovered
        kept = packets if len(source) > FIRST + 1 else []
        assert [(p.pts, bytes(p)) for p in reader] == [(pts, packet(n)) for pts, n in kept]
        assert reader.skipped_bytes == 0


def test_closed_things_are_closed(tmp_path: pathlib.Path) -> None:
    writer = Writer(tmp_path / "a.fcm", HEADER)
    writer.write(packet())
    writer.close()
    writer.close()
    with pytest.raises(ClosedError):
        writer.write(packet())
    reader = Reader(tmp_path / "a.fcm")
    reader.close()
    reader.close()
    with pytest.raises(ClosedError):
        reader[0]
    with pytest.raises(ClosedError):
        reader.refresh()


@pytest.mark.parametrize(
    ("data", "pts"),
    [
        (b"short", 0),
        (write_header(HEADER) + packet(), 0),
        (packet(), 1 << 63),
        (packet(), -(1 << 63) - 1),
    ],
)
def test_what_is_no_packet_is_not_written(data: bytes, pts: int) -> None:
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    before = file.getvalue()
    with pytest.raises(ConfigError):
        writer.write(data, pts)
    assert file.getvalue() == before


def test_open_checks_its_arguments(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.fcm"
    for arguments in (
        (path, "wb"),
        (path, "ab", HEADER),
        (path, "rb", HEADER),
        (b"", "wb", HEADER),
    ):
        with pytest.raises(ConfigError):
            container.open(*arguments)
    with pytest.raises(ConfigError):
        container.open(path, "wb", HEADER, limits=Limits())  # type: ignore[call-overload]
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        container.open(path)


def test_a_pipe_cannot_be_read_but_written() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        tell = seek

    pipe = Pipe()
    with Writer(pipe, HEADER) as writer:
        writer.write(packet())
    assert len(Reader(pipe.getvalue())) == 1
    with pytest.raises(ConfigError, match="cannot seek"):
        Reader(pipe)


def test_limits_are_kept() -> None:
    data = stream([0, 1])
    for source in (data, data[:-1]):
        reader = Reader(source, limits=Limits(max_packet_bytes=len(packet(0))))
        assert reader[0] == packet(0)
        with pytest.raises(LimitExceededError) as caught:
            reader[1]
        assert caught.value.packet_index == 1
    with pytest.raises(LimitExceededError):
        Reader(data, limits=Limits(max_side=4))


def test_memory_does_not_grow_with_the_packets() -> None:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        for _ in range(40):
            writer.write(packet(20_000))
    data = file.getvalue()[:-1]
    tracemalloc.start()
    try:
        assert sum(1 for _ in Reader(data)) == 40
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) > 1_600_000
    assert peak < 500_000
