"""Timing several libraries in one process, each undisturbed by the others' threads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS, WARM_UP = 4, 2
PAUSE_S = 0.5  # until the threads of the library that ran before have gone to sleep


def in_blocks(
    calls: Mapping[str, Callable[[int], object]], repeats: int, pictures: int
) -> dict[str, list[float]]:
    """Time calls in blocks, one after another, several times round: milliseconds by name.

    Not call by call: the threads of one library go on spinning for a while after a call, and would
    take the cores from the other's.

    Args:
        calls: What to time; gets the number of the picture.
        repeats: Timed calls of each.
        pictures: How many pictures there are.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    block = -(-repeats // ROUNDS)
    for first in range(0, repeats, block):
        for name, call in calls.items():
            time.sleep(PAUSE_S)
            for k in range(first - WARM_UP, min(first + block, repeats)):
                start = time.perf_counter()
                call(k % pictures)
                if k >= first:
                    taken[name].append(1e3 * (time.perf_counter() - start))
    return taken
