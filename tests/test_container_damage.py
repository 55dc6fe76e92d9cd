"""Stream files that are damaged, cut off or hostile, against `docs/format.md`, section 10."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.bitstream import (
    LevelSpec,
    PacketHead,
    StreamHeader,
    read_packet,
    write_header,
    write_packet,
)
from fcmrt.config import Limits
from fcmrt.container import Reader, Writer
from fcmrt.errors import (
    BitstreamError,
    ChecksumError,
    TruncatedError,
    UnsupportedVersionError,
)

ENGINE = bytes(range(32))
HEADER = StreamHeader(engine_digest=ENGINE, levels=(LevelSpec(name="p", channels=1),))
CODED = write_header(HEADER)
FIRST = 12 + 2 * len(CODED)
PACKETS = [
    write_packet(PacketHead(1, n, None, (n,), 0), struct.pack("<I", 65536) + b"FC" * n, b"", ENGINE)
    for n in range(4)
]
SIZE = 24 + len(PACKETS[0])


def make() -> bytes:
    file = io.BytesIO()
    with Writer(file, HEADER) as writer:
        for packet in PACKETS:
            writer.write(packet)
    return file.getvalue()


WHOLE = make()
INDEX = len(WHOLE) - 24 - 12 - 16 * len(PACKETS)


def read_all(data: bytes) -> list[bytes | None]:
    """Returns all packets that can be had, None for those whose record is damaged."""
    reader = Reader(data)
    found: list[bytes | None] = []
    numbers: list[int | None] = []
    packets = iter(reader)
    while True:
        try:
            found.append(bytes(next(packets)))
        except StopIteration:
            assert numbers == [n for n, packet in enumerate(found) if packet is None]
            return found
        except BitstreamError as error:
            numbers.append(error.packet_index)
            found.append(None)


def crc(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


def test_every_cut_leaves_what_came_before() -> None:
    ends = [FIRST]
    for packet in PACKETS:
        ends.append(ends[-1] + 24 + len(packet))
    for cut in range(len(WHOLE)):
        if cut < 12 + len(CODED):
            with pytest.raises(TruncatedError):
                Reader(WHOLE[:cut])
            continue
        reader = Reader(WHOLE[:cut])
        complete = sum(end <= cut for end in ends[1:])
        assert [bytes(p) for p in reader] == PACKETS[:complete]
        assert reader.recovered
        assert not reader.header_damaged
        assert reader.skipped_bytes == 0


def test_every_wrong_bit_costs_at_most_one_packet() -> None:
    for place in range(8 * len(WHOLE)):
        data = bytearray(WHOLE)
        data[place // 8] ^= 1 << place % 8
        if place < 64:
            with pytest.raises(BitstreamError, match="no fcmrt file"):
                Reader(data)
            continue
        reader = Reader(data)
        assert reader.header == HEADER
        assert reader.header_damaged is (place // 8 < FIRST)
        assert reader.recovered is (place // 8 >= INDEX)
        found = read_all(bytes(data))
        assert len(found) == len(PACKETS)
        wrong = [n for n, packet in enumerate(found) if packet != PACKETS[n]]
        assert len(wrong) <= 1
        for packet in (found[n] for n in wrong):
            if packet is not None:
                with pytest.raises(BitstreamError):
                    read_packet(packet, ENGINE, Limits())


def test_every_wrong_bit_of_a_file_without_index_costs_at_most_one_packet() -> None:
    for place in range(8 * FIRST, 8 * INDEX):
        data = bytearray(WHOLE[:INDEX])
        data[place // 8] ^= 1 << place % 8
        reader = Reader(data)
        found = [bytes(p) for p in reader]
        lost = set(PACKETS) - set(found)
        assert len(lost) == 1
        # A damaged packet is found, and shows when it is decoded; a damaged head is skipped.
        if len(found) == len(PACKETS):
            assert reader.skipped_bytes == 0
            continue
        assert len(found) == len(PACKETS) - 1
        # After the last record there is none to show where the damage ends.
        at_end = lost == {PACKETS[-1]}
        assert reader.skipped_bytes == (0 if at_end else 24 + len(lost.pop()))


def test_rubbish_between_records_is_skipped_and_counted() -> None:
    second = FIRST + SIZE
    for rubbish in (b"x", b"FCMP", b"FCMI" + bytes(40), b"FCMP" * 40_000, bytes(200_000)):
        data = WHOLE[:second] + rubbish + WHOLE[second:INDEX]
        reader = Reader(data)
        assert [bytes(p) for p in reader] == PACKETS
        assert reader.skipped_bytes == len(rubbish)
        assert reader.recovered


def test_a_sync_is_found_wherever_it_lies() -> None:
    """Records are searched for in pieces; none is missed at their edges."""
    record = WHOLE[FIRST : FIRST + SIZE]
    for gap in [*range(200, 800), *range(65536 - 300, 65536 + 300)]:
        reader = Reader(WHOLE[:FIRST] + bytes(gap) + record)
        assert (len(reader), reader.skipped_bytes) == (1, gap)


def test_many_gaps_cost_little() -> None:
    """What a search reads is in proportion to the gap, however many there are."""

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    record = WHOLE[FIRST : FIRST + SIZE]
    for gap in (b"!", b"FCMI" + struct.pack("<I", 20), b"FCMP" * 100):
        file = Counting(WHOLE[:FIRST] + (record + gap) * 2000)
        assert len(Reader(file)) == 2000
        assert file.taken < 20 * len(file.getvalue())


@pytest.mark.parametrize("damage", [[40], [40 + len(CODED)], [8], [11]])
def test_one_damaged_header_is_done_without(damage: list[int]) -> None:
    data = bytearray(WHOLE)
    for place in damage:
        data[place] ^= 0x80
    reader = Reader(data)
    assert reader.header == HEADER
    assert reader.header_damaged
    assert [bytes(p) for p in reader] == PACKETS


def test_two_damaged_headers_are_too_many() -> None:
    data = bytearray(WHOLE)
    data[40] ^= 1
    data[12 + len(CODED)] ^= 1
    with pytest.raises(BitstreamError, match="both copies") as caught:
        Reader(data)
    assert caught.value.offset == 12
    data[12 + len(CODED)] ^= 1
    data[40 + len(CODED)] ^= 1
    with pytest.raises(ChecksumError):
        Reader(data)


def test_other_versions_are_told_from_damage() -> None:
    other = CODED[:5] + b"\x09" + CODED[6:]
    with pytest.raises(UnsupportedVersionError):
        Reader(WHOLE[:12] + other + other + WHOLE[FIRST:])


def test_text_transfers_are_told() -> None:
    with pytest.raises(BitstreamError, match="line ends"):
        Reader(WHOLE.replace(b"\r\n", b"\n"))
    with pytest.raises(BitstreamError):
        Reader(b"some other file")
    with pytest.raises(TruncatedError):
        Reader(b"")


def test_records_with_unknown_flags_are_no_records() -> None:
    record = crc(struct.pack("<4sIIq", b"FCMP", len(PACKETS[0]), 1, 0)) + PACKETS[0]
    reader = Reader(WHOLE[:FIRST] + record + WHOLE[FIRST:INDEX])
    assert [bytes(p) for p in reader] == PACKETS
    assert reader.skipped_bytes == len(record)


def with_index(
    entries: list[tuple[int, int]], offset: int = INDEX, count: int | None = None
) -> bytes:
    count = len(entries) if count is None else count
    index = struct.pack("<4sI", b"FCMI", count) + b"".join(
        struct.pack("<Qq", *entry) for entry in entries
    )
    return WHOLE[:INDEX] + crc(index) + crc(struct.pack("<QI", offset, count)) + b"FCMEND\r\n"


def test_an_index_that_cannot_be_true_is_not_used() -> None:
    true = [struct.unpack_from("<Qq", WHOLE, INDEX + 8 + 16 * n) for n in range(4)]
    assert not Reader(with_index(true)).recovered
    for data in (
        with_index([(0, 0), *true[1:]]),
        with_index(true[::-1]),
        with_index([true[0], (true[0][0] + 23, 1), *true[2:]]),
        with_index([*true[:3], (INDEX - 23, 3)]),
        with_index([*true[:3], (1 << 63, 3)]),
        with_index(true, offset=INDEX - 1),
        with_index(true, offset=(1 << 64) - 1),
        with_index(true, count=5),
        with_index(true, count=0xFFFF_FFFF),
        with_index(true) + b"!",
    ):
        reader = Reader(data)
        assert reader.recovered
        assert [bytes(p) for p in reader] == PACKETS


def test_an_index_to_nowhere_gives_errors_with_numbers() -> None:
    wrong = with_index([(FIRST + 1, 0), (FIRST + SIZE, 1)])
    assert read_all(wrong) == [None, PACKETS[1]]
    with pytest.raises(ChecksumError):
        Reader(wrong)[0]
    longer = crc(struct.pack("<4sIIq", b"FCMP", 1000, 0, 0))
    index = crc(struct.pack("<4sIQq", b"FCMI", 1, FIRST, 0))
    footer = crc(struct.pack("<QI", FIRST + 24, 1)) + b"FCMEND\r\n"
    reader = Reader(WHOLE[:FIRST] + longer + index + footer)
    assert (len(reader), reader.recovered) == (1, False)
    with pytest.raises(TruncatedError) as caught:
        reader[0]
    assert caught.value.packet_index == 0


def test_packets_that_share_bytes_are_damaged() -> None:
    """So all of them are no more than the file, and reading them takes no square of its size."""
    heads = [crc(struct.pack("<4sIIq", b"FCMP", 24 * 100, 0, n)) for n in range(100)]
    body = WHOLE[:FIRST] + b"".join(heads) + bytes(24 * 100)
    entries = b"".join(struct.pack("<Qq", FIRST + 24 * n, n) for n in range(100))
    index = crc(struct.pack("<4sI", b"FCMI", 100) + entries)
    reader = Reader(body + index + crc(struct.pack("<QI", len(body), 100)) + b"FCMEND\r\n")
    assert (len(reader), reader.recovered) == (100, False)
    for number in range(99):
        with pytest.raises(ChecksumError, match="reaches into the next one") as caught:
            reader[number]
        assert caught.value.packet_index == number
    assert reader[99] == bytes(24 * 100)


def test_claims_make_no_room() -> None:
    """Sizes in hostile bytes are not allocated."""
    huge = crc(struct.pack("<4sIIq", b"FCMP", 0xFFFF_FFFF, 0, 0))
    claims = (
        WHOLE[:FIRST] + huge,
        WHOLE[:8] + b"\xff\xff\xff\xff" + WHOLE[12:],
        WHOLE[:INDEX] + b"FCMI\xff\xff\xff\xff" + bytes(100),
        with_index([], count=0xFFFF_FFFF),
        with_index([(FIRST, 0)], offset=FIRST, count=0xFFFF_FFF0),
        WHOLE[:FIRST]
        + huge
        + crc(struct.pack("<4sIQq", b"FCMI", 1, FIRST, 0))
        + crc(struct.pack("<QI", FIRST + 24, 1))
        + b"FCMEND\r\n",
    )
    tracemalloc.start()
    try:
        for data in claims:
            read_all(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000


@given(st.data())
@settings(max_examples=400)
def test_any_damage_gives_packets_or_bitstream_errors(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(damaged)))
        end = begin + data.draw(st.integers(0, 40))
        damaged[begin:end] = data.draw(st.binary(max_size=40) | st.just(WHOLE[FIRST:][:SIZE]))
    try:
        read_all(bytes(damaged))
    except BitstreamError:
        with pytest.raises(BitstreamError):
            Reader(damaged)
