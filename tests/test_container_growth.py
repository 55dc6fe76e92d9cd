"""Stream files that grow, shrink, or take and give little at a time."""

from __future__ import annotations

import io
import pathlib
from typing import BinaryIO, cast

import pytest

from fcmrt import container
from fcmrt.container import Reader, Writer
from fcmrt.errors import (
    ClosedError,
    ConfigError,
    TruncatedError,
)

from .streams import FIRST, HEADER, packet


def stream(count: int) -> bytes:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        for number in range(count):
            writer.write(packet(number))
    return file.getvalue()


class Dribble(io.RawIOBase):
    """A file that takes and gives a few bytes at a time, until it is full."""

    def __init__(self, data: bytes = b"", room: int = 1 << 20) -> None:
        self.data = bytearray(data)
        self.place = 0
        self.room = room

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(memoryview(data))[: min(7, self.room - len(self.data))]  # type: ignore[arg-type]
        self.data += part
        return len(part)

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        self.place = place + (len(self.data) if whence == io.SEEK_END else 0)
        return self.place

    def read(self, size: int = -1) -> bytes:
        part = bytes(self.data[self.place : self.place + min(size, 7)])
        self.place += len(part)
        return part


def test_a_reader_follows_a_growing_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "live.fcm"
    with container.open(path, "wb", HEADER) as writer, container.open(path) as reader:
        assert (len(reader), reader.recovered) == (0, True)
        for number in range(3):
            writer.write(packet(number))
            assert reader.refresh() == 1
            assert reader[number] == packet(number)
            assert reader.refresh() == 0
        writer.close()
        assert reader.refresh() == 0
        assert not reader.recovered
        assert [bytes(p) for p in reader] == [packet(n) for n in range(3)]
        assert reader.refresh() == 0


def test_every_state_of_a_growing_file_can_be_read() -> None:
    data = stream(3)
    growing = io.BytesIO(data[:FIRST])
    reader = Reader(growing)
    found = 0
    for size in range(FIRST, len(data) + 1):
        growing.seek(0)
        growing.write(data[:size])
        found += reader.refresh()
        assert found == len(reader)
        assert reader.skipped_bytes == 0
        assert [bytes(p) for p in reader] == [packet(n) for n in range(found)]
    assert found == 3
    assert not reader.recovered


def test_damage_found_while_following_keeps_the_numbers() -> None:
    data = bytearray(stream(3))
    data[FIRST + 4] ^= 1
    second = FIRST + 24 + len(packet(0))
    growing = io.BytesIO(data[:second])
    reader = Reader(growing)
    assert len(reader) == 0
    for size in range(second, len(data) + 1):
        growing.seek(0)
        growing.write(data[:size])
        reader.refresh()
    assert reader.recovered
    assert reader.skipped_bytes == 24 + len(packet(0))
    assert [p.pts for p in reader] == [1, 2]


def test_files_may_give_and_take_little_at_a_time() -> None:
    file = Dribble()
    with Writer(cast(BinaryIO, file), HEADER) as writer:
        writer.write(packet(9))
    reader = Reader(cast(BinaryIO, file))
    assert [bytes(p) for p in reader] == [packet(9)]
    assert not reader.recovered


def test_a_full_disk_leaves_what_was_written() -> None:
    file = Dribble(room=FIRST + 2 * 34 + 5)
    writer = Writer(cast(BinaryIO, file), HEADER)
    writer.write(packet())
    writer.write(packet())
    with pytest.raises(OSError, match="no more"):
        writer.write(packet())
    with pytest.raises(ClosedError, match="earlier packet"):
        writer.write(packet())
    writer.close()
    assert [bytes(p) for p in Reader(bytes(file.data))] == [packet()] * 2
    with pytest.raises(OSError, match="no more"):
        Writer(cast(BinaryIO, Dribble(room=5)), HEADER)


def test_an_error_of_the_caller_still_leaves_an_index() -> None:
    file = io.BytesIO()
    with pytest.raises(ConfigError), Writer(file, HEADER) as writer:
        writer.write(b"short")
    assert not Reader(file).recovered


def test_a_file_that_shrinks_is_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.fcm"
    path.write_bytes(stream(2))
    with Reader(path) as reader:
        path.write_bytes(path.read_bytes()[: FIRST + 30])
        with pytest.raises(TruncatedError):
            reader[1]
