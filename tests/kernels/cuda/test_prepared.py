"""Table sets as the kernels read them: whole, aligned, and with hints that are near."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt.kernels.cuda import prepared
from fcmrt.kernels.cuda.prepared import SHARED_LIMIT, pack_tables
from fcmrt.kernels.reference import log2_q8


def goings_on(tables, packed):
    """For each table, how many events each slot is away from its hint."""
    heads = packed[: 16 * tables.count].view(np.uint32).reshape(-1, 4)
    events = packed[heads.nbytes :][: 4 * len(tables.freqs)].view(np.uint32)
    hints = packed[heads.nbytes + events.nbytes :].view(np.uint16)
    assert np.array_equal(events >> 16, tables.freqs)
    out = []
    for t, (first, size, offset, place) in enumerate(heads.tolist()):
        assert (first, size) == (tables.starts[t], tables.sizes[t])
        assert np.uint32(offset).view(np.int32) == tables.offsets[t]
        own = events[first : first + size + 1]
        assert np.array_equal(own & 0xFFFF, np.cumsum(own >> 16) - (own >> 16))
        numbers = np.repeat(np.arange(size + 1), own >> 16)
        bits = place & 31
        begin = place >> 5
        out.append(numbers - np.repeat(hints[begin : begin + (16384 >> bits)], 1 << bits))
    return out


@pytest.mark.parametrize(
    "kind", ["random", "gaussian", "escape_only", "rare", "sure", "many", "wide"]
)
def test_hints_are_near(cases, kind):
    tables = cases.make_tables(kind, np.random.default_rng(1))
    packed = pack_tables(tables)
    assert len(packed) % 16 == 0
    assert len(packed) <= SHARED_LIMIT
    for away in goings_on(tables, packed):
        assert away.min() == 0
        assert away.mean() <= 1 / 8 or kind in ("gaussian", "rare", "wide")
        assert away.mean() <= 2


def test_larger_sets_have_fewer_hints_or_stay_in_global_memory(cases):
    rng = np.random.default_rng(2)
    narrow = [(0, cases.random_freqs(rng, 60)) for _ in range(64)]
    wide = [(0, cases.random_freqs(rng, 4096)) for _ in range(66)]
    sizes = [len(pack_tables(cases.tables(*narrow[:n]))) for n in (8, 64)]
    assert sizes[1] < 8 * sizes[0]
    assert sizes[1] <= SHARED_LIMIT
    large = cases.tables(*wide)
    packed = pack_tables(large)
    assert len(packed) > SHARED_LIMIT
    assert max(away.mean() for away in goings_on(large, packed)) < 2


def test_frequencies():
    freqs = range(1, 16385)
    assert prepared.reciprocals()[1:].tolist() == [-(-(1 << 46) // f) for f in freqs]
    assert prepared.costs()[1:].tolist() == [14 * 256 - log2_q8(f) for f in freqs]
    assert prepared.reciprocals()[0] == prepared.costs()[0] == 0
