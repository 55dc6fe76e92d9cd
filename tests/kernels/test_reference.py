"""The coder's rules by hand: every number here was computed on paper from `docs/format.md`.

Both implementations must give them, the slow one because it is the format's executable form.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from fcmrt.errors import BitstreamError, ClosedError, ConfigError, TruncatedError
from fcmrt.kernels.api import LANES, CodedPayload
from fcmrt.kernels.rules import put_escape

HALF = (0, [8192, 4096, 4096])  # symbol 0: half, symbol 1: a quarter, escape: a quarter
ONES = (0, [1, 1, 16382])


def step(cases, tables, symbols, indexes=None, skip=0):
    indexes = [0] * len(symbols) if indexes is None else indexes
    return cases.RawStep(np.array(symbols, np.int32), np.array(indexes, np.uint8), tables, skip)


def test_one_lane_without_words(implementation, cases):
    """Section 4: 65536 codes a 1 to (16 << 14) + 8192 = 270336, then a 0 to 33 << 14 = 540672."""
    raw = [step(cases, cases.tables(HALF), [0, 1])]
    coded = cases.encode(implementation, raw, 1, 1, 0)
    assert coded == CodedPayload(struct.pack("<I", 540672), (0,), b"")
    symbols, check = cases.decode(implementation, raw, coded, 1)
    assert symbols[0].tolist() == [0, 1]
    assert check == 0


def test_words_stand_in_decoding_order(implementation, cases):
    """Section 4: two events of frequency 1, then one more, with cum 1, and the words between.

    65536 -> (65536 << 14) + 1 = 0x40000001; its upper part 4096 >= 1, so the word 0x0001 leaves and
    0x4000 -> 0x10000001; 1024 >= 1, so the word 0x0001 leaves and 0x1000 -> 0x4000000 + 0.
    """
    raw = [step(cases, cases.tables(ONES), [0, 1, 1])]
    coded = cases.encode(implementation, raw, 1, 1, 0)
    assert coded == CodedPayload(struct.pack("<IHH", 0x4000000, 1, 1), (2,), b"")
    assert cases.decode(implementation, raw, coded, 1)[0][0].tolist() == [0, 1, 1]


def test_lanes_take_words_in_ascending_order(implementation, cases):
    """Section 4: lanes 0 and 1 each lose one word in the same round; lane 0's stands first.

    Both lanes start at 65536 + seed (seeds 3 and 5 from the check 0x00050003) and code a 0 of
    frequency 1 twice: (65539 << 14) = 0x4000C000 keeps 0x4000 and puts 0xC000 in front, then
    0x4000 << 14 = 0x10000000; lane 1: 65541 << 14 = 0x40014000, word 0x4000, state 0x4001 << 14.
    """
    raw = [step(cases, cases.tables(ONES), [0, 0, 0, 0])]
    coded = cases.encode(implementation, raw, 2, 1, 0x00050003)
    assert coded.segments == struct.pack("<IIHH", 0x10000000, 0x10004000, 0xC000, 0x4000)
    assert cases.decode(implementation, raw, coded, 2)[1] == 0x00050003


def test_skipped_symbols_must_be_zero(implementation, cases):
    """F-3."""
    tables = cases.tables(HALF, HALF)
    skipping = [step(cases, tables, [0, 1, 0, 0], [0, 1, 0, 1], skip=1)]
    plain = [step(cases, tables, [1, 0], [1, 1])]
    coded = cases.encode(implementation, skipping, 1, 1, 0)
    assert coded == cases.encode(implementation, plain, 1, 1, 0)
    assert cases.decode(implementation, skipping, coded, 1)[0][0].tolist() == [0, 1, 0, 0]
    with pytest.raises(ConfigError, match="not 0"):
        cases.encode(implementation, [step(cases, tables, [1], [0], skip=1)], 1, 1, 0)


def test_segments_are_packets_of_their_shares(implementation, cases):
    """F-4: a segment holds what its share alone gives, and every share begins at lane 0."""
    rng = np.random.default_rng(4)
    tables = cases.make_tables("gaussian", rng)
    whole = [cases.make_step(rng, "gaussian", "inside", n, 0) for n in (100, 45, 7)]
    coded = cases.encode(implementation, whole, 4, 3, 0)
    split = [[0, 32, 64, 100], [0, 0, 32, 45], [0, 0, 0, 7]]
    joined = b""
    for s in range(3):
        alone = [
            cases.RawStep(w.symbols[b[s] : b[s + 1]], w.indexes[b[s] : b[s + 1]], tables)
            for w, b in zip(whole, split, strict=True)
        ]
        joined += cases.encode(implementation, alone, 4, 1, 0).segments
    assert coded.segments == joined


def test_ends_must_match(implementation, cases):
    """F-5: words that are left over, and states that no encoder starts from, are refused."""
    raw = [step(cases, cases.tables(HALF), [0, 1])]
    extra = CodedPayload(struct.pack("<IH", 540672, 7), (1,), b"")
    with pytest.raises(BitstreamError, match="no symbol needed"):
        cases.decode(implementation, raw, extra, 1)
    other = CodedPayload(struct.pack("<I", 540672 + (1 << 20)), (0,), b"")
    with pytest.raises(BitstreamError, match="no encoder starts"):
        cases.decode(implementation, raw, other, 1)
    # Lanes 0 and 1 carry seeds; lane 2 does not.
    nothing = [step(cases, cases.tables(HALF), [])]
    for lane in range(4):
        states = [65536 + (other == lane) for other in range(4)]
        coded = CodedPayload(struct.pack("<4I", *states), (0,), b"")
        if lane < 2:
            assert cases.decode(implementation, nothing, coded, 4)[1] == 1 << 16 * lane
        else:
            with pytest.raises(BitstreamError, match="no encoder starts"):
                cases.decode(implementation, nothing, coded, 4)


def test_first_states(implementation, cases):
    """F-5: a first state below 2^16 is refused at once."""
    for state in (0, 65535):
        with pytest.raises(BitstreamError, match="below"):
            implementation.decoder(struct.pack("<II", 65536, state), [0], b"", 2)


ESCAPES = [
    # range, value, bytes
    ((0, 2), 2, "00"),
    ((0, 2), -1, "01"),
    ((0, 2), 3, "02"),
    ((0, 2), -65, "8101"),
    ((0, 2), 66, "8001"),
    ((-2, 0), (1 << 31) - 1, "feffffff0f"),
    ((0, 0), (1 << 31) - 1, "feffffff0f"),
    ((0, 0), -(1 << 31), "ffffffff0f"),
    ((1 << 24, 1 << 24), -(1 << 31), "ffffff8f10"),
    ((-(1 << 24), -(1 << 24)), (1 << 31) - 1, "feffff8f10"),
]


@pytest.mark.parametrize(("span", "value", "written"), ESCAPES)
def test_escape_values(implementation, cases, span, value, written):
    """F-6: the bytes of an escape's value, at both ends of 32 bits, up to 33 bits."""
    begin, end = span
    size = end - begin
    tables = cases.tables((begin, [1] * size + [16384 - size]))
    raw = [step(cases, tables, [value])]
    coded = cases.encode(implementation, raw, 1, 1, 0)
    assert coded.escapes.hex() == written
    assert cases.decode(implementation, raw, coded, 1)[0][0].tolist() == [value]


