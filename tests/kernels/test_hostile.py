"""Damaged and made-up packets: only `BitstreamError`, the same one from every implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import kernels
from fcmrt.errors import BitstreamError, TruncatedError
from fcmrt.kernels.api import LANES, CodedPayload


def outcome(cases, implementation, raw, coded, lanes):
    """What a packet decodes to, or the type of the error that it raises."""
    try:
        symbols, check = cases.decode(implementation, raw, coded, lanes)
    except BitstreamError as error:
        return type(error)
    return [array.tolist() for array in symbols], check


def assert_same_outcome(cases, implementations, raw, coded, lanes):
    first, *others = (outcome(cases, k, raw, coded, lanes) for k in implementations)
    assert all(other == first for other in others)
    return first


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.binary(max_size=20),
    st.sampled_from(LANES),
    st.sampled_from(("random", "gaussian", "escape_only", "wide")),
    st.integers(0, 99),
    st.integers(0, 9),
)
def test_made_up_bytes(cases, implementations, data, escapes, lanes, kind, n, skip):
    rng = np.random.default_rng(n)
    raw = [cases.make_step(rng, kind, "inside", n, skip)]
    states = rng.integers(1 << 16, 1 << 32, lanes, dtype=np.uint32).tobytes()
    segments = states + data[: len(data) // 2 * 2]
    coded = CodedPayload(segments, (len(data) // 2,), escapes)
    assert_same_outcome(cases, implementations, raw, coded, lanes)


@pytest.fixture(scope="module")
def packet(cases):
    rng = np.random.default_rng(8)
    raw = [cases.make_step(rng, "gaussian", "mixed", n, 3) for n in (90, 41)]
    return raw, cases.encode(kernels.get("reference"), raw, 4, 2, 0x12345678)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=3))
def test_changed_bytes(cases, implementations, packet, changes):
    raw, coded = packet
    data = bytearray(coded.segments + coded.escapes)
    for place, flip in changes:
        data[place % len(data)] ^= flip
    split = len(coded.segments)
    changed = coded._replace(segments=bytes(data[:split]), escapes=bytes(data[split:]))
    if changed != coded:
        found = assert_same_outcome(cases, implementations, raw, changed, 4)
        assert found != ([step.symbols.tolist() for step in raw], 0x12345678)


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_damage_to_long_packets(cases, implementations, lanes):
    """Words run out, or are left, at any round; wherever that is, all notice or none."""
    rng = np.random.default_rng(lanes)
    raw = [cases.make_step(rng, "gaussian", "inside", n, 0) for n in (700, 500)]
    coded = cases.encode(kernels.get("reference"), raw, lanes, 2, 0x12345678)
    for lost in (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, coded.words[1]):
        words = (coded.words[0], coded.words[1] - lost)
        cut = coded._replace(segments=coded.segments[: -2 * lost], words=words)
        found = assert_same_outcome(cases, implementations, raw, cut, lanes)
        assert issubclass(found, BitstreamError)
    for _ in range(40):
        changed = bytearray(coded.segments)
        for place in rng.integers(0, len(changed), 2):
            changed[place] ^= int(rng.integers(1, 256))
        cut = coded._replace(segments=bytes(changed))
        assert_same_outcome(cases, implementations, raw, cut, lanes)


def test_every_truncation(cases, implementation, packet):
    raw, coded = packet
    for length in range(len(coded.escapes)):
        cut = coded._replace(escapes=coded.escapes[:length])
        with pytest.raises(BitstreamError):
            cases.decode(implementation, raw, cut, 4)
    for length in range(len(coded.segments)):
        cut = coded._replace(segments=coded.segments[:length])
        with pytest.raises(TruncatedError):
            cases.decode(implementation, raw, cut, 4)
    # With the last segment's words counted from what is left, as a packet does it.
    for lost in range(1, coded.words[1] + 1):
        words = (coded.words[0], coded.words[1] - lost)
        cut = coded._replace(segments=coded.segments[: -2 * lost], words=words)
        with pytest.raises(BitstreamError):
            cases.decode(implementation, raw, cut, 4)


def test_word_counts(implementation, packet):
    _, coded = packet
    first, second = coded.words
    for words in (
        (),
        (first,),
        (first + 1, second),
        (first, second, 0),
        (first + second, -second),
        (1 << 40, second),
        (0,) * 257,
    ):
        with pytest.raises(BitstreamError):
            implementation.decoder(coded.segments, words, coded.escapes, 4)
    with pytest.raises(BitstreamError):
        implementation.decoder(coded.segments + b"\0\0", coded.words, coded.escapes, 4)
    for lanes in (0, 3, 64):
        with pytest.raises(BitstreamError):
            implementation.decoder(coded.segments, coded.words, coded.escapes, lanes)


def test_moved_words(cases, implementation, packet):
    """A wrong border between two segments of the right length in all."""
    raw, coded = packet
    for moved in (-3, -1, 1, 3):
        words = (coded.words[0] + moved, coded.words[1] - moved)
        with pytest.raises(BitstreamError):
            cases.decode(implementation, raw, coded._replace(words=words), 4)


def test_indexes_out_of_range(cases, implementation, packet):
    raw, coded = packet
    prepared = implementation.prepare(raw[0].tables)
    for dtype, wrong in ((np.uint8, 64), (np.uint8, 255), (np.uint16, 65535)):
        for place in (0, 50, 89):
            decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, 4)
            indexes = raw[0].indexes.astype(dtype)
            indexes[place] = wrong
            with pytest.raises(BitstreamError, match="index"):
                decoder.step(indexes, prepared, 3)


def test_more_elements_than_the_packet_has(cases, implementation):
    """A certain event takes no words: the length of the output is the caller's bound, not ours."""
    tables = cases.tables((0, [16383, 1]))
    prepared = implementation.prepare(tables)
    decoder = implementation.decoder(b"\0\0\1\0", [0], b"", 1)
    with pytest.raises(TruncatedError):
        decoder.step(np.zeros(1 << 17, np.uint8), prepared, 0)
