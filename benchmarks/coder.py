"""Speed and size of the entropy coder, beside other coders on the same symbols in the same run.

python -m benchmarks.coder [--symbols N] [--repeats N] [--plot PATH] [--json PATH|-] [--quick]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import coder_peers, report
from .coder_bars import BARS, bars
from .coder_ours import Ours, implementations, ready, size_rows, small_packet_row
from .coder_sources import GAUSSIANS, gaussian_source, gaussian_tables, picture_sources, tiled
from .coder_timing import ProcessorClock, Samples, Timed, alternate, speed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from .coder_peers import Peer
    from .coder_sources import Source
    from .report import Row

SYMBOLS, QUICK_SYMBOLS = 4_000_000, 100_000
REPEATS, QUICK_REPEATS = 15, 3
SCAN_REPEATS = 3  # of every setting of a peer; only the best are then timed in turn with ours
THREADS = (1, 2)
DIRECTIONS = ("encode", "decode")
OURS, CLOCK = "fcmrt", "clock"
# Ratios are taken to the best setting of each of these groups.
GROUPS = {
    "compressai": ("compressai", ""),
    "constriction": ("constriction", ""),
    "torch_ans": ("torch_ans", ""),
    "torch_ans, bytes": ("torch_ans", "bytes"),
}
COLUMNS = {
    "source": "",
    "coder": "",
    "implementation": "",
    "threads": "d",
    "encode_msym_s": ".0f",
    "encode_spread": ".2f",
    "decode_msym_s": ".0f",
    "decode_spread": ".2f",
    "plan_msym_s": ".0f",
    "encode_mb_s": ".0f",
    "decode_mb_s": ".0f",
    "encode_cycles": ".2f",
    "decode_cycles": ".2f",
    "bytes": "d",
    "over_percent": ".3f",
    "table_loss_percent": ".3f",
    "lanes": "d",
    "segments": "d",
}
RATIOS = {
    "source": "",
    "implementation": "",
    "direction": "",
    "peer": "",
    "setting": "",
    "ratio": ".1f",
    "spread": ".2f",
}
SIZES = {
    "source": "",
    "packet_bytes": "d",
    "packets": "d",
    "lanes": "d",
    "segments": "d",
    "over_percent": ".3f",
    "over_percent_with_sizes": ".3f",
}


def calls_of(name: str, encode: Timed, decode: Timed) -> dict[str, Timed]:
    """Name the two calls of a coder for `alternate`."""
    return {f"{name} encode": encode, f"{name} decode": decode}


def our_calls(name: str, ours: Ours) -> tuple[dict[str, Timed], int]:
    """Give the calls of ours, after a round trip that is checked, and the bytes."""
    coded = ours.checked()
    calls = calls_of(name, Timed(lambda _: ours.encode()), Timed(lambda _: ours.decode(coded)))
    calls[f"{name} plan"] = Timed(lambda _: ours.plan())
    return calls, len(coded.segments) + len(coded.escapes)


def coder_row(
    source: Source, samples: Mapping[str, Samples], name: str, size: int, **more: Any
) -> Row:
    """Give the row of one coder.

    Args:
        source: What was coded.
        samples: Of all calls.
        name: Name of the coder's calls.
        size: Bytes that it wrote.
        **more: `coder`, `implementation` and `threads`; ours: `lanes` and `segments`.
    """
    row: Row = {"source": source.name, **more, "symbols": source.coded}
    for direction in DIRECTIONS:
        seconds = samples[f"{name} {direction}"].of(more["threads"])
        figures = speed(seconds, source.coded)
        row[f"{direction}_msym_s"] = figures["median"]
        row[f"{direction}_spread"] = figures["spread"]
        row[f"{direction}_mb_s"] = speed(seconds, size)["median"]
        if CLOCK in samples and more["threads"] == 1:
            hertz = ProcessorClock.cycles / samples[CLOCK].cpu
            row[f"{direction}_cycles"] = float(np.median(seconds * hertz)) / source.coded
    if f"{name} plan" in samples:
        plan = speed(samples[f"{name} plan"].of(more["threads"]), source.coded)
        row["plan_msym_s"] = plan["median"]
    ideal, loss = source.ideal_bytes, source.table_loss
    return {
        **row,
        "rounds": len(samples[f"{name} encode"].cpu),
        "bytes": size,
        "ideal_bytes": ideal,
        "over_percent": 100 * (size / ideal - 1),
        "table_loss_percent": None if loss is None else 100 * loss,
    }


def peer_rows(source: Source, peers: Iterable[Peer], samples: Mapping[str, Samples]) -> list[Row]:
    """Give the rows of peers whose calls were timed."""
    return [
        coder_row(
            source,
            samples,
            f"{peer.coder} {peer.setting}",
            peer.bytes,
            coder=peer.coder,
            implementation=peer.setting,
            threads=1,
        )
        for peer in peers
    ]


def peer_calls(peers: Iterable[Peer]) -> dict[str, Timed]:
    """Give the calls of peers."""
    calls: dict[str, Timed] = {}
    for peer in peers:
        calls |= calls_of(f"{peer.coder} {peer.setting}", peer.encode, peer.decode)
    return calls


def in_group(row: Row, group: str) -> bool:
    """Tell whether a peer's row belongs to a group."""
    coder, ending = GROUPS[group]
    return bool(row["coder"] == coder and row["implementation"].endswith(ending))