@pytest.mark.parametrize(
    ("escapes", "error"),
    [
        ("", TruncatedError),
        ("80", TruncatedError),
        ("ffffffff", TruncatedError),
        ("8000", BitstreamError),  # not the shortest form
        ("808080808000", BitstreamError),  # more than five bytes
        ("8080808010", BitstreamError),  # 2^31, not a 32-bit integer
        ("8180808010", BitstreamError),  # -2^31 - 1
        ("ffffffff7f", BitstreamError),  # 35 bits
        ("0000", BitstreamError),  # one byte more than the escape needs
    ],
)
def test_escapes_that_must_fail(implementation, cases, escapes, error):
    """F-6, F-1: too short, too long, not the shortest varint, not a 32-bit integer."""
    raw = [step(cases, cases.tables((0, [16384])), [0])]
    coded = CodedPayload(struct.pack("<I", 65536), (0,), bytes.fromhex(escapes))
    with pytest.raises(BitstreamError) as caught:
        cases.decode(implementation, raw, coded, 1)
    assert type(caught.value) is error


def test_escapes_stand_in_order_of_symbols(implementation, cases):
    """F-6: whatever the lanes and segments, values stand step by step, symbol by symbol."""
    tables = cases.tables(HALF)
    raw = [step(cases, tables, list(range(100, 200))), step(cases, tables, [0, 9, 1, 8])]
    wanted = b"".join(put_escape(v, 0, 2) for v in [*range(100, 200), 9, 8])
    for lanes in LANES:
        for segments in (1, 2, 3, 256):
            coded = cases.encode(implementation, raw, lanes, segments, 0)
            assert coded.escapes == wanted
            symbols, _ = cases.decode(implementation, raw, coded, lanes)
            assert symbols[0].tolist() == list(range(100, 200))
            assert symbols[1].tolist() == [0, 9, 1, 8]


