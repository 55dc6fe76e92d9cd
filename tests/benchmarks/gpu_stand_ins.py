"""A device and a clock for the GPU's benchmarks where no GPU is."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.gpu_timing import Limits, Sample
from fcmrt import kernels
from tests.simt.emulator import EmulatedDevice, build

LIMITS = Limits(bytes_a_second=3e12, multiprocessors=132, hertz=1.755e9, capability="9.0")
SCALAR = kernels.get("scalar")


def emulated() -> EmulatedDevice:
    return EmulatedDevice(build())


class HostStopwatch:
    """A stopwatch for a device that has done its work when a call returns.

    What it captures runs only when it is launched, and counts its launches.
    """

    def __init__(self) -> None:
        self.graphs = 0

    def sample(self, call: Callable[[], object]) -> Sample:
        begun = time.perf_counter()
        call()
        seconds = time.perf_counter() - begun
        return Sample(seconds, seconds)

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        self.graphs += 1
        return call
