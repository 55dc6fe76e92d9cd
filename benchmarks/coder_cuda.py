"""The coder's benchmark on a GPU: what is measured, in which order, and what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fcmrt import kernels
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from . import report
from .coder_ours import implementations
from .coder_peers import PeerMissingError
from .coder_sources import GAUSSIANS, gaussian_source, gaussian_tables, picture_sources
from .gpu_coder import COLUMNS, LAUNCHES, LAYOUTS, Bench, Deadline, Work
from .gpu_coder_bars import BARS, RATIOS, SINGLE, bars, ratios
from .gpu_device import describe_gpu
from .gpu_timing import CudaStopwatch, cuda_limits
from .gpu_torch_ans import import_torch_ans, peer_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from .coder_sources import Source
    from .report import Row

    PeerRows = Callable[[Sequence[Source], int], Iterable[Row]]

_MID = "mid"
DEFAULT = "5 permille"


class Sweep(NamedTuple):
    """What is measured."""

    single: int  # symbols of the one packet, coded in every layout
    batches: tuple[tuple[int, int], ...]  # packets, and symbols of each; the largest first
    layouts: tuple[str, ...]  # of these batches
    pictures: tuple[int, ...]  # packets of the shipped codec's integers
    drawn: int  # symbols drawn of a source, about; packets beyond them are the first ones again


FULL = Sweep(
    SINGLE,
    ((2048, SINGLE), (16384, 8192), (256, SINGLE), (16, SINGLE)),
    tuple(LAYOUTS),
    (1, 64, 1024),
    4_000_000,
)
QUICK = Sweep(SINGLE, ((256, SINGLE),), (DEFAULT, "100 permille"), (64,), 1_000_000)
ROUNDS, QUICK_ROUNDS = 11, 3


def parts_of(source: Source, packets: int, symbols: int) -> list[Source]:
    """Cut packets of so many symbols from a source, as many as are wanted and it has."""
    count = max(1, min(packets, len(source.steps[0].symbols) // symbols))
    return [source.slice(k * symbols, symbols) for k in range(count)]


def measure_on(
    bench: Bench,
    sweep: Sweep,
    deadline: Deadline,
    pictures: Callable[[], Sequence[Source]],
    peer: PeerRows | None,
) -> dict[str, list[Row]]:
    """Measure a device.

    Args:
        bench: The device.
        sweep: What to measure.
        deadline: When to stop.
        pictures: Gives the shipped codec's integers.
        peer: Gives the rows of torch_ans on a batch; None: without it.

    Returns:
        `rows`, `launches`, `peers`, `ratios` and `bars`.

    Raises:
        AssertionError: The device's bytes or integers are not the CPU's.
    """
    rows: list[Row] = []
    launches: list[Row] = []
    peers: list[Row] = []

    def add(work: Work) -> None:
        source = work.parts[0]
        what = f"{source.name}: {work.packets} packets of {source.coded}, {work.layout}"
        if deadline.allows(what):
            report.progress(what)
            rows.extend(bench.rows(work))

    sources = {name: gaussian_source(name, sweep.drawn, gaussian_tables()) for name in GAUSSIANS}
    single = parts_of(sources[_MID], 1, sweep.single)
    for layout in LAYOUTS:
        add(Work(single, 1, layout))
    if deadline.allows("the launches of one packet"):
        launches += bench.launches(Work(single, 1, DEFAULT))
    for number, (packets, symbols) in enumerate(sweep.batches):
        parts = parts_of(sources[_MID], packets, symbols)
        for layout in sweep.layouts:
            add(Work(parts, packets, layout))
        if peer is not None and deadline.allows(f"torch_ans: {packets} packets of {symbols}"):
            peers.extend(peer(parts, packets))
        if number == 0 and deadline.allows("the launches of a large batch"):
            launches += bench.launches(Work(parts, packets, DEFAULT))
    packets, symbols = sweep.batches[0]
    for name in GAUSSIANS:
        if name != _MID:
            add(Work(parts_of(sources[name], packets, symbols), packets, DEFAULT))
    shown = pictures()
    for packets in sweep.pictures:
        add(Work(shown, packets, DEFAULT))
    compared = ratios(rows, peers)
    return {
        "rows": rows,
        "launches": launches,
        "peers": peers,
        "ratios": compared,
        "bars": bars(rows, compared),
    }


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """
    device = CupyDevice()
    stopwatch = CudaStopwatch()
    rounds = arguments.repeats or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    limits = cuda_limits(stopwatch)
    cpu = kernels.get(implementations()[0])
    bench = Bench(device, stopwatch, limits, cpu, rounds)
    deadline = Deadline(arguments.seconds)
    notes, peer = [], None
    try:
        interface = import_torch_ans(arguments.torch_ans)
    except PeerMissingError as error:
        notes.append(f"torch_ans was left out: {error}")
    else:

        def peer(parts: Sequence[Source], packets: int) -> Iterable[Row]:
            return peer_rows(interface, parts, packets, stopwatch, rounds)

    sweep = QUICK if arguments.quick else FULL
    found = measure_on(bench, sweep, deadline, picture_sources, peer)
    rows = found.pop("rows")
    more: dict[str, Any] = {"gpu": describe_gpu(), "limits": limits._asdict(), **found}
    notes += [
        "us: from the first to the last of a batch's work on the GPU (CUDA events), medians; wall: "
        "from the call until the GPU is done; spread: interquartile range over the median",
        "encode: from symbols to whole packets; decode: from payloads to symbols; both in the "
        "GPU's memory, and each compared with the CPU's coder before and after the clock",
        "gb_s is of packet bytes; over_percent: whole packets over the entropy under the tables",
        *(f"left out for lack of time: {what}" for what in deadline.left_out),
    ]
    result = report.Report(report.command_line("benchmarks.coder"), rows, more, notes)
    return result, as_text(rows, more)


def as_text(rows: Sequence[Row], more: dict[str, Any]) -> str:
    """Lay out a run for people: batches, launches, ratios and bars."""
    parts = [
        (rows, COLUMNS),
        (more["launches"], LAUNCHES),
        (more["ratios"], RATIOS),
        (more["bars"], BARS),
    ]
    return "\n\n".join(report.table(part, columns) for part, columns in parts if part)
