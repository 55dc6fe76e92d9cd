"""The coder's benchmark on a GPU: what is measured, in which order, and how it is summed up."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from fcmrt import kernels
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from . import report
from .attempts import Attempts, failures
from .coder_ours import implementations
from .coder_peers import PeerMissingError
from .coder_sources import (
    GAUSSIANS,
    PICTURE,
    gaussian_source,
    gaussian_tables,
    picture_sources,
)
from .gpu_coder import COLUMNS, DEFAULT, LAUNCHES, LAYOUTS, Bench, Deadline, Work
from .gpu_coder_bars import BARS, RATIOS, SINGLE, bars, ratios
from .gpu_device import describe_gpu
from .gpu_timing import CudaStopwatch, Effort, cuda_limits
from .gpu_torch_ans import import_torch_ans, peer_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from .coder_sources import Source
    from .report import Row

    PeerRows = Callable[[Sequence[Source], int], Iterable[Row]]

Found = dict[str, "list[Row]"]
"""Rows by their kind."""

_MID = "mid"


class Sweep(NamedTuple):
    """What is measured."""

    single: int
    """Symbols of a batch of one packet, which is coded in every layout."""
    batches: tuple[tuple[int, int], ...]
    """Numbers of packets, and of symbols in each; the largest batch first."""
    layouts: tuple[str, ...]
    """Layouts of these batches."""
    pictures: tuple[int, ...]
    """Numbers of packets in batches of the shipped codec's integers."""
    drawn: int
    """Symbols to draw from a source, about; larger batches repeat the packets made from them."""


FULL = Sweep(
    SINGLE,
    ((2048, SINGLE), (16384, 8192), (256, SINGLE), (16, SINGLE)),
    tuple(LAYOUTS),
    (1, 64, 1024),
    4_000_000,
)
QUICK = Sweep(SINGLE, ((256, SINGLE),), (DEFAULT, "100 permille"), (64,), 1_000_000)
EFFORT = Effort(rounds=11, short_rounds=200, warm_up_s=0.1)
QUICK_EFFORT = Effort(rounds=3, short_rounds=20, warm_up_s=0.1)


