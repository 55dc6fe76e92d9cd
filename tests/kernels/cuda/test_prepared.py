"""Table sets as the kernels read them: whole, aligned, and with hints that are near."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt.kernels.cuda import prepared
from fcmrt.kernels.cuda.prepared import SHARED_LIMIT, pack_tables
from fcmrt.kernels.rules import log2_q8


def buckets(tables, words):
    """For each table, the bits of its buckets' length, each slot's event, and its hint."""
    hint = np.uint16 if words.nbytes <= SHARED_LIMIT else np.uint32
    for t, (place, symbol) in enumerate(words[: 2 * tables.count].reshape(-1, 2).tolist()):
        first = 2 * tables.count + int(tables.starts[t]) + t
        size = int(tables.sizes[t])
        assert (symbol + first - int(tables.offsets[t])) % 2**32 == 0
        own = words[first : first + size + 1]
        freqs = own & 0x7FFF
        assert np.array_equal(freqs, tables.freqs[tables.starts[t] : tables.starts[t + 1]])
        assert np.array_equal(own >> 16, np.cumsum(freqs) - freqs)
        assert np.flatnonzero(own & 0x8000).tolist() == [size]
        assert words[first + size + 1] == 1 << 30  # begins behind all slots
        begin, bits = place >> 5, place & 31
        hints = words.view(np.uint8)[begin:].view(hint)[: 16384 >> bits].astype(np.int64)
        yield bits, first + np.repeat(np.arange(size + 1), freqs), np.repeat(hints, 1 << bits)


def far(numbers, hints):
    return float(np.mean(numbers - hints > 1))


@pytest.mark.parametrize(
    "kind", ["random", "gaussian", "escape_only", "rare", "sure", "many", "wide"]
)
def test_hints_are_near_and_no_more_than_they_must_be(cases, kind):
    tables = cases.make_tables(kind, np.random.default_rng(1))
    words = pack_tables(tables).words
    assert words.nbytes % 16 == 0
    assert words.nbytes <= SHARED_LIMIT
    for bits, numbers, hints in buckets(tables, words):
        assert (numbers >= hints).all()
        assert far(numbers, hints) <= 1 / 64
        if bits < 14:
            longer = numbers[:: 2 << bits]
            assert far(numbers, np.repeat(longer, 2 << bits)) > 1 / 64


def test_larger_sets_have_fewer_hints_or_stay_in_global_memory(cases):
    rng = np.random.default_rng(2)
    narrow = [(0, cases.random_freqs(rng, 60)) for _ in range(96)]
    wide = [(0, cases.random_freqs(rng, 4096)) for _ in range(66)]
    sizes = [pack_tables(cases.tables(*narrow[:n])).words.nbytes for n in (8, 96)]
    assert sizes[1] < 12 * sizes[0]
    assert sizes[1] <= SHARED_LIMIT
    large = cases.tables(*wide)
    words = pack_tables(large).words
    assert words.nbytes > SHARED_LIMIT
    assert max(far(numbers, hints) for _, numbers, hints in buckets(large, words)) <= 1 / 8


def test_what_encoders_read(cases):
    tables = cases.make_tables("gaussian", np.random.default_rng(1))
    packed = pack_tables(tables)
    assert packed.ranges.view(np.int32).tolist() == [
        [start, size, offset, 0]
        for start, size, offset in zip(
            tables.starts[:-1].tolist(), tables.sizes.tolist(), tables.offsets.tolist(), strict=True
        )
    ]
    freqs = packed.entries[:, 0] & 0x7FFF
    assert np.array_equal(freqs, tables.freqs)
    assert packed.entries[:, 1].tolist() == [14 * 256 - log2_q8(freq) for freq in freqs.tolist()]


def test_quotients_lack_one_at_most():
    freqs = np.arange(1, 16385, dtype=np.uint64)[:, None]
    reciprocals = prepared.reciprocals().astype(np.uint64)[1:, None]
    shifts = np.floor(np.log2(freqs)).astype(np.uint64)
    rng = np.random.default_rng(3)
    quotients = rng.integers(0, 1 << 18, (16384, 60), dtype=np.uint64)
    quotients[:, :4] = 0, 1, (1 << 18) - 2, (1 << 18) - 1
    # The slots at both ends of what has one quotient, in reach of a state.
    for x in (quotients * freqs, quotients * freqs + freqs - np.uint64(1)):
        found = x * reciprocals >> np.uint64(32) >> shifts
        lacking = np.where(x < 1 << 32, quotients - found, 0)
        assert lacking.max() == 1
        assert set(np.unique(lacking)) == {0, 1}
