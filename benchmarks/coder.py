"""Speed and size of the entropy coder and of others, on the same symbols in the same run.

python -m benchmarks.coder [--symbols N] [--repeats N] [--plot PATH] [--json PATH|-] [--quick]
python -m benchmarks.coder --device cuda [--torch-ans FOLDER] [--seconds S] [--repeats N]
                           [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import TYPE_CHECKING

import fcmrt
from fcmrt import kernels
from fcmrt.config import DEVICES

from . import coder_peers, report
from .coder_bars import BARS, bars
from .coder_ours import Ours, implementations, size_rows, small_packet_row
from .coder_rows import (
    CLOCK,
    COLUMNS,
    OURS,
    RATIOS,
    SIZES,
    best_settings,
    clock_row,
    coder_row,
    peer_rows,
    ratio_rows,
    thread_rows,
)
from .coder_sources import GAUSSIANS, gaussian_source, gaussian_tables, picture_sources, tiled
from .coder_timing import ProcessorClock, Timed, alternate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .coder_peers import Peer
    from .coder_sources import Source
    from .report import Row

SYMBOLS, QUICK_SYMBOLS = 4_000_000, 100_000
REPEATS, QUICK_REPEATS = 15, 3
SCAN_REPEATS = 3  # for every setting of a peer; only the best are then timed in turn with ours
THREADS = (1, 2)


def calls_of(name: str, encode: Timed, decode: Timed) -> dict[str, Timed]:
    """Name the two calls of a coder for `alternate`."""
    return {f"{name} encode": encode, f"{name} decode": decode}


def our_calls(name: str, ours: Ours) -> tuple[dict[str, Timed], int]:
    """Give the calls of ours, after a round trip that is checked, and the bytes."""
    coded = ours.checked()
    encode, decode = Timed(lambda _: ours.encode_into()), Timed(lambda _: ours.decode_into(coded))
    calls = calls_of(name, encode, decode)
    calls[f"{name} plan"] = Timed(lambda _: ours.plan())
    return calls, len(coded.segments) + len(coded.escapes)


def peer_calls(peers: Iterable[Peer]) -> dict[str, Timed]:
    """Give the calls of peers."""
    calls: dict[str, Timed] = {}
    for peer in peers:
        calls |= calls_of(f"{peer.coder} {peer.setting}", peer.encode, peer.decode)
    return calls


def measure_source(
    source: Source, clock: ProcessorClock | None, repeats: int
) -> tuple[dict[str, list[Row]], list[str]]:
    """Time all coders on one source.

    Args:
        source: What to code.
        clock: The processor's; None: cycles are left out.
        repeats: Number of rounds.

    Returns:
        `rows`, `ratios`, `clock`, `threads` and `scan` (every setting of the peers), and what was
        missing.
    """
    peers, missing = coder_peers.peers_of(source.coded_symbols())
    scan = peer_rows(source, peers, alternate(peer_calls(peers), min(SCAN_REPEATS, repeats)))
    best = best_settings(scan)
    peers = [peer for peer in peers if (peer.coder, peer.setting) in best]

    calls = {} if clock is None else {CLOCK: clock.timed()}
    ours = {}
    for implementation, threads in itertools.product(implementations(), THREADS):
        coder = kernels.get(implementation, threads)
        name, prepared = f"{OURS} {implementation} {threads}", Ours.of(coder, source)
        more, size = our_calls(name, prepared)
        calls |= more
        ours[implementation, threads] = name, prepared, size
    samples = alternate(calls | peer_calls(peers), repeats)

    rows = [
        coder_row(
            source,
            samples,
            name,
            size,
            coder=OURS,
            implementation=implementation,
            threads=threads,
            lanes=prepared.lanes,
            segments=prepared.segments,
        )
        for (implementation, threads), (name, prepared, size) in ours.items()
    ]
    rows += peer_rows(source, peers, samples)
    gains = [
        thread_rows(source, implementation, threads, samples)
        for implementation, threads in ours
        if threads > 1
    ]
    clocks = [clock_row(source, samples[CLOCK])] if clock is not None else []
    tables = {"rows": rows, "ratios": ratio_rows(source, rows, samples), "clock": clocks}
    return tables | {"threads": gains, "scan": scan}, missing


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    count = arguments.symbols or (QUICK_SYMBOLS if arguments.quick else SYMBOLS)
    repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    try:
        clock, cycles = ProcessorClock(), "measured with a chain of dependent additions in turn"
    except OSError as error:
        clock, cycles = None, f"left out: {error}"

    gaussians = [gaussian_source(name, count, gaussian_tables()) for name in GAUSSIANS]
    pictures = picture_sources()
    keys = ("rows", "ratios", "clock", "threads", "scan")
    more: dict[str, list[Row]] = {key: [] for key in keys}
    missing: list[str] = []
    for source in [*gaussians, tiled(pictures, count), pictures[0]]:
        report.progress(f"{source.name}: {source.coded} symbols, {repeats} rounds")
        found, absent = measure_source(source, clock, repeats)
        for key, rows in found.items():
            more[key] += rows
        missing += [sentence for sentence in absent if sentence not in missing]

    report.progress("packets")
    fastest = kernels.get(implementations()[0])
    if fastest is None:
        raise AssertionError("there is always a coder with one thread")
    more["sizes"] = size_rows(fastest, gaussians, arguments.quick)
    mid = gaussians[list(GAUSSIANS).index("mid")]
    more["small_packet"] = [small_packet_row(fastest, mid, 10 * repeats)]
    rows = more.pop("rows")
    more["bars"] = bars(more, rows)

    notes = [
        "one thread: its processor time; more: time on the wall; medians, and as spread the "
        "interquartile range over the median; the call from Python is included",
        f"cycles: time by the processor's clock, {cycles}",
        "MB/s is of coded bytes; bytes are states, words and escapes, ideal_bytes the entropy "
        "under the integer tables; ideal bytes of a peer that has tables of its own are ours",
        *missing,
    ]
    result = report.Report(
        report.command_line("benchmarks.coder"),
        rows,
        {**more, "peers": coder_peers.versions()},
        notes,
        engines=[fcmrt.Engine.builtin()],  # whose integers are a source
    )
    return result, as_text(rows, more)


def as_text(rows: Sequence[Row], more: Mapping[str, Sequence[Row]]) -> str:
    """Lay out a run for people: coders, ratios of the first implementation, packets and bars."""
    fastest = implementations()[0]
    ratios = [row for row in more["ratios"] if row["implementation"] == fastest]
    parts = [
        (rows, COLUMNS),
        (ratios, RATIOS),
        (more["sizes"], SIZES),
        (more["bars"], BARS),
    ]
    return "\n\n".join(report.table(part, columns) for part, columns in parts if part)


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coder", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--symbols", type=report.positive, help=f"symbols of each source; default {SYMBOLS}"
    )
    parser.add_argument("--repeats", type=report.positive, help=f"timed runs; default {REPEATS}")
    parser.add_argument("--plot", metavar="PATH", help="draw speeds and sizes here (CPU)")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--torch-ans", metavar="FOLDER", help="package torch_ans, to compare (GPU)")
    parser.add_argument("--seconds", type=float, help="begin nothing more after this time (GPU)")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda":
        from . import coder_cuda

        return report.run(lambda keep: coder_cuda.measure(arguments, keep), arguments.json)
    result, text = measure(arguments)
    if arguments.plot:
        from .coder_plot import plot_coder

        plot_coder(result.rows, result.more["sizes"], arguments.plot)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
