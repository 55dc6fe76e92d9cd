"""The same packets, the same integers: GPU and CPU compared, integer by integer and byte by byte.

python -m benchmarks.gpu_identity [--packets N] [--seconds N] [--only coder|engine]
                                  [--runner NAME] [--json PATH|-] [--quick]

Coder: packets of all kinds of symbols, sizes and layouts, coded by both: the same bytes, and the
same integers back. Engine: packets of the shipped exact engine, made on the CPU; with the networks
on the GPU they have the same integers, whole decoding there comes to no `DriftError`, and these
integers coded again by both are the same bytes.

With --seconds it ends by then with the packets that it has compared, to within a batch: the coder's
packets may take a third of the time, the engine's the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt import kernels
from fcmrt.kernels.cuda.batch_encoder import Layout
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from . import report
from .coder_bars import AT_LEAST, BARS, bar
from .coder_ours import implementations
from .coder_sources import GAUSSIANS, Source, Step, gaussian_source, gaussian_tables
from .gpu_batch import PacketBatch
from .gpu_codec import GpuCodec, options, to_host
from .gpu_device import describe_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcmrt.kernels.api import Kernels
    from fcmrt.kernels.cuda.device import Device

    from .report import Row

PACKETS, QUICK_PACKETS = 10_000, 100
BATCH = 250
LARGEST = 6000  # symbols of a packet, where they are drawn
DRAWN = 1_000_000
CODERS_SHARE = 1 / 3  # of the time, where that is limited
NOISE = 0.05  # in deviations of a level: makes each packet of a photo another one
LAYOUTS = (
    *(Layout(permille, lanes) for permille in (1, 5, 50, 1000) for lanes in (1, 2)),
    *(Layout(lanes=lanes, segments=segments) for lanes in (1, 4, 32) for segments in (1, 3)),
)
COLUMNS = {"part": "", "packets": "d", "integers": "d", "bytes": "d", "differing": "d"}


def drawn_batches(packets: int) -> Iterator[tuple[list[Source], Layout]]:
    """Give batches of distinct packets of drawn symbols, each with a layout, source by source."""
    rng = np.random.default_rng(7)
    tables = gaussian_tables()
    sources = [gaussian_source(name, DRAWN, tables) for name in GAUSSIANS]
    for first in range(0, packets, BATCH):
        turn = first // BATCH
        source = sources[turn % len(sources)]
        parts = [
            source.slice(int(rng.integers(DRAWN)), int(rng.integers(1, LARGEST)))
            for _ in range(min(BATCH, packets - first))
        ]
        yield parts, LAYOUTS[turn % len(LAYOUTS)]


def empty_row(part: str) -> Row:
    """Give the row of a part: packets, integers, bytes, and packets that differ, and how."""
    row: Row = {"part": part, "packets": 0, "integers": 0, "bytes": 0, "differing": 0}
    row["failures"] = []
    return row


def compare_batch(
    device: Device, cpu: Kernels, parts: list[Source], layout: Layout, row: Row
) -> None:
    """Code a batch on the CPU and on a device, and count it in a row.

    Args:
        device: The one that is compared.
        cpu: An implementation for the CPU.
        parts: Symbols of each packet.
        layout: How lanes and segments are chosen.
        row: Of `empty_row`; counts on.
    """
    batch = PacketBatch(device, cpu, parts, len(parts), layout)
    row["packets"] += batch.packets
    row["integers"] += batch.elements
    row["bytes"] += batch.total_bytes
    try:
        batch.verify()
    except AssertionError as error:
        row["differing"] += batch.packets  # the whole batch counts
        row["failures"].append(f"{layout}: {error}")


def compare_coder(device: Device, cpu: Kernels, packets: int, until: float) -> Row:
    """Code drawn packets on both.

    Args:
        device: The one that is compared.
        cpu: An implementation for the CPU.
        packets: Number of packets.
        until: When to begin no further batch, by `time.monotonic`.
    """
    row = empty_row("coder")
    for parts, layout in drawn_batches(packets):
        if time.monotonic() >= until:
            break
        compare_batch(device, cpu, parts, layout, row)
    return row


class Maker:
    """Makes packets of the shipped engine on the CPU; safe to be called by several threads."""

    def __init__(self) -> None:
        from .latency import photo_features

        self.engine = fcmrt.Engine.builtin()
        chosen = fcmrt.RuntimeOptions(threads=1)
        self._encoder = fcmrt.Encoder(self.engine, options=chosen)
        self._decoder = fcmrt.Decoder(self.engine, options=chosen)
        self._photos = photo_features(1)
        self._steps = list(self.engine.manifest.step_numbers)

    def make(self, number: int) -> tuple[Any, Any]:
        """Make one packet, of a photo with noise of its own, at any quality step.

        Returns:
            The packet, and its integers by latent, as the CPU decodes them.
        """
        rng = np.random.default_rng((11, number))
        photo = self._photos[number % len(self._photos)]
        noisy = {
            name: x + NOISE * x.std() * rng.standard_normal(x.shape, np.float32)
            for name, x in photo.items()
        }
        packet = self._encoder.encode(noisy, step=int(rng.choice(self._steps)))
        return packet, self._decoder.integers(packet)


def sources_of(engine: fcmrt.Engine, found: Sequence[Any]) -> list[Source]:
    """Turn the integers of packets, by latent, into what the coder is given."""
    return [
        Source(
            "engine",
            tuple(
                Step(to_host(of.symbols), to_host(of.indexes), engine.tables(of.tables), of.skip)
                for of in integers.values()
            ),
        )
        for integers in found
    ]


def same_integers(one: Any, other: Any) -> bool:
    """Whether two packets have the same symbols, table indexes and means, latent by latent."""
    if list(one) != list(other):
        return False
    pairs = [(one[name], other[name]) for name in one]
    return all(
        (a.means is None) == (b.means is None)
        and np.array_equal(to_host(a.symbols), to_host(b.symbols))
        and np.array_equal(to_host(a.indexes), to_host(b.indexes))
        and (a.means is None or np.array_equal(to_host(a.means), to_host(b.means)))
        for a, b in pairs
    )


def compare_engine(
    device: Device, cpu: Kernels, on_gpu: Callable[[bytes], Any], packets: int, until: float
) -> list[Row]:
    """Encode on the CPU, decode on both, and code the integers again on both.

    Args:
        device: The GPU.
        cpu: An implementation for the CPU.
        on_gpu: Decodes a packet on the GPU, which compares the check over its integers there, and
            gives the integers that the GPU's networks lead to, by the host's coder.
        packets: Number of packets.
        until: When to begin no further batch, by `time.monotonic`.
    """
    maker = Maker()
    row, again = empty_row("engine, decoded"), empty_row("engine, coded again")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, packets, BATCH):
            if time.monotonic() >= until:
                break
            report.progress(f"engine: {first} packets so far, {row['differing']} differ")
            made = list(pool.map(maker.make, range(first, min(first + BATCH, packets))))
            for packet, integers in made:
                row["packets"] += 1
                row["bytes"] += len(packet)
                row["integers"] += sum(len(of.symbols) for of in integers.values())
                row["differing"] += not same_integers(integers, on_gpu(packet))
            found = sources_of(maker.engine, [integers for _, integers in made])
            compare_batch(device, cpu, found, Layout(), again)
    return [row, again]


def bars(rows: Sequence[Row]) -> list[Row]:
    """Hold the packets that were compared and found identical against the bar."""
    return [
        bar(row["part"], AT_LEAST, PACKETS, row["packets"] - row["differing"], "identical packets")
        for row in rows
    ]


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Compare.

    Args:
        arguments: The parsed command line.

    Returns:
        What was compared, and the same as text.

    Raises:
        BackendUnavailableError: CuPy or the runner's library is not installed.
        DeviceError: There is no GPU.
    """
    begun = time.monotonic()
    seconds = float("inf") if arguments.seconds is None else arguments.seconds
    device = CupyDevice()
    cpu = kernels.get(implementations()[0])
    packets = arguments.packets or (QUICK_PACKETS if arguments.quick else PACKETS)
    rows: list[Row] = []
    if arguments.only != "engine":
        report.progress(f"coder: {packets} packets")
        share = 1 if arguments.only == "coder" else CODERS_SHARE
        rows.append(compare_coder(device, cpu, packets, begun + share * seconds))
    if arguments.only != "coder":
        chosen = options(arguments.runner, graphs=True)
        codec = GpuCodec.open(fcmrt.Engine.builtin(), chosen)

        def on_gpu(packet: bytes) -> Any:
            codec.decoder.decode(packet)
            return codec.decoder.integers(packet)

        rows += compare_engine(device, cpu, on_gpu, packets, begun + seconds)
    identical = all(row["differing"] == 0 for row in rows)
    held = bars(rows)
    result = report.Report(
        report.command_line("benchmarks.gpu_identity"),
        rows,
        {
            "gpu": describe_gpu(),
            "identical": identical,
            "complete": all(row["packets"] == packets for row in rows),
            "bars": held,
        },
        ["differing: packets; where a batch differs in any byte or integer, all of its packets"],
        failed=not identical,
    )
    return result, f"{report.table(rows, COLUMNS)}\n\n{report.table(held, BARS)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_identity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--packets", type=report.positive, help=f"default {PACKETS}")
    parser.add_argument("--seconds", type=report.positive, help="default: until all are compared")
    parser.add_argument("--only", choices=("coder", "engine"), help="default: both")
    parser.add_argument("--runner", default="torch", help="of networks")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    return report.run(lambda _: measure(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
