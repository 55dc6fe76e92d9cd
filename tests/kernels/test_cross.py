"""The native kernels against the reference: the same bytes, each decoding the other's."""

from __future__ import annotations

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import kernels
from fcmrt.errors import BackendUnavailableError, ConfigError, DTypeError, ShapeError
from fcmrt.kernels import _cpu
from fcmrt.kernels.api import LANES, index_dtype
from fcmrt.kernels.rules import log2_q8

TABLE_KINDS = ("random", "gaussian", "escape_only", "rare", "sure", "many", "wide")
SYMBOL_KINDS = ("inside", "likely", "mixed", "escapes", "extremes")

# How a step looks: its table set, its symbols, its elements, and its skip threshold (4096 skips
# all elements).
STEP = st.tuples(
    st.sampled_from(TABLE_KINDS),
    st.sampled_from(SYMBOL_KINDS),
    st.one_of(st.integers(0, 3), st.integers(0, 200)),
    st.one_of(st.just(0), st.integers(0, 40), st.just(4096)),
)


def assert_all_agree(cases, implementations, raw, lanes, segments, check):
    coded = [cases.encode(k, raw, lanes, segments, check) for k in implementations]
    assert all(other == coded[0] for other in coded)
    fold = (check ^ check >> 16) & 0xFFFF if lanes == 1 else check
    for k in implementations:
        symbols, found = cases.decode(k, raw, coded[0], lanes)
        assert found == fold
        for decoded, step in zip(symbols, raw, strict=True):
            assert decoded.dtype == np.int32
            assert np.array_equal(decoded, step.symbols)


@settings(deadline=None)
@given(
    st.lists(STEP, max_size=6),
    st.sampled_from(LANES),
    st.one_of(st.integers(1, 4), st.sampled_from([7, 256])),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 1 << 20),
)
def test_packets(cases, implementations, shapes, lanes, segments, check, entropy):
    rng = np.random.default_rng(entropy)
    raw = [cases.make_step(rng, *shape) for shape in shapes]
    assert_all_agree(cases, implementations, raw, lanes, segments, check)


@pytest.mark.parametrize("count", [1, 2, 6, 11])
def test_numbers_of_steps(cases, implementations, count):
    rng = np.random.default_rng(count)
    kinds = itertools.cycle(itertools.product(TABLE_KINDS, SYMBOL_KINDS))
    for lanes in LANES:
        raw = [
            cases.make_step(rng, *next(kinds), int(rng.integers(0, 150)), int(rng.integers(0, 3)))
            for _ in range(count)
        ]
        assert_all_agree(cases, implementations, raw, lanes, int(rng.integers(1, 5)), 0xDEADBEEF)


ADVERSARIAL = {
    "no steps": [],
    "no elements": [("random", "inside", 0, 0)] * 2,
    "one symbol": [("random", "inside", 1, 0)],
    "one symbol of many": [("gaussian", "inside", 0, 0), ("gaussian", "inside", 1, 0)],
    "all skipped": [("gaussian", "inside", 300, 4096)],
    "all skipped but some": [("gaussian", "inside", 300, 62), ("many", "mixed", 300, 299)],
    "all escapes": [("gaussian", "escapes", 300, 0), ("random", "escapes", 99, 0)],
    "certain escapes": [("escape_only", "escapes", 300, 0)],
    "extreme integers": [(kind, "extremes", 99, 0) for kind in TABLE_KINDS],
    "certain symbols": [("sure", "likely", 1500, 0)],
    "rare symbols": [("rare", "inside", 300, 0), ("sure", "escapes", 99, 0)],
}


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shapes", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_adversarial_packets(cases, implementations, shapes, lanes):
    rng = np.random.default_rng(lanes)
    raw = [cases.make_step(rng, *shape) for shape in shapes]
    for segments, check in ((1, 0), (2, 0xFFFFFFFF), (5, 0x12345678)):
        assert_all_agree(cases, implementations, raw, lanes, segments, check)


