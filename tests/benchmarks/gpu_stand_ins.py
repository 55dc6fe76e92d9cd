"""A device and a clock for the GPU's benchmarks where no GPU is."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.attempts import Attempts
from benchmarks.gpu_coder import Bench
from benchmarks.gpu_timing import Effort, Limits
from fcmrt import kernels
from tests.simt.emulator import EmulatedDevice, build

LIMITS = Limits(bytes_a_second=3e12, multiprocessors=132, hertz=1.755e9, capability="9.0")
SCALAR = kernels.get("scalar")
EFFORT = Effort(rounds=3, short_rounds=3, warm_up_s=0)


def emulated() -> EmulatedDevice:
    return EmulatedDevice(build())


class HostStopwatch:
    """A stopwatch for a device that has done its work when a call returns.

    What it captures runs only when it is launched, and counts its launches.
    """

    def __init__(self) -> None:
        self.graphs = 0

    def wall(self, call: Callable[[], object]) -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    device = wall

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        self.graphs += 1
        return call


def bench(stopwatch: HostStopwatch | None = None, limits: Limits = LIMITS) -> Bench:
    """The emulator, which always answers."""
    attempts = Attempts(lambda: True)
    return Bench(emulated(), stopwatch or HostStopwatch(), limits, SCALAR, EFFORT, attempts)
