"""The caller's memory: arrays taken as they are, results written where they are wanted."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import BitstreamError, ConfigError, DTypeError, ShapeError
from fcmrt.kernels.api import LANES

WIDTHS = (np.int8, np.int16, np.int32)


def narrow_step(cases, rng, dtype, n, skip):
    """A step whose symbols fit the type, its least and largest among them, and mostly escapes."""
    step = cases.make_step(rng, "random", "mixed", n, 0)
    limits = np.iinfo(dtype)
    symbols = rng.integers(limits.min, limits.max, n, endpoint=True)
    symbols[: n // 2] = rng.integers(-60, 60, n // 2)
    symbols[n // 2 : n // 2 + 2] = (limits.min, limits.max)[: max(0, n - n // 2)]
    symbols[step.indexes < skip] = 0
    return dataclasses.replace(step, symbols=symbols.astype(np.int32), skip=skip)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(WIDTHS),
    st.one_of(st.integers(0, 40), st.sampled_from([2048, 2049, 2500])),
    st.integers(0, 6),
    st.sampled_from(LANES),
    st.integers(1, 5),
    st.integers(0, 1 << 20),
)
def test_symbols_of_every_width(cases, implementations, dtype, n, skip, lanes, segments, entropy):
    rng = np.random.default_rng(entropy)
    raw = [narrow_step(cases, rng, dtype, size, skip) for size in (n, n // 3)]
    narrow = [dataclasses.replace(s, symbols=s.symbols.astype(dtype)) for s in raw]
    coded = cases.encode(implementations[0], raw, lanes, segments, 7)
    for k in implementations:
        assert cases.encode(k, narrow, lanes, segments, 7) == coded
        assert k.plan(cases.steps(k, narrow), 5, 1) == k.plan(cases.steps(k, raw), 5, 1)
        decoder = k.decoder(coded.segments, coded.words, coded.escapes, lanes)
        for step in narrow:
            out = np.empty(len(step.indexes), dtype)
            given_back = decoder.step(step.indexes, k.prepare(step.tables), skip, out=out)
            assert given_back is out
            assert np.array_equal(out, step.symbols)
        assert decoder.finish() in (7, 7 ^ 7 >> 16)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("symbols", ["inside", "escapes"])
def test_symbols_that_do_not_fit(cases, implementation, dtype, symbols):
    """Neither one that a table holds, nor an escape; the decoder is of no more use."""
    rng = np.random.default_rng(3)
    tables = cases.tables((100_000, [8000, 8384]), (-3, [4000] * 4 + [384]))
    indexes = np.ones(100, np.uint8)
    indexes[50] = 0 if symbols == "inside" else 1
    values = rng.integers(-3, 1, 100).astype(np.int32)
    values[50] = 100_000
    raw = [cases.RawStep(values, indexes, tables)]
    coded = cases.encode(implementation, raw, 4, 1, 0)
    prepared = implementation.prepare(tables)
    decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, 4)
    with pytest.raises(BitstreamError, match="fit"):
        decoder.step(indexes, prepared, 0, out=np.empty(100, dtype))
    with pytest.raises(BitstreamError):
        decoder.finish()
    decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, 4)
    assert np.array_equal(decoder.step(indexes, prepared, 0, out=np.empty(100, np.int32)), values)


def test_outputs_are_checked(cases, implementation):
    rng = np.random.default_rng(1)
    raw = cases.make_step(rng, "random", "inside", 30, 0)
    coded = cases.encode(implementation, [raw], 1, 1, 0)
    prepared = implementation.prepare(raw.tables)
    decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, 1)
    fixed = np.empty(30, np.int32)
    fixed.flags.writeable = False
    for out, error in (
        (np.empty(29, np.int32), ShapeError),
        (np.empty((30, 1), np.int32), ShapeError),
        (np.empty(30, np.int64), DTypeError),
        (np.empty(30, np.uint8), DTypeError),
        (np.empty(60, np.int32)[::2], DTypeError),
        (fixed, DTypeError),
        ([0] * 30, DTypeError),
    ):
        with pytest.raises(error):
            decoder.step(raw.indexes, prepared, 0, out=out)
    # None of them has cost the decoder anything.
    assert np.array_equal(decoder.step(raw.indexes, prepared, 0), raw.symbols)


@pytest.mark.parametrize("segments", [1, 4])
def test_encoding_into_a_buffer(cases, implementation, segments):
    rng = np.random.default_rng(2)
    raw = [cases.make_step(rng, "gaussian", "mixed", n, 3) for n in (900, 40)]
    steps = cases.steps(implementation, raw)
    wanted = implementation.encode(steps, 4, segments, 5)
    size = len(wanted.segments) + len(wanted.escapes)
    assert len(wanted.escapes) > 0
    buffer = bytearray(b"\xaa" * (size + 9))
    coded = implementation.encode(steps, 4, segments, 5, out=buffer)
    assert coded == wanted
    assert bytes(buffer) == wanted.segments + wanted.escapes + b"\xaa" * 9
    exact = np.full(size, 0xAA, np.uint8)
    assert implementation.encode(steps, 4, segments, 5, out=exact) == wanted

    small = bytearray(b"\xaa" * (size - 1))
    with pytest.raises(ShapeError, match=str(size)):
        implementation.encode(steps, 4, segments, 5, out=small)
    with pytest.raises(ShapeError, match=str(size)):
        implementation.encode(steps, 4, segments, 5, out=bytearray())
    assert small == b"\xaa" * (size - 1)
    for wrong in (bytes(size), 7, np.zeros((2 * size,), np.uint8)[::2]):
        with pytest.raises(DTypeError):
            implementation.encode(steps, 4, segments, 5, out=wrong)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from((0, 3, 700, 3000)),
    st.integers(1, 1000),
    st.sampled_from((1, 2)),
    st.integers(0, 99),
)
def test_packing_is_planning_and_encoding(cases, implementations, n, overhead, min_lanes, entropy):
    rng = np.random.default_rng(entropy)
    raw = [cases.make_step(rng, "gaussian", "mixed", size, 2) for size in (n, n // 2)]
    results = []
    for k in implementations:
        steps = cases.steps(k, raw)
        lanes, segments = k.plan(steps, overhead, min_lanes)
        results.append(k.pack(steps, overhead, min_lanes, 11))
        assert results[-1] == (lanes, k.encode(steps, lanes, segments, 11))
    assert all(result == results[0] for result in results)


def test_packing_checks_its_arguments(cases, implementation):
    rng = np.random.default_rng(0)
    steps = cases.steps(implementation, [cases.make_step(rng, "random", "inside", 9, 0)])
    for overhead, lanes in ((0, 1), (1001, 1), (5, 3), (5, 0)):
        with pytest.raises(ConfigError):
            implementation.pack(steps, overhead, lanes, 0)


# Every block of a page or more comes from the system and goes back to it, so that each that is
# allocated anew faults. Prints the faults of 20 calls, when all has been warmed up.
ALLOCATIONS = """
import resource, sys
import numpy as np
from fcmrt import kernels
from fcmrt.kernels.api import CodeStep
from fcmrt.tables import CdfTables