@pytest.mark.parametrize("kind", TABLE_KINDS)
def test_every_table(cases, implementations, kind):
    """Each table in every place of a vector, with its own symbols and with escapes."""
    rng = np.random.default_rng(4)
    tables = cases.make_tables(kind, rng)
    raw = []
    for symbols_kind in ("inside", "escapes"):
        order = rng.permutation(tables.count).astype(index_dtype(tables.count))
        indexes = np.concatenate([order, order[::-1], order[:1], order])
        symbols = cases.make_symbols(symbols_kind, rng, tables, indexes)
        raw.append(cases.RawStep(symbols, indexes, tables))
    for lanes in LANES:
        assert_all_agree(cases, implementations, raw, lanes, 1, 3)


@pytest.mark.parametrize("lanes", [1, 8, 16, 32])
@pytest.mark.parametrize("segments", [2, 3, 8, 31, 256])
def test_segment_edges(cases, implementations, lanes, segments):
    """F-4: shares that are empty, one short of a block, whole, or one symbol longer."""
    rng = np.random.default_rng(segments)
    edges = {32 * blocks + d for blocks in (1, segments - 1, segments) for d in (-1, 0, 1)}
    raw = [cases.make_step(rng, "random", "inside", n, 0) for n in sorted(edges)]
    assert_all_agree(cases, implementations, raw, lanes, segments, 0x89ABCDEF)


@pytest.mark.parametrize("lanes", LANES)
def test_every_length_around_lanes(cases, implementations, lanes):
    """Partial rounds of lanes, in one step after another."""
    rng = np.random.default_rng(lanes)
    raw = [cases.make_step(rng, "random", "mixed", n, 0) for n in range(0, 70, 3)]
    assert_all_agree(cases, implementations, raw, lanes, 1, 1)