def best_settings(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Name, as coder and setting, what is fastest in any group and direction."""
    best = set()
    for group in GROUPS:
        found = [row for row in rows if in_group(row, group)]
        for direction in DIRECTIONS if found else ():
            row = max(found, key=lambda row: row[f"{direction}_msym_s"])
            best.add((row["coder"], row["implementation"]))
    return best


def ratio_rows(source: Source, rows: Sequence[Row], samples: Mapping[str, Samples]) -> list[Row]:
    """Give how many times as fast ours is as the best setting of each peer, round by round."""
    found = []
    for ours in rows:
        if ours["coder"] != OURS or ours["threads"] != 1:
            continue
        for direction in DIRECTIONS:
            mine = samples[f"{OURS} {ours['implementation']} 1 {direction}"].cpu
            for group in GROUPS:
                theirs = [row for row in rows if in_group(row, group)]
                if not theirs:
                    continue
                best = max(theirs, key=lambda row: row[f"{direction}_msym_s"])
                name = f"{best['coder']} {best['implementation']} {direction}"
                figures = report.median_and_spread(samples[name].cpu / mine)
                found.append(
                    {
                        "source": source.name,
                        "implementation": ours["implementation"],
                        "direction": direction,
                        "peer": group,
                        "setting": best["implementation"],
                        "ratio": figures["median"],
                        "spread": figures["spread"],
                    }
                )
    return found


def thread_rows(
    source: Source, implementation: str, threads: int, samples: Mapping[str, Samples]
) -> Row:
    """Give how many times as fast more threads are as one, by the clock on the wall."""

    def wall(count: int, direction: str) -> NDArray[np.float64]:
        return samples[f"{OURS} {implementation} {count} {direction}"].wall

    row: Row = {"source": source.name, "implementation": implementation, "threads": threads}
    for direction in DIRECTIONS:
        figures = report.median_and_spread(wall(1, direction) / wall(threads, direction))
        row |= {direction: figures["median"], f"{direction}_spread": figures["spread"]}
    return row


def measure_source(
    source: Source, clock: ProcessorClock | None, repeats: int
) -> tuple[dict[str, list[Row]], list[str]]:
    """Time all coders on one source.

    Args:
        source: What to code.
        clock: The processor's; None: cycles are left out.
        repeats: Number of rounds.

    Returns:
        `rows`, `ratios`, `threads` and `scan` (every setting of the peers), and what was missing.
    """
    peers, missing = coder_peers.peers_of(source.coded_symbols())
    scan = peer_rows(source, peers, alternate(peer_calls(peers), min(SCAN_REPEATS, repeats)))
    best = best_settings(scan)
    peers = [peer for peer in peers if (peer.coder, peer.setting) in best]

    calls = {} if clock is None else {CLOCK: clock.timed()}
    ours = {}
    for implementation, threads in itertools.product(implementations(), THREADS):
        coder = ready(implementation, threads)
        if coder is None:
            missing.append(f"{implementation} with {threads} threads was left out")
            continue
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
    tables = {"rows": rows, "ratios": ratio_rows(source, rows, samples)}
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
    more: dict[str, list[Row]] = {"rows": [], "ratios": [], "threads": [], "scan": []}
    missing: list[str] = []
    for source in [*gaussians, tiled(pictures, count), pictures[0]]:
        report.progress(f"{source.name}: {source.coded} symbols, {repeats} rounds")
        found, absent = measure_source(source, clock, repeats)
        for key, rows in found.items():
            more[key] += rows
        missing += [sentence for sentence in absent if sentence not in missing]

    report.progress("packets")
    fastest = ready(implementations()[0], 1)
    if fastest is None:
        raise AssertionError("one thread is always to be had")
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
    parser.add_argument("--plot", metavar="PATH", help="draw speeds and sizes here")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    if arguments.plot:
        from .coder_plot import plot_coder

        plot_coder(result.rows, result.more["sizes"], arguments.plot)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
