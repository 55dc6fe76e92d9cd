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
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt import kernels
from fcmrt.kernels.cuda.batch_encoder import Layout
from fcmrt.kernels.cuda.cupy_device import CupyDevice

from . import report
from .attempts import Attempts, failures
from .coder_bars import AT_LEAST, BARS, bar
from .coder_ours import implementations
from .gpu_batch import PacketBatch
from .gpu_codec import GpuCodec, options, to_host
from .gpu_device import describe_gpu
from .gpu_packets import BATCH, drawn_batches, made_batches, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcmrt.kernels.api import Kernels
    from fcmrt.kernels.cuda.device import Device

    from .coder_sources import Source
    from .gpu_packets import Made
    from .report import Row

    Keep = Callable[[list[Row]], None]

PACKETS, QUICK_PACKETS = 10_000, 100
CODERS_SHARE = 1 / 3  # of the time, where that is limited
DECODED, AGAIN = "engine, decoded", "engine, coded again"
_TOLD = 20  # failures that a row lists
COLUMNS = {
    "part": "",
    "packets": "d",
    "integers": "d",
    "bytes": "d",
    "differing": "d",
    "error": "",
}


def empty_row(part: str) -> Row:
    """Give the row of a part: packets, integers, bytes, and packets that differ, and how."""
    row: Row = {"part": part, "packets": 0, "integers": 0, "bytes": 0, "differing": 0}
    row["failures"] = []
    return row


def _count(row: Row, differing: int, why: str) -> None:
    row["differing"] += differing
    if len(row["failures"]) < _TOLD:
        row["failures"].append(why)


class Comparison:
    """A device to compare with the CPU.

    Args:
        device: The one that is compared.
        cpu: An implementation for the CPU.
        attempts: Tells when the device is lost; nothing is compared any more then.
    """

    def __init__(self, device: Device, cpu: Kernels, attempts: Attempts) -> None:
        self._device, self._cpu, self._attempts = device, cpu, attempts

    def batch(self, parts: list[Source], layout: Layout, row: Row) -> None:
        """Code a batch on both, and count it in a row.

        Args:
            parts: Symbols of each packet.
            layout: How lanes and segments are chosen.
            row: Of `empty_row`; counts on.
        """
        row["packets"] += len(parts)
        try:
            batch = PacketBatch(self._device, self._cpu, parts, len(parts), layout)
            row["integers"] += batch.elements
            row["bytes"] += batch.total_bytes
            batch.verify()
        except Exception as error:  # whatever it is, the whole batch counts
            _count(row, len(parts), self._attempts.failed(error, f"{row['part']}, {layout}"))

    def _goes_on(self, until: float) -> bool:
        return not self._attempts.lost and time.monotonic() < until

    def coder(self, packets: int, until: float, keep: Keep) -> list[Row]:
        """Code drawn packets on both.

        Args:
            packets: Number of packets.
            until: When to begin no further batch, by `time.monotonic`.
            keep: Gets the rows after each batch.
        """
        row = empty_row("coder")
        for parts, layout in drawn_batches(packets):
            if not self._goes_on(until):
                break
            self.batch(parts, layout, row)
            keep([row])
        return [row]

    def engine(
        self,
        made: Iterator[list[Made]],
        on_gpu: Callable[[bytes], Any],
        until: float,
        keep: Keep,
    ) -> list[Row]:
        """Decode packets of the CPU's on both, and code the integers again on both.

        Args:
            made: Packets and their integers, batch by batch.
            on_gpu: Decodes a packet on the GPU, which compares the check over its integers there,
                and gives the integers that the GPU's networks lead to, by the host's coder.
            until: When to begin no further batch, by `time.monotonic`.
            keep: Gets the rows after each batch.
        """
        engine = fcmrt.Engine.builtin()
        row, again = empty_row(DECODED), empty_row(AGAIN)
        while self._goes_on(until):
            batch = next(made, None)
            if batch is None:
                break
            report.progress(f"engine: {row['packets']} packets so far, {row['differing']} differ")
            for packet, integers in batch:
                if self._attempts.lost:
                    break
                self._decoded(row, packet, integers, on_gpu)
            if not self._attempts.lost:
                found = sources_of(engine, [integers for _, integers in batch])
                self.batch(found, Layout(), again)
            keep([row, again])
        return [row, again]

    def _decoded(
        self, row: Row, packet: bytes, integers: Any, on_gpu: Callable[[bytes], Any]
    ) -> None:
        number = row["packets"]
        row["packets"] += 1
        row["bytes"] += len(packet)
        row["integers"] += sum(len(of.symbols) for of in integers.values())
        try:
            if not same_integers(integers, on_gpu(packet)):
                _count(row, 1, f"packet {number}: other integers")
        except Exception as error:  # a DriftError, or whatever fails: the packet differs
            _count(row, 1, self._attempts.failed(error, f"packet {number}"))


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


def bars(rows: Sequence[Row]) -> list[Row]:
    """Check the number of packets that were compared and found identical against the bar."""
    found = []
    for row in rows:
        identical = None if "error" in row else row["packets"] - row["differing"]
        found.append(bar(row["part"], AT_LEAST, PACKETS, identical, "identical packets"))
    return found


def measure(arguments: argparse.Namespace, keep: report.Keep) -> tuple[report.Report, str]:
    """Compare.

    Args:
        arguments: The parsed command line.
        keep: As `report.run` says.

    Returns:
        What was compared, and the same as text.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """
    begun = time.monotonic()
    seconds = float("inf") if arguments.seconds is None else arguments.seconds
    device = CupyDevice()
    attempts = Attempts()
    compared = Comparison(device, kernels.get(implementations()[0]), attempts)
    packets = arguments.packets or (QUICK_PACKETS if arguments.quick else PACKETS)
    gpu = describe_gpu()
    done: list[Row] = []

    def as_report(rows: list[Row]) -> report.Report:
        identical = all(row.get("differing") == 0 for row in rows)
        more = {
            "gpu": gpu,
            "identical": identical,
            "complete": all(row.get("packets") == packets for row in rows),
            "bars": bars(rows),
        }
        notes = ["differing: packets; where a batch differs in any byte or integer, all of it"]
        failed = not identical or bool(failures(rows))
        return report.Report(
            report.command_line("benchmarks.gpu_identity"), rows, more, notes, failed
        )

    def keep_with(rows: list[Row]) -> None:
        keep(as_report([*done, *rows]))

    def engine() -> list[Row]:
        codec = GpuCodec.open(fcmrt.Engine.builtin(), options(arguments.runner, graphs=True))

        def on_gpu(packet: bytes) -> Any:
            codec.decoder.decode(packet)
            return codec.decoder.integers(packet)

        with contextlib.closing(made_batches(packets, BATCH, os.cpu_count() or 1)) as made:
            return compared.engine(made, on_gpu, begun + seconds, keep_with)

    if arguments.only != "engine":
        report.progress(f"coder: {packets} packets")
        share = 1 if arguments.only == "coder" else CODERS_SHARE
        until = begun + share * seconds
        done += attempts.rows({"part": "coder"}, lambda: compared.coder(packets, until, keep_with))
    if arguments.only != "coder":
        done += attempts.rows({"part": DECODED}, engine)
    result = as_report(done)
    return result, f"{report.table(done, COLUMNS)}\n\n{report.table(result.more['bars'], BARS)}"


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
    return report.run(lambda keep: measure(arguments, keep), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
