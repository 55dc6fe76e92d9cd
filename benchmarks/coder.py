"""Speed and size of the entropy coder, by implementation and source.

Sources are Gaussian symbols with one of 64 tables chosen for each: sparse (about 0.3 bit a symbol),
mid (1.4) and dense (3.7). Times are of one thread's own processor time, the best of many runs, so
that a busy machine does not count; the call from Python is included.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from fcmrt import kernels
from fcmrt.kernels.api import CodedPayload, CodeStep, Kernels
from fcmrt.tables import CdfTables

Row = dict[str, Any]

SYMBOLS = 4_000_000
QUICK_SYMBOLS = 200_000
REPEATS = 25
QUICK_REPEATS = 3
SIGMAS = np.geomspace(0.11, 32, 64)
# Mean and deviation of the table index, which give the bits a symbol that the names promise.
SOURCES = {"sparse": (0.0, 13.0), "mid": (17.0, 13.0), "dense": (37.0, 10.0)}
OVERHEAD_PERMILLE = 5
COLUMNS = {
    "coder": "",
    "implementation": "",
    "source": "",
    "threads": "d",
    "lanes": "d",
    "segments": "d",
    "symbols": "d",
    "encode_msym_s": ".0f",
    "decode_msym_s": ".0f",
    "encode_cycles": ".1f",
    "decode_cycles": ".1f",
    "bytes": "d",
    "ideal_bytes": ".0f",
    "over_percent": ".3f",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Symbols to code."""

    name: str
    symbols: NDArray[np.int32]
    indexes: NDArray[np.uint8]
    tables: CdfTables
    ideal_bytes: float  # entropy under the integer tables


def gaussian_tables() -> CdfTables:
    """Make 64 tables of Gaussians, four deviations wide, at most 127 to each side."""
    offsets, sizes, freqs = [], [], []
    for sigma in SIGMAS:
        reach = min(127, math.ceil(4 * sigma))
        edges = np.arange(-reach, reach + 2) - 0.5
        cdf = np.array([0.5 * math.erfc(-edge / (sigma * math.sqrt(2))) for edge in edges])
        inside = np.diff(cdf)
        share = np.append(inside, max(0.0, 1 - inside.sum()))
        freq = np.maximum(1, np.round(share * 16384)).astype(np.int64)
        # What rounding has added or taken goes to the likeliest symbols, one each.
        order = np.argsort(-freq, kind="stable")
        while (missing := 16384 - int(freq.sum())) != 0:
            some = order[: max(1, int((freq > 16).sum()))][: abs(missing)]
            freq[some] += np.sign(missing)
        offsets.append(-reach)
        sizes.append(2 * reach + 1)
        freqs.append(freq)
    return CdfTables(
        np.array(offsets, np.int32),
        np.array(sizes, np.int32),
        np.concatenate(freqs).astype(np.uint16),
    )


def make_source(name: str, count: int, tables: CdfTables) -> Source:
    """Draw the symbols of a source, always the same ones."""
    rng = np.random.default_rng(2026)
    mean, deviation = SOURCES[name]
    drawn = np.rint(rng.normal(mean, deviation, count))
    indexes = np.clip(drawn, 0, len(SIGMAS) - 1).astype(np.uint8)
    symbols = np.rint(rng.standard_normal(count) * SIGMAS[indexes]).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(tables.sizes + 1)])[:-1]
    k = symbols - tables.offsets[indexes]
    k = np.where((k < 0) | (k >= tables.sizes[indexes]), tables.sizes[indexes], k)
    freqs = tables.freqs[first[indexes] + k].astype(np.float64)
    return Source(name, symbols, indexes, tables, float(-np.log2(freqs / 16384).sum() / 8))


def best_of(call: Callable[[], Any], repeats: int) -> float:
    """Give the least processor time of this thread, in seconds, after one run to warm up."""
    call()
    least = math.inf
    for _ in range(repeats):
        start = time.thread_time_ns()
        call()
        least = min(least, (time.thread_time_ns() - start) * 1e-9)
    return least


def processor_hz() -> float | None:
    """Give the clock that the system states, None where it states none."""
    try:
        with open("/proc/cpuinfo") as listing:
            stated = [float(line.split(":")[1]) for line in listing if line.startswith("cpu MHz")]
    except OSError:
        return None
    return max(stated) * 1e6 if stated else None


