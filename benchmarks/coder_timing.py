"""Times calls in turn, so that whatever slows the machine for a while slows all of them alike."""

from __future__ import annotations

import ctypes
import math
import mmap
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

LEAST_SAMPLE_S = 1e-3
_LONGEST_LOOP = 1000
_TRIALS = 3  # calls to find out how long one takes
_CHAIN, _CHAIN_LOOPS = 64, 50_000


@dataclass(frozen=True, slots=True)
class Timed:
    """A call to time."""

    call: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None
    """Makes the argument of one call, outside of the clock."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds of one call, by round: float64 `[rounds]`."""

    cpu: NDArray[np.float64]
    """Processor time of the calling thread."""
    wall: NDArray[np.float64]

    def of(self, threads: int) -> NDArray[np.float64]:
        """Give processor time for one thread, as other work affects it less; else wall time."""
        return self.cpu if threads == 1 else self.wall


def alternate(calls: Mapping[str, Timed], rounds: int) -> dict[str, Samples]:
    """Time calls in turn, `rounds` times each.

    A sample follows an untimed run of the same call, so each finds the caches as it leaves them
    itself. Calls too short for the clock are repeated within a sample.

    Args:
        calls: What to time, by name.
        rounds: Number of samples of each.
    """
    loops = {name: _loop_length(timed) for name, timed in calls.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, timed in calls.items():
            timed.call(timed.prepare())
            taken[name].append(_sample(timed, loops[name]))
    return {name: Samples(*np.array(pairs).T) for name, pairs in taken.items()}


def _loop_length(timed: Timed) -> int:
    wall = min(_sample(timed, 1)[1] for _ in range(_TRIALS))
    return min(_LONGEST_LOOP, max(1, math.ceil(LEAST_SAMPLE_S / wall)))


def _sample(timed: Timed, loop: int) -> tuple[float, float]:
    call, arguments = timed.call, [timed.prepare() for _ in range(loop)]
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    for argument in arguments:
        call(argument)
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    return cpu * 1e-9 / loop, wall * 1e-9 / loop


def speed(seconds: NDArray[np.float64], count: float) -> dict[str, float]:
    """Give the median and the spread of how many a second, in millions."""
    return report.median_and_spread(count / seconds * 1e-6)


class ProcessorClock:
    """Finds the clock that the processor really runs at, from a chain of dependent additions.

    An addition of two registers has to wait for the one before it and takes one cycle on every
    x86-64 processor of the last twenty years, so the chain's length is its number of cycles.

    Raises:
        OSError: Not an x86-64 processor, or the system lets no program write machine code.
    """

    cycles = _CHAIN * _CHAIN_LOOPS

    def __init__(self) -> None:
        if platform.machine() not in ("x86_64", "AMD64"):
            raise OSError(f"there is no chain of additions for {platform.machine()}")
        adds = bytes.fromhex("4801c8") * _CHAIN  # add rax, rcx
        back = len(adds) + 3 + 6
        code = (
            bytes.fromhex("31c0b901000000")  # xor eax, eax; mov ecx, 1
            + adds
            + bytes.fromhex("48ffcf0f85")  # dec rdi; jnz to the first add
            + (-back).to_bytes(4, "little", signed=True)
            + bytes.fromhex("c3")
        )
        protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self._memory = mmap.mmap(-1, len(code), prot=protection)
        self._memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._chain = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(address)

    def run(self) -> int:
        """Run the chain once and give the sum, which is the number of cycles."""
        return int(self._chain(_CHAIN_LOOPS))

    def timed(self) -> Timed:
        """Give the chain as a call to time among others."""
        return Timed(lambda _: self.run())