dtype, threads = np.dtype(sys.argv[1]), int(sys.argv[2])
tables = CdfTables(np.array([-1] * 2, np.int32), np.array([3] * 2, np.int32),
                   np.array([4000, 8000, 4000, 384] * 2, np.uint16))
k = kernels.get(None, threads)
rng = np.random.default_rng(0)
n = 300_000
indexes = rng.integers(0, 2, n).astype(np.uint8)
steps = []
for skip in (0, 1):
    symbols = rng.integers(-1, 3, n).astype(dtype)
    symbols[indexes < skip] = 0
    steps.append(CodeStep(symbols, indexes, k.prepare(tables), skip))
coded = k.encode(steps, 32, 8, 1)
packed = bytearray(2 * n)
outs = [np.zeros(n, dtype) for _ in steps]

def once():
    k.pack(steps, 5, 1, 1, out=packed)
    decoder = k.decoder(coded.segments, coded.words, coded.escapes, 32)
    for step, out in zip(steps, outs):
        decoder.step(step.indexes, step.tables, step.skip, out=out)
    assert decoder.finish() == 1

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def faults_of_calls():
    before = faults()
    for _ in range(20):
        once()
    return faults() - before

# A helper that the system has kept waiting takes its memory when it first gets work.
print(min(faults_of_calls() for _ in range(8)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="steers the allocator of glibc")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_nothing_is_allocated_after_warming_up(threads, dtype):
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALLOCATIONS, dtype, str(threads)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "4096"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One block in each call would give 20 and more.
    assert int(done.stdout) < 20
