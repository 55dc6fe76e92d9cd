"""Time on a device: CUDA events, CUDA graphs, and every launch of a kernel by itself."""

from __future__ import annotations

import collections
import itertools
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fcmrt.kernels.cuda.recordings import recording

from .gpu_device import describe_gpu, sm_megahertz

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fcmrt.kernels.cuda.device import Argument, Device

WARM_UP = 2  # calls, at least
_SHORT_S = 1e-3
_COPIED_BYTES = 1 << 29
# Warp instructions that a round of 32 symbols takes on sm_90, as docs/cuda.md counts them, and how
# many of them a multiprocessor issues in a cycle.
INSTRUCTIONS = {"decode": 53, "encode": 37}
COUNTED_FOR = "9.0"
_ISSUED = 4
_LANES = 32


# Keeps the device busy for about 0.2 ms, in which the host gets ahead of it.
_HOLD = """
extern "C" __global__ void fcmrt_benchmark_hold(long long cycles) {
  long long begin = clock64();
  while (clock64() - begin < cycles) {}
}
"""
_HOLD_CYCLES = 400_000


class Effort(NamedTuple):
    """How often something is called."""

    rounds: int
    """Of a call that takes long."""
    short_rounds: int
    """Of one that takes less than a millisecond."""
    warm_up_s: float
    """Seconds of calls before timing begins; at least two calls."""


class Stopwatch(Protocol):
    """Times what a device does in the order of the calls."""

    def device(self, call: Callable[[], object]) -> float:
        """Seconds from the first to the last of a call's work on the device.

        The host is ahead, as far as it can be: the device waits for no launch.
        """
        ...

    def wall(self, call: Callable[[], object]) -> float:
        """Seconds from a call until the device is done, by the host's clock."""
        ...

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        """Gives a call that does the same as one graph; `call` must only launch."""
        ...


class CudaStopwatch:
    """CUDA events on a stream.

    Args:
        stream: CuPy's current one; None: a new one, which is CuPy's current one from then on.

    Raises:
        ImportError: CuPy is not installed.
    """

    def __init__(self, stream: Any = None) -> None:
        import cupy

        self._cupy = cupy
        if stream is None:
            stream = cupy.cuda.Stream(non_blocking=True)
            stream.use()
        self.stream = stream
        self._hold = cupy.RawKernel(_HOLD, "fcmrt_benchmark_hold")

    def device(self, call: Callable[[], object]) -> float:
        """See `Stopwatch`."""
        start, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        self.stream.synchronize()
        # Behind it the start is not over before the host has launched what is timed.
        self._hold((1,), (1,), (np.int64(_HOLD_CYCLES),))
        start.record(self.stream)
        call()
        end.record(self.stream)
        end.synchronize()
        return 1e-3 * float(self._cupy.cuda.get_elapsed_time(start, end))

    def wall(self, call: Callable[[], object]) -> float:
        """See `Stopwatch`."""
        self.stream.synchronize()
        begun = time.perf_counter()
        call()
        self.stream.synchronize()
        return time.perf_counter() - begun

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        """See `Stopwatch`."""
        self.stream.synchronize()
        with recording():
            self.stream.begin_capture()
            try:
                call()
            finally:
                graph = self.stream.end_capture()
        return lambda: graph.launch(self.stream)


class Samples(NamedTuple):
    """Seconds of one call by round, float64 `[rounds]` each; device and wall are of calls apart."""

    device: NDArray[np.float64]
    wall: NDArray[np.float64]
    sm_mhz: int | None
    """Clock of the multiprocessors right after the last call; None: the driver does not say."""


def warmed_up(sample: Callable[[], float], effort: Effort) -> range:
    """Call for the time of a warm-up.

    Args:
        sample: Calls once, and gives the seconds that it took on the wall.
        effort: How often.

    Returns:
        Numbers of the rounds for which a call of such a length is timed.
    """
    until = time.monotonic() + effort.warm_up_s
    taken: list[float] = []
    while len(taken) < WARM_UP or time.monotonic() < until:
        taken.append(sample())
    # The first call prepares what is prepared once.
    short = float(np.median(taken[1:])) < _SHORT_S
    return range(effort.short_rounds if short else effort.rounds)


def time_call(
    stopwatch: Stopwatch,
    call: Callable[[], object],
    effort: Effort,
    prepare: Callable[[], object] = lambda: None,
) -> Samples:
    """Time one call after a warm-up.

    Args:
        stopwatch: The device's.
        call: What to time.
        effort: How often.
        prepare: Done before every call, outside of the clock.
    """

    def sample(clock: Callable[[Callable[[], object]], float]) -> float:
        prepare()
        return clock(call)

    rounds = warmed_up(lambda: sample(stopwatch.wall), effort)
    wall = np.array([sample(stopwatch.wall) for _ in rounds])
    device = np.array([sample(stopwatch.device) for _ in rounds])
    return Samples(device, wall, sm_megahertz())


def wall_ms(call: Callable[[int], object], effort: Effort) -> NDArray[np.float64]:
    """Time whole calls by the host's clock, after a warm-up.

    Args:
        call: What to time, to its end on the device; gets the number of the call.
        effort: How often.

    Returns:
        Milliseconds, float64 `[rounds]`.
    """
    numbers = itertools.count()

    def sample() -> float:
        begun = time.perf_counter()
        call(next(numbers))
        return time.perf_counter() - begun

    return 1e3 * np.array([sample() for _ in warmed_up(sample, effort)])


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
        seconds = self._stopwatch.device(
            lambda: self._device.launch(
                kernel, grid, threads, *arguments, shared_bytes=shared_bytes
            )
        )
        self._taken[kernel].append(seconds)


class Limits(NamedTuple):
    """What a device can do at most."""

    bytes_a_second: float
    """Bytes read and written by a kernel that only copies."""
    multiprocessors: int
    hertz: float | None
    """The multiprocessors' highest clock; None: the driver does not say."""
    capability: str

    def memory_seconds(self, moved: int) -> float:
        """Give the least time for `moved` bytes, each read or written once."""
        return moved / self.bytes_a_second

    def issue_seconds(self, direction: str, symbols: int) -> float | None:
        """Give the least time to issue the coder's rounds; None where that is not known."""
        if self.capability != COUNTED_FOR or self.hertz is None:
            return None
        rate = _ISSUED * self.multiprocessors * self.hertz
        return symbols / _LANES * INSTRUCTIONS[direction] / rate


def cuda_limits(stopwatch: Stopwatch, effort: Effort) -> Limits:
    """Measure the memory's bandwidth, and ask the driver for the rest."""
    import cupy

    copy = cupy.ElementwiseKernel("uint64 x", "uint64 y", "y = x", "fcmrt_benchmark_copy")
    source = cupy.arange(_COPIED_BYTES // 8, dtype=cupy.uint64)
    target = cupy.empty_like(source)
    seconds = time_call(stopwatch, lambda: copy(source, target), effort).device
    device = cupy.cuda.Device()
    megahertz = (describe_gpu() or {}).get("clocks.max.sm")
    capability = str(device.compute_capability)  # 9.0 is "90", 12.0 is "120"
    return Limits(
        2 * _COPIED_BYTES / float(np.median(seconds)),
        int(device.attributes["MultiProcessorCount"]),
        megahertz and 1e6 * megahertz,
        f"{capability[:-1]}.{capability[-1]}",
    )