def test_payload_of_a_plan(implementation, cases):
    """F-7: 9600 coded events of a quarter are 2400 bytes, so four lanes; skipped ones are free."""
    tables = cases.tables(HALF, HALF)
    indexes = [0] * 5000 + [1] * 9600
    raw = step(cases, tables, [0] * 5000 + [1] * 4800 + [9] * 4800, indexes, skip=1)
    steps = cases.steps(implementation, [raw])
    assert implementation.plan(steps, 5, 1) == (4, 1)
    shorter = steps[0]._replace(symbols=raw.symbols[:-1], indexes=raw.indexes[:-1])
    assert implementation.plan([shorter], 5, 1) == (2, 1)
    for bad in ((0, 1), (1001, 1), (5, 3)):
        with pytest.raises(ConfigError):
            implementation.plan(steps, *bad)


def test_seeds(implementation, cases):
    """F-8: the check rides in the first states, 16 bits a lane; one lane has the fold."""
    nothing = [step(cases, cases.tables(HALF), [])]
    check = 0xABCD1234
    one = cases.encode(implementation, nothing, 1, 2, check)
    assert one.segments == struct.pack("<II", 65536 + (0xABCD ^ 0x1234), 65536)
    assert cases.decode(implementation, nothing, one, 1)[1] == 0xABCD ^ 0x1234
    four = cases.encode(implementation, nothing, 4, 1, check)
    assert four.segments == struct.pack("<4I", 0x11234, 0x1ABCD, 0x10000, 0x10000)
    assert cases.decode(implementation, nothing, four, 4)[1] == check


def test_a_packet_is_decoded_once(implementation, cases):
    """After its end, or a failure, a decoder gives nothing more."""
    prepared = implementation.prepare(cases.tables(HALF))
    indexes = np.zeros(2, np.uint8)
    decoder = implementation.decoder(struct.pack("<I", 540672), [0], b"", 1)
    decoder.step(indexes, prepared, 0)
    decoder.finish()
    with pytest.raises(ClosedError):
        decoder.step(indexes, prepared, 0)
    decoder = implementation.decoder(struct.pack("<I", 65536), [0], b"", 1)
    for _ in range(2):
        with pytest.raises(BitstreamError):
            decoder.step(np.zeros(99, np.uint8), prepared, 0)
    with pytest.raises(BitstreamError):
        decoder.finish()


def test_layouts_that_must_fail(implementation, cases):
    tables = cases.tables(HALF)
    for lanes, segments in ((0, 1), (3, 1), (64, 1), (32, 0), (32, 257)):
        with pytest.raises(ConfigError):
            cases.encode(implementation, [step(cases, tables, [0])], lanes, segments, 0)
    with pytest.raises(ConfigError, match="index"):
        cases.encode(implementation, [step(cases, tables, [0], [1])], 1, 1, 0)