def measure_ours(implementation: Kernels, source: Source, repeats: int, hz: float | None) -> Row:
    """Measure one implementation on one source."""
    steps = [CodeStep(source.symbols, source.indexes, implementation.prepare(source.tables), 0)]
    lanes, segments = implementation.plan(steps, OVERHEAD_PERMILLE, 1)
    coded: CodedPayload = implementation.encode(steps, lanes, segments, 1)

    def decode() -> NDArray[np.int32]:
        decoder = implementation.decoder(coded.segments, coded.words, coded.escapes, lanes)
        return decoder.step(source.indexes, steps[0].tables, 0)

    if not np.array_equal(decode(), source.symbols):
        raise AssertionError(f"{implementation.name} did not decode what was encoded")
    count = len(source.symbols)
    encode_s = best_of(lambda: implementation.encode(steps, lanes, segments, 1), repeats)
    decode_s = best_of(decode, repeats)
    size = len(coded.segments) + len(coded.escapes)
    return {
        "coder": "fcmrt",
        "implementation": implementation.name,
        "source": source.name,
        "threads": 1,
        "lanes": lanes,
        "segments": segments,
        "symbols": count,
        "encode_msym_s": count / encode_s * 1e-6,
        "decode_msym_s": count / decode_s * 1e-6,
        "encode_cycles": hz and encode_s * hz / count,
        "decode_cycles": hz and decode_s * hz / count,
        "bytes": size,
        "ideal_bytes": source.ideal_bytes,
        "over_percent": 100 * (size / source.ideal_bytes - 1),
    }


def measure_compressai(source: Source, repeats: int) -> Row:
    """Measure CompressAI's coder; making the lists that it wants is not counted."""
    ans = importlib.import_module("compressai.ans")
    tables = source.tables
    # Its frequencies are in units of 2^-16; its last event is its escape, as ours.
    cdfs = [[0, *(4 * np.cumsum(tables.table(t), dtype=int)).tolist()] for t in range(tables.count)]
    lists = (
        source.symbols.tolist(),
        source.indexes.tolist(),
        cdfs,
        [len(cdf) for cdf in cdfs],
        tables.offsets.tolist(),
    )
    encoder, decoder = ans.RansEncoder(), ans.RansDecoder()
    data = encoder.encode_with_indexes(*lists)
    if decoder.decode_with_indexes(data, *lists[1:]) != lists[0]:
        raise AssertionError("compressai did not decode what was encoded")
    count = len(source.symbols)
    return {
        "coder": "compressai",
        "implementation": "encode_with_indexes",
        "source": source.name,
        "threads": 1,
        "symbols": count,
        "encode_msym_s": count
        / best_of(lambda: encoder.encode_with_indexes(*lists), repeats)
        * 1e-6,
        "decode_msym_s": count
        / best_of(lambda: decoder.decode_with_indexes(data, *lists[1:]), repeats)
        * 1e-6,
        "bytes": len(data),
        "ideal_bytes": source.ideal_bytes,
        "over_percent": 100 * (len(data) / source.ideal_bytes - 1),
    }


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    count = arguments.symbols or (QUICK_SYMBOLS if arguments.quick else SYMBOLS)
    repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    hz = processor_hz()
    tables = gaussian_tables()
    native = [kernels.get(name) for name in kernels.available() if name != "reference"]
    peer = importlib.util.find_spec("compressai") is not None
    rows = []
    for name in SOURCES:
        report.progress(f"{name}: {count} symbols, {repeats} runs of each")
        source = make_source(name, count, tables)
        rows += [measure_ours(implementation, source, repeats, hz) for implementation in native]
        if peer:
            rows.append(measure_compressai(source, min(repeats, 5)))
    notes = [
        f"one thread; its processor time, best of {repeats}; calls from Python included",
        "cycles are time at the clock that the system states, which may not be the one it ran at",
        "bytes are states, words and escapes, without a packet's other fields; over_percent is "
        "against the entropy under the integer tables",
    ]
    if not peer:
        notes.append("compressai is not installed and was left out")
    result = report.Report(report.command_line("benchmarks.coder"), rows, {}, notes)
    return result, report.table(rows, COLUMNS)


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coder", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--symbols", type=report.positive, help=f"symbols of each source; default {SYMBOLS}"
    )
    parser.add_argument("--repeats", type=report.positive, help=f"timed runs; default {REPEATS}")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