@pytest.mark.parametrize(("lanes", "segments"), [(8, 1), (16, 1), (16, 2), (32, 1), (32, 3)])
def test_long_packets(cases, implementations, lanes, segments):
    """Many rounds of lanes: where vectors of lanes, and segments in turns, do the work."""
    rng = np.random.default_rng(lanes + segments)
    for tables, symbols, n, skip in (
        ("gaussian", "inside", 3000, 0),
        ("gaussian", "mixed", 1777, 20),
        ("gaussian", "likely", 5000, 0),  # few words: their end comes long after the last round
        ("rare", "inside", 900, 1),  # crowded buckets
        ("many", "mixed", 1500, 100),
        ("wide", "inside", 1200, 0),
    ):
        raw = [cases.make_step(rng, tables, symbols, size, skip) for size in (n, 37, n // 2)]
        assert_all_agree(cases, implementations, raw, lanes, segments, 0xC0FFEE)


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_large_table_sets(cases, implementations, lanes):
    """More events, and offsets further out, than vector loops hold in one integer."""
    rng = np.random.default_rng(lanes)
    one = cases.random_freqs(rng, 4096)
    wide = cases.tables(*[(0, one)] * 66)
    far = cases.tables((1 << 20, cases.random_freqs(rng, 9)), (-5000, cases.random_freqs(rng, 300)))
    end = 1 << 17  # of the symbols that an entry holds without its table's help
    edge = cases.tables(
        (-end, [5000, 11384]), (end - 3, [1, 16383]), (end - 305, [54] * 303 + [22])
    )
    above = cases.tables((end - 2, [1, 16383]), (end - 304, [54] * 303 + [22]))
    below = cases.tables((-end - 1, [5000, 11384]), (-end - 5, [54] * 303 + [22]))
    full, over = (cases.tables(*[(0, cases.random_freqs(rng, 30))] * n) for n in (64, 65))
    for tables in (wide, far, edge, above, below, full, over):
        indexes = rng.integers(0, tables.count, 800).astype(np.uint8)
        symbols = cases.make_symbols("mixed", rng, tables, indexes)
        raw = [cases.RawStep(symbols, indexes, tables)]
        assert_all_agree(cases, implementations, raw, lanes, 2, 5)


def test_crowded_and_empty_buckets(cases, implementations):
    """Slots that entries leave to the scan: events of one slot between and beside wide ones."""
    rng = np.random.default_rng(3)
    crowd = [1] * 40
    tables = cases.tables(
        (0, [*crowd, 16304, *crowd]),
        (-7, [8191, *crowd, 8152, 1]),
        (0, [4] * 4095 + [4]),
        (5, [*[1, 30] * 500, 884]),
        (0, [15, 1, 16, 16, 1, 1, 14, 16320]),
    )
    indexes = rng.integers(0, tables.count, 2400).astype(np.uint8)
    # Each event as often as the others, the escapes too.
    sizes = tables.sizes[indexes]
    symbols = (tables.offsets[indexes] + rng.integers(0, sizes + 1)).astype(np.int32)
    for lanes in (1, 4, 16, 32):
        raw = [cases.RawStep(symbols, indexes, tables)]
        assert_all_agree(cases, implementations, raw, lanes, 3, 11)


def test_every_frequency(cases, implementations):
    """The native encoder multiplies instead of dividing: all frequencies, many states."""
    rng = np.random.default_rng(2)
    raw = []
    for first in range(1, 16384, 4096):
        freqs = range(first, min(first + 4096, 16384))
        tables = cases.tables(*[(0, [f, 16384 - f]) for f in freqs])
        indexes = np.tile(np.arange(tables.count, dtype=np.uint16), 2)
        symbols = rng.integers(0, 2, len(indexes)).astype(np.int32)
        raw.append(cases.RawStep(symbols, indexes, tables))
    assert_all_agree(cases, implementations, raw, 4, 1, 0xFFFFFFFF)
    native = [k for k in implementations if k.name != "reference"]
    assert_all_agree(cases, native, raw, 16, 1, 0xFFFFFFFF)
    assert_all_agree(cases, native, raw, 32, 1, 0xFFFFFFFF)


def test_reciprocals_are_exact():
    """The bound that `encode_reciprocal` claims, at the states where it is tightest."""
    for freq in range(1, 16385):
        reciprocal = ((1 << 46) + freq - 1) // freq
        limit = freq << 18
        for x in (65536, limit - 1, limit - freq, limit - freq - 1, limit // 2):
            assert x * reciprocal < 1 << 64
            assert x * reciprocal >> 46 == x // freq


def test_the_environment_names_kernels(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "scalar")
    assert kernels.get().name == "scalar"
    assert kernels.get("reference").name == "reference"
    monkeypatch.setenv(kernels.VARIABLE, "")
    assert kernels.get().name == kernels.available()[0]
    monkeypatch.setenv(kernels.VARIABLE, "neon2")
    with pytest.raises(ConfigError, match=r"FCMRT_KERNELS.*neon2"):
        kernels.get()
    assert kernels.get("scalar").name == "scalar"


def test_plans(cases, implementations):
    """F-7: every implementation chooses the same lanes and segments."""
    rng = np.random.default_rng(7)
    found = set()
    for n, overhead, kind in itertools.product(
        (0, 10, 700, 4000), (1, 5, 60, 1000), ("random", "gaussian", "wide")
    ):
        raw = [cases.make_step(rng, kind, "inside", size, 2) for size in (n, n // 3)]
        plans = {k.plan(cases.steps(k, raw), overhead, 1) for k in implementations}
        assert len(plans) == 1
        found |= plans
    assert len(found) > 6


def test_costs_of_every_frequency(cases):
    """F-7: log2_q8 of the native module is that of the format."""
    native = kernels.get("scalar")
    measure = _cpu.loops("scalar").measure
    for first in range(1, 16384, 4096):
        freqs = range(first, min(first + 4096, 16384))
        tables = cases.tables(*[(0, [f, 16384 - f]) for f in freqs])
        indexes = np.arange(tables.count, dtype=np.uint16)
        symbols = np.zeros(tables.count, np.int32)
        prepared = native.prepare(tables)
        for i, f in enumerate(freqs):
            step = (symbols[i : i + 1], indexes[i : i + 1], prepared, 0)
            assert measure([step], 1) == (0, 14 * 256 - log2_q8(f), 1)


def test_threads_share_tables(cases, implementations):
    """Prepared tables serve any number of decoders at once."""
    rng = np.random.default_rng(3)
    raw = cases.make_step(rng, "gaussian", "mixed", 20000, 5)
    native = kernels.get("scalar")
    prepared = native.prepare(raw.tables)
    coded = cases.encode(native, [raw], 8, 3, 99)

    def decode(_):
        decoder = native.decoder(coded.segments, coded.words, coded.escapes, 8)
        symbols = decoder.step(raw.indexes, prepared, raw.skip)
        return decoder.finish() == 99 and np.array_equal(symbols, raw.symbols)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(decode, range(40)))


def test_decoder_keeps_what_it_borrows(cases, implementation):
    rng = np.random.default_rng(5)
    raw = cases.make_step(rng, "gaussian", "mixed", 3000, 0)
    coded = cases.encode(implementation, [raw], 2, 1, 7)
    packet = bytearray(coded.segments + coded.escapes)
    split = len(coded.segments)
    view = memoryview(packet)
    decoder = implementation.decoder(view[:split], coded.words, view[split:], 2)
    prepared = implementation.prepare(raw.tables)
    del packet, view
    gc.collect()
    assert np.array_equal(decoder.step(raw.indexes, prepared, 0), raw.symbols)
    del prepared
    assert decoder.finish() == 7


def test_arrays_are_checked(cases, implementation):
    rng = np.random.default_rng(6)
    good = cases.steps(implementation, [cases.make_step(rng, "random", "inside", 8, 0)])[0]

    def encode(**changes):
        return implementation.encode([good._replace(**changes)], 1, 1, 0)

    for changes in (
        {"symbols": good.symbols.astype(np.int64)},
        {"symbols": good.symbols.tolist()},
        {"indexes": good.indexes.astype(np.int32)},
        {"indexes": np.repeat(good.indexes, 2)[::2]},
        {"symbols": good.symbols.astype(">i4")},
    ):
        with pytest.raises(DTypeError):
            encode(**changes)
    with pytest.raises(ShapeError):
        encode(symbols=good.symbols[:3])
    with pytest.raises(ShapeError):
        encode(symbols=good.symbols.reshape(2, 4))
    with pytest.raises(ConfigError):
        encode(skip=-1)


def test_tables_belong_to_their_implementation(cases, implementations):
    rng = np.random.default_rng(9)
    raw = cases.make_step(rng, "random", "inside", 8, 0)
    for ours, theirs in itertools.permutations(implementations, 2):
        if "reference" not in (ours.name, theirs.name):
            continue  # the native ones share a layout
        steps = cases.steps(theirs, [raw])
        with pytest.raises(ConfigError, match="another implementation"):
            ours.encode(steps, 1, 1, 0)
        with pytest.raises(ConfigError, match="another implementation"):
            ours.plan(steps, 5, 1)
        coded = theirs.encode(steps, 1, 1, 0)
        decoder = ours.decoder(coded.segments, coded.words, coded.escapes, 1)
        with pytest.raises(ConfigError, match="another implementation"):
            decoder.step(raw.indexes, steps[0].tables, 0)


def test_names():
    names = kernels.available()
    assert names[-2:] == ["scalar", "reference"]
    assert names == [name for name in (*kernels.NATIVE, "reference") if name in names]
    assert [kernels.get(name).name for name in names] == names
    assert kernels.get().name == names[0]
    with pytest.raises(ConfigError, match="not known"):
        kernels.get("sse17")
    for name in {*kernels.NATIVE} - {*names}:
        with pytest.raises(BackendUnavailableError, match="this processor"):
            kernels.get(name)


def test_processors_without_vectors(monkeypatch):
    """What a processor cannot run is refused by name, and not chosen by default."""
    monkeypatch.setattr(_cpu, "loops", {"scalar": _cpu.loops("scalar")}.get)
    assert kernels.available() == ["scalar", "reference"]
    assert kernels._get.__wrapped__(None, 1).name == "scalar"
    with pytest.raises(BackendUnavailableError, match="it can run scalar"):
        kernels._get.__wrapped__("avx512", 1)
