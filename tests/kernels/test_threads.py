"""Threads: never another byte or integer, and none left behind at the end or in a child."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fcmrt import kernels
from fcmrt.errors import BitstreamError, ConfigError

NATIVE = [name for name in kernels.available() if name != "reference"]
COUNTS = (1, 2, 8)
LARGE = 300_000  # enough for every thread to be asked


@pytest.fixture(scope="module")
def raw(cases):
    """Two large steps, one with skipped elements, and a small one; escapes in all of them."""
    rng = np.random.default_rng(4)
    return [
        cases.make_step(rng, "gaussian", "mixed", LARGE, 0),
        cases.make_step(rng, "random", "mixed", 1000, 2),
        cases.make_step(rng, "gaussian", "mixed", LARGE, 20),
    ]


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize(("lanes", "segments"), [(32, 1), (32, 2), (32, 7), (16, 32), (2, 256)])
def test_bytes_and_symbols_do_not_depend_on_threads(cases, raw, name, lanes, segments):
    all_threads = [kernels.get(name, threads) for threads in COUNTS]
    coded = [cases.encode(k, raw, lanes, segments, 0xABCD1234) for k in all_threads]
    scalar = cases.encode(kernels.get("scalar"), raw, lanes, segments, 0xABCD1234)
    assert all(other == scalar for other in coded)
    for k in all_threads:
        symbols, check = cases.decode(k, raw, scalar, lanes)
        assert check == 0xABCD1234
        for found, step in zip(symbols, raw, strict=True):
            assert np.array_equal(found, step.symbols)


@pytest.mark.parametrize("name", NATIVE)
def test_plans_do_not_depend_on_threads(cases, raw, name):
    plans = set()
    for threads in COUNTS:
        k = kernels.get(name, threads)
        steps = cases.steps(k, raw)
        lanes, segments = k.plan(steps, 5, 1)
        plans.add((lanes, segments))
        assert k.pack(steps, 5, 1, 3) == (lanes, k.encode(steps, lanes, segments, 3))
    assert len(plans) == 1


def test_a_large_packet_is_the_reference_s(cases):
    """Listed share by share, with skipped elements and escapes before every border."""
    rng = np.random.default_rng(8)
    raw = [
        cases.make_step(rng, "gaussian", "mixed", n, skip) for n, skip in ((17000, 30), (900, 0))
    ]
    coded = cases.encode(kernels.get("reference"), raw, 2, 5, 9)
    for name in NATIVE:
        assert cases.encode(kernels.get(name, 2), raw, 2, 5, 9) == coded
        symbols, check = cases.decode(kernels.get(name, 2), raw, coded, 2)
        assert check == 9
        assert np.array_equal(symbols[0], raw[0].symbols)


def test_elements_that_are_skipped_in_runs(cases):
    """Shares begin and end anywhere: at the ends of all elements, or after a long gap."""
    rng = np.random.default_rng(9)
    tables = cases.make_tables("gaussian", rng)
    for places in ([], [0], [69_999], range(30_000, 30_070), range(0, 70_000, 701)):
        indexes = np.zeros(70_000, np.uint8)
        indexes[list(places)] = rng.integers(1, 64, len(places))
        symbols = cases.make_symbols("mixed", rng, tables, indexes)
        symbols[indexes < 1] = 0
        raw = [cases.RawStep(symbols, indexes, tables, 1)]
        for threads in COUNTS:
            k = kernels.get(None, threads)
            coded = cases.encode(k, raw, 4, 3, 1)
            assert np.array_equal(cases.decode(k, raw, coded, 4)[0][0], symbols)


@pytest.mark.parametrize("threads", COUNTS)
def test_mistakes_are_told_alike(cases, raw, threads):
    """The first mistake in the order of the elements, whichever thread meets which."""
    k = kernels.get("scalar", threads)
    steps = cases.steps(k, raw)
    indexes = steps[0].indexes.copy()
    indexes[[LARGE - 5, 7]] = 200
    symbols = steps[2].symbols.copy()
    symbols[np.flatnonzero(steps[2].indexes < 20)[0]] = 1
    both = [steps[0]._replace(indexes=indexes), steps[1], steps[2]._replace(symbols=symbols)]
    with pytest.raises(ConfigError, match="index"):
        k.encode(both, 32, 8, 0)
    with pytest.raises(ConfigError, match="index"):
        k.plan(both, 5, 1)
    with pytest.raises(ConfigError, match="skipped"):
        k.encode([*steps[:2], both[2]], 32, 8, 0)

    coded = k.encode(steps, 32, 8, 0)
    decoder = k.decoder(coded.segments, coded.words, coded.escapes, 32)
    with pytest.raises(BitstreamError, match="index"):
        decoder.step(indexes, steps[0].tables, 0)
    for place in (100, len(coded.segments) - 100):
        damaged = bytearray(coded.segments)
        damaged[place] ^= 0xFF
        decoder = k.decoder(damaged, coded.words, coded.escapes, 32)
        with pytest.raises(BitstreamError):
            decode_all(decoder, steps)


def decode_all(decoder, steps):
    for step in steps:
        decoder.step(step.indexes, step.tables, step.skip)
    decoder.finish()


def test_calls_at_the_same_time_share_the_helpers(cases, raw):
    k = kernels.get(None, 4)
    wanted = cases.encode(k, raw, 32, 12, 5)
    steps = cases.steps(k, raw)

    def once(_):
        coded = k.encode(steps, 32, 12, 5)
        decoder = k.decoder(coded.segments, coded.words, coded.escapes, 32)
        found = [decoder.step(s.indexes, s.tables, s.skip) for s in steps]
        same = all(np.array_equal(a, s.symbols) for a, s in zip(found, steps, strict=True))
        return coded == wanted and same and decoder.finish() == 5

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(once, range(30)))


def test_threads_out_of_range():
    for threads in (0, -1, 65):
        with pytest.raises(ConfigError, match="threads"):
            kernels.get("scalar", threads)


SCRIPT = """
import os, sys, threading
import numpy as np
from fcmrt import kernels
from fcmrt.kernels.api import CodeStep
from fcmrt.tables import CdfTables

tables = CdfTables(np.array([-1], np.int32), np.array([3], np.int32),
                   np.array([4000, 8000, 4000, 384], np.uint16))
k = kernels.get(None, 4)
symbols = np.random.default_rng(0).integers(-1, 2, 400_000).astype(np.int32)
steps = [CodeStep(symbols, np.zeros(len(symbols), np.uint8), k.prepare(tables), 0)]

def work():
    coded = k.encode(steps, 32, 16, 1)
    decoder = k.decoder(coded.segments, coded.words, coded.escapes, 32)
    return np.array_equal(decoder.step(steps[0].indexes, steps[0].tables, 0), symbols)

def forever():
    while True:
        work()

assert work()
"""


def run_script(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", SCRIPT + text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_helpers_of_its_own():
    """Forked while other threads are at work, so that locks may be held."""
    run_script("""
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() and work() else 1)
    assert os.waitpid(child, 0)[1] == 0
""")


def test_the_interpreter_ends_while_threads_are_at_work():
    run_script("""
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
""")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads cannot be counted here")
def test_only_large_packets_start_threads():
    text = SCRIPT.replace("assert work()", "")
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            text + "count = lambda: len(os.listdir('/proc/self/task'))\n"
            "few = [steps[0]._replace(symbols=symbols[:20000], indexes=steps[0].indexes[:20000])]\n"
            "before = count(); k.encode(few, 32, 16, 1); between = count(); work()\n"
            "print(between - before, count() - between)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["0", "3"]