def parts_of(source: Source, packets: int, symbols: int) -> list[Source]:
    """Cut up to `packets` packets of `symbols` symbols each from a source of one step."""
    count = max(1, min(packets, len(source.steps[0].symbols) // symbols))
    return [source.slice(k * symbols, symbols) for k in range(count)]


def measure_on(
    bench: Bench,
    sweep: Sweep,
    deadline: Deadline,
    pictures: Callable[[], Sequence[Source]],
    peer: PeerRows | None,
    keep: Callable[[Found], None],
) -> Found:
    """Measure a device.

    Args:
        bench: The device.
        sweep: What to measure.
        deadline: When to stop.
        pictures: Gives the shipped codec's integers.
        peer: Gives the rows of torch_ans on a batch; None: without it.
        keep: Gets what there is so far, whenever there is more.

    Returns:
        `rows`, `launches`, `peers`, `ratios` and `bars`.
    """
    found: Found = {"rows": [], "launches": [], "peers": []}

    def add(what: str, kind: str, measured: Callable[[], Iterable[Row]]) -> None:
        if deadline.allows(what):
            report.progress(what)
            found[kind] += measured()
            keep(judged(found))

    def add_batch(work: Work) -> None:
        what = f"{work.parts[0].name}: {work.packets} packets of {work.parts[0].coded}"
        add(f"{what}, {work.layout}", "rows", lambda: bench.rows(work))

    def add_launches(work: Work) -> None:
        what = f"the launches of {work.packets} packets of {work.parts[0].coded}"
        add(what, "launches", lambda: bench.launches(work))

    sources = {name: gaussian_source(name, sweep.drawn, gaussian_tables()) for name in GAUSSIANS}
    single = parts_of(sources[_MID], 1, sweep.single)
    for layout in LAYOUTS:
        add_batch(Work(single, 1, layout))
    add_launches(Work(single, 1, DEFAULT))
    for number, (packets, symbols) in enumerate(sweep.batches):
        parts = parts_of(sources[_MID], packets, symbols)
        for layout in sweep.layouts:
            add_batch(Work(parts, packets, layout))
        if peer is not None:
            measured = functools.partial(peer, parts, packets)
            add(f"torch_ans: {packets} packets of {symbols}", "peers", measured)
        if number == 0:
            add_launches(Work(parts, packets, DEFAULT))
    packets, symbols = sweep.batches[0]
    for name in GAUSSIANS:
        if name != _MID:
            add_batch(Work(parts_of(sources[name], packets, symbols), packets, DEFAULT))
    shown: list[Source] = []

    def code_pictures() -> list[Row]:
        shown.extend(pictures())
        return []

    head = {"source": PICTURE, "coder": "fcmrt", "implementation": "cuda"}
    add("the shipped codec's integers", "rows", lambda: bench.attempts.rows(head, code_pictures))
    for packets in sweep.pictures if shown else ():
        add_batch(Work(shown, packets, DEFAULT))
    return judged(found)


def judged(found: Found) -> Found:
    """Add ratios and bars to rows."""
    compared = ratios(found["rows"], found["peers"])
    return {**found, "ratios": compared, "bars": bars(found["rows"], compared)}


def measure(arguments: argparse.Namespace, keep: report.Keep) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.
        keep: As `report.run` says.

    Returns:
        What was measured, and the same as text.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """
    device = CupyDevice()
    stopwatch = CudaStopwatch()
    effort = QUICK_EFFORT if arguments.quick else EFFORT
    if arguments.repeats:
        effort = effort._replace(rounds=arguments.repeats, short_rounds=arguments.repeats)
    limits = cuda_limits(stopwatch, effort)
    cpu = kernels.get(implementations()[0])
    bench = Bench(device, stopwatch, limits, cpu, effort, Attempts())
    deadline = Deadline(arguments.seconds)
    notes, peer = [], None
    try:
        interface = import_torch_ans(arguments.torch_ans)
    except PeerMissingError as error:
        notes.append(f"torch_ans was left out: {error}")
    else:

        def peer(parts: Sequence[Source], packets: int) -> Iterable[Row]:
            return peer_rows(interface, parts, packets, stopwatch, effort, bench.attempts)

    described = {"gpu": describe_gpu(), "limits": limits._asdict()}
    notes += [
        "us: from the first to the last of a batch's work on the GPU (CUDA events, behind a kernel "
        "that lets the host get ahead), medians; wall: from the call until the GPU is done; "
        "spread: interquartile range over the median",
        "encode: from symbols to whole packets; decode: from payloads to symbols; both in the "
        "GPU's memory, and each compared with the CPU's coder before and after the clock",
        "gb_s is of packet bytes; over_percent: whole packets over the entropy under the tables",
    ]

    def as_report(found: Found) -> report.Report:
        more: dict[str, Any] = {**described, **found}
        rows = more.pop("rows")
        left = [f"left out for lack of time: {what}" for what in deadline.left_out]
        failed = bool(failures([*rows, *found["launches"]]))
        command = report.command_line("benchmarks.coder")
        return report.Report(command, rows, more, [*notes, *left], failed)

    sweep = QUICK if arguments.quick else FULL
    found = measure_on(
        bench, sweep, deadline, picture_sources, peer, lambda so_far: keep(as_report(so_far))
    )
    return as_report(found), as_text(found)


def as_text(found: Found) -> str:
    """Lay out a run for people: batches, launches, ratios and bars."""
    columns = {"rows": COLUMNS, "launches": LAUNCHES, "ratios": RATIOS, "bars": BARS}
    return "\n\n".join(report.table(found[k], columns[k]) for k in columns if found[k])
