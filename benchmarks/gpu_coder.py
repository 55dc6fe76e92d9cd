"""Speed of the coder's CUDA kernels; the command is `python -m benchmarks.coder --device cuda`."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from fcmrt.kernels.cuda.batch_encoder import Layout

from . import report
from .gpu_batch import PacketBatch
from .gpu_timing import LaunchClock, time_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcmrt.kernels.api import Kernels
    from fcmrt.kernels.cuda.device import Device

    from .attempts import Attempts
    from .coder_sources import Source
    from .gpu_timing import Effort, Limits, Samples, Stopwatch
    from .report import Row

DIRECTIONS = ("encode", "decode")
# Overheads are in thousandths of the payload: 5 is the encoders' default.
DEFAULT = "5 permille"
LAYOUTS = {
    DEFAULT: Layout(5),
    "15 permille": Layout(15),
    "100 permille": Layout(100),
    "32 lanes, 8 segments": Layout(lanes=32, segments=8),
}
COLUMNS = {
    "source": "",
    "packets": "d",
    "layout": "",
    "lanes": "d",
    "segments": "d",
    "graph": "",
    "encode_us": ".0f",
    "decode_us": ".0f",
    "decode_wall_us": ".0f",
    "encode_gsym_s": ".2f",
    "encode_spread": ".2f",
    "decode_gsym_s": ".2f",
    "decode_spread": ".2f",
    "encode_gb_s": ".2f",
    "decode_gb_s": ".2f",
    "decode_memory_floor_us": ".0f",
    "decode_issue_floor_us": ".0f",
    "over_percent": ".3f",
    "decode_sm_mhz": "d",
    "error": "",
}
LAUNCHES = {
    "direction": "",
    "kernel": "",
    "launches": "d",
    "us": ".1f",
    "share": ".1%",
    "error": "",
}
_LAUNCH_ROUNDS = _LOAD_ROUNDS = 5


class Work(NamedTuple):
    """One batch to measure."""

    parts: Sequence[Source]
    """Each packet's symbols; if there are more packets, they repeat."""
    packets: int
    layout: str

    @property
    def head(self) -> Row:
        """The first keys of each of its rows."""
        return {
            "source": self.parts[0].name,
            "coder": "fcmrt",
            "implementation": "cuda",
            "packets": self.packets,
            "layout": self.layout,
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """A device to measure on."""

    device: Device
    stopwatch: Stopwatch
    limits: Limits
    cpu: Kernels
    effort: Effort
    attempts: Attempts

    def rows(self, work: Work) -> list[Row]:
        """Time a batch, launch by launch and as a graph, after a look at what it gives.

        What fails, or gives other bytes or integers than the CPU, is a row with the `error`.
        """
        return self.attempts.rows(work.head, lambda: self._settings(work))

    def _settings(self, work: Work) -> Iterator[Row]:
        batch = PacketBatch(self.device, self.cpu, work.parts, work.packets, LAYOUTS[work.layout])
        batch.verify()
        for graph in (False, True):
            head = {**work.head, "graph": graph}
            yield from self.attempts.rows(head, functools.partial(self._setting, batch, head))

    def _setting(self, batch: PacketBatch, head: Row) -> list[Row]:
        lanes, segments = batch.layout
        row: Row = {
            **head,
            "symbols": batch.symbols,
            "elements": batch.elements,
            "lanes": lanes,
            "segments": segments,
        }
        for direction in DIRECTIONS:
            row |= self._figures(batch, direction, self._time(batch, direction, head["graph"]))
        load = [self.stopwatch.wall(batch.load) for _ in range(_LOAD_ROUNDS)]
        return [
            {
                **row,
                "load_wall_us": 1e6 * float(np.median(load)),
                "bytes": batch.total_bytes,
                "ideal_bytes": batch.ideal_bytes,
                "over_percent": 100 * (batch.total_bytes / batch.ideal_bytes - 1),
            }
        ]

    def _time(self, batch: PacketBatch, direction: str, graph: bool) -> Samples:
        """Time a direction, and see whether what was timed does the work."""
        encodes = direction == "encode"
        call: Callable[[], object] = batch.encode if encodes else batch.decode
        prepare: Callable[[], object] = (lambda: None) if encodes else batch.load
        chosen = self.stopwatch.captured(call) if graph else call
        samples = time_call(self.stopwatch, chosen, self.effort, prepare)
        prepare()
        batch.poison()
        chosen()
        (batch.require_encoded if encodes else batch.require_decoded)()
        return samples

    def _figures(self, batch: PacketBatch, direction: str, samples: Samples) -> Row:
        speed = report.median_and_spread(batch.symbols / samples.device * 1e-9)
        seconds = float(np.median(samples.device))
        least = self.limits.memory_seconds(batch.moved)
        if seconds < least:
            raise AssertionError(
                f"{direction}: {1e6 * seconds:.1f} us, in which the memory cannot be read and "
                f"written ({1e6 * least:.1f} us)"
            )
        issue = self.limits.issue_seconds(direction, batch.symbols)
        return {
            f"{direction}_us": 1e6 * seconds,
            f"{direction}_wall_us": 1e6 * float(np.median(samples.wall)),
            f"{direction}_gsym_s": speed["median"],
            f"{direction}_spread": speed["spread"],
            f"{direction}_gb_s": batch.total_bytes / seconds * 1e-9,
            f"{direction}_memory_floor_us": 1e6 * least,
            f"{direction}_issue_floor_us": None if issue is None else 1e6 * issue,
            f"{direction}_rounds": len(samples.device),
            f"{direction}_sm_mhz": samples.sm_mhz,
        }

    def launches(self, work: Work) -> list[Row]:
        """Time a batch kernel by kernel, each launch waiting for the one before."""
        return self.attempts.rows(work.head, lambda: self._launches(work))

    def _launches(self, work: Work) -> Iterator[Row]:
        clock = LaunchClock(self.device, self.stopwatch)
        device = cast("Device", clock)
        batch = PacketBatch(device, self.cpu, work.parts, work.packets, LAYOUTS[work.layout])
        batch.verify()
        for direction, call in (("encode", batch.encode), ("decode", batch.decode)):
            batch.load()
            clock.take()
            taken = []
            for _ in range(_LAUNCH_ROUNDS):
                call()
                taken.append(clock.take())
                batch.load()
                clock.take()
            yield from _launch_rows(work, direction, taken)


def _launch_rows(work: Work, direction: str, taken: Sequence[dict[str, list[float]]]) -> list[Row]:
    microseconds = {
        kernel: 1e6 * float(np.median([sum(one[kernel]) for one in taken])) for kernel in taken[0]
    }
    whole = sum(microseconds.values())
    return [
        {
            **work.head,
            "direction": direction,
            "kernel": kernel,
            "launches": len(taken[0][kernel]),
            "us": us,
            "share": us / whole,
        }
        for kernel, us in microseconds.items()
    ]


class Deadline:
    """Says when no more work is to be begun, and what was left out because of that.

    Args:
        seconds: From now on; None: there is no end.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self.left_out: list[str] = []

    def allows(self, what: str) -> bool:
        """Whether there is time to begin something; if not, it is noted."""
        if self._end is None or time.monotonic() < self._end:
            return True
        self.left_out.append(what)
        return False
