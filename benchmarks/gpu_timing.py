"""Time on a device: CUDA events, CUDA graphs, and every launch of a kernel by itself."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .gpu_device import describe_gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fcmrt.kernels.cuda.device import Argument, Device

WARM_UP = 2
_COPIED_BYTES = 1 << 29
_COPIES = 15
# Warp instructions that a round of 32 symbols takes on sm_90, as docs/cuda.md counts them, and how
# many of them a multiprocessor issues in a cycle.
INSTRUCTIONS = {"decode": 53, "encode": 37}
COUNTED_FOR = "9.0"
_ISSUED = 4
_LANES = 32


class Sample(NamedTuple):
    """One call, in seconds."""

    device: float  # from the first to the last of its work on the device
    wall: float  # from the call until the device is done, by the host's clock


class Stopwatch(Protocol):
    """Times what a device does in the order of the calls."""

    def sample(self, call: Callable[[], object]) -> Sample:
        """Calls once and waits for the device."""
        ...

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        """Gives a call that does the same as one graph; `call` must only launch."""
        ...


class CudaStopwatch:
    """CUDA events on a stream of its own, which is CuPy's current one from then on.

    Raises:
        ImportError: CuPy is not installed.
    """

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()

    def sample(self, call: Callable[[], object]) -> Sample:
        """See `Stopwatch`."""
        start, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        self.stream.synchronize()
        begun = time.perf_counter()
        start.record(self.stream)
        call()
        end.record(self.stream)
        end.synchronize()
        wall = time.perf_counter() - begun
        return Sample(self._cupy.cuda.get_elapsed_time(start, end) * 1e-3, wall)

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        """See `Stopwatch`."""
        self.stream.synchronize()
        self.stream.begin_capture()
        try:
            call()
        finally:
            graph = self.stream.end_capture()
        return lambda: graph.launch(self.stream)


class Samples(NamedTuple):
    """Seconds of one call, by round: float64 `[rounds]`."""

    device: NDArray[np.float64]
    wall: NDArray[np.float64]


def time_call(
    stopwatch: Stopwatch,
    call: Callable[[], object],
    rounds: int,
    prepare: Callable[[], object] = lambda: None,
) -> Samples:
    """Time one call after a warm-up.

    Args:
        stopwatch: The device's.
        call: What to time.
        rounds: Number of samples.
        prepare: Done before every call, outside of the clock.
    """
    taken = []
    for k in range(-WARM_UP, rounds):
        prepare()
        sample = stopwatch.sample(call)
        if k >= 0:
            taken.append(sample)
    return Samples(*np.array(taken, np.float64).T)


class LaunchClock:
    """A device whose launches are timed one by one; each waits for the one before.

    Args:
        device: Where the work is done.
        stopwatch: The device's.
    """

    def __init__(self, device: Device, stopwatch: Stopwatch) -> None:
        self._device = device
        self._stopwatch = stopwatch
        self._taken: dict[str, list[float]] = collections.defaultdict(list)

    def take(self) -> dict[str, list[float]]:
        """Give the seconds of all launches so far, by kernel, and start afresh."""
        taken, self._taken = dict(self._taken), collections.defaultdict(list)
        return taken

    def __getattr__(self, name: str) -> Any:
        """Leave all else to the device."""
        return getattr(self._device, name)

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        """See `Device`."""
        sample = self._stopwatch.sample(
            lambda: self._device.launch(
                kernel, grid, threads, *arguments, shared_bytes=shared_bytes
            )
        )
        self._taken[kernel].append(sample.device)


class Limits(NamedTuple):
    """What a device can do at most."""

    bytes_a_second: float  # read and written, by a kernel that only copies
    multiprocessors: int
    hertz: float | None  # the multiprocessors' highest clock; None: the driver does not tell
    capability: str

    def memory_seconds(self, moved: int) -> float:
        """Give the least time for so many bytes, each read or written once."""
        return moved / self.bytes_a_second

    def issue_seconds(self, direction: str, symbols: int) -> float | None:
        """Give the least time to issue the coder's rounds; None where that is not known."""
        if self.capability != COUNTED_FOR or self.hertz is None:
            return None
        rate = _ISSUED * self.multiprocessors * self.hertz
        return symbols / _LANES * INSTRUCTIONS[direction] / rate


def cuda_limits(stopwatch: Stopwatch) -> Limits:
    """Measure the memory's bandwidth, and ask the driver for the rest."""
    import cupy

    copy = cupy.ElementwiseKernel("uint64 x", "uint64 y", "y = x", "fcmrt_benchmark_copy")
    source = cupy.arange(_COPIED_BYTES // 8, dtype=cupy.uint64)
    target = cupy.empty_like(source)
    seconds = time_call(stopwatch, lambda: copy(source, target), _COPIES).device
    device = cupy.cuda.Device()
    megahertz = (describe_gpu() or {}).get("clocks.max.sm")
    capability = str(device.compute_capability)  # 9.0 is "90", 12.0 is "120"
    return Limits(
        2 * _COPIED_BYTES / float(np.median(seconds)),
        int(device.attributes["MultiProcessorCount"]),
        megahertz and 1e6 * megahertz,
        f"{capability[:-1]}.{capability[-1]}",
    )
