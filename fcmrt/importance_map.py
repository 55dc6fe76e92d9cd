"""Where inside a picture bits are worth more: from a map of importances to regions.

The levels' steps are given; all levels move from them together, block by block. A block that is
twice as important as the picture gets steps that are finer by one. (Where losses and rates followed
the mean curves everywhere, it would be by more; but what matters more takes more bits as well.)
How fine blocks and their offsets are told is a matter of what it costs: with the curves, and with
the price of bits at which the levels have their steps, the loss of the whole picture and the bits
of levels and regions together are least.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bitstream import Importance, Regions
from .bitstream.importance import MAX_BLOCK_BITS
from .bitstream.importance_syntax import write_importance
from .importance import rectangles_of
from .spec import Size
from .step_maps import block_count

Float64 = npt.NDArray[np.float64]
I16 = npt.NDArray[np.int16]

_FINER_PER_DOUBLING = 1.0
_GRAINS = (1, 2, 3, 4)  # of offsets
_DOUBLINGS = 3  # of a block's side that are tried
_NEAR = 4  # steps to either side between which slopes are taken

FURTHEST = 8
"""By how many steps blocks may be finer or coarser than the picture."""


class Nearby(NamedTuple):
    """What levels lose and take at the steps around their own, -8 to 8."""

    losses: Float64
    """For an importance of 1, `[levels, 17]`."""
    rates: Float64
    """Of all levels together, where all take as many steps more: bits per element, `[17]`."""


def find_regions(
    importances: Float64, nearby: Nearby, elements: int, padded: Size
) -> tuple[int, Regions | None]:
    """Finds the regions of a picture whose levels have their steps.

    Args:
        importances: Of the cells of some grid, `[levels, h, w]`, above 0.
        nearby: Around the levels' steps.
        elements: Of all levels.
        padded: Size of the padded finest level.

    Returns:
        By how much the steps of all levels become others, and what regions add to them; 0 and None
        if they are not worth their bits, or blocks cannot be the grid's cells.
    """
    bits = _block_bits(padded, importances.shape[1:])
    losses, rates = nearby
    picture = importances.mean((1, 2))
    slopes = losses[:, FURTHEST + _NEAR] - losses[:, FURTHEST - _NEAR]
    lost, saved = float(picture @ slopes), rates[FURTHEST - _NEAR] - rates[FURTHEST + _NEAR]
    if bits is None or lost <= 0 or saved <= 0:
        return 0, None
    price = lost / saved
    best: tuple[int, Regions | None] = 0, None
    least = float(picture @ losses[:, FURTHEST] + price * rates[FURTHEST])
    for block_bits, sums, counts in _blocks(importances, bits):
        worth = (sums / counts * slopes[:, None, None]).sum(0) / lost
        for grain in _GRAINS:
            wanted = np.round(-_FINER_PER_DOUBLING * np.log2(worth) / grain) * grain
            offsets = np.clip(wanted, -FURTHEST, FURTHEST).astype(np.int16)
            at = FURTHEST + offsets
            cost = ((sums * losses[:, at]).sum(0) + price * counts * rates[at]).sum() / counts.sum()
            if cost >= least:
                continue  # without the bytes that tell it
            moved = _commonest(offsets)
            regions = _told(offsets - moved, block_bits)
            if regions is None:
                continue
            cost += price * 8 * len(write_importance(Importance(regions=regions))) / elements
            if cost < least:
                least, best = float(cost), (moved, regions)
    return best


def _block_bits(padded: Size, grid: tuple[int, ...]) -> int | None:
    """The side of blocks that are the cells of a grid, as a power of two."""
    for bits in range(MAX_BLOCK_BITS + 1):
        if tuple(block_count(side, bits) for side in padded) == grid:
            return bits
    return None


def _blocks(importances: Float64, bits: int) -> Iterator[tuple[int, Float64, Float64]]:
    """Blocks of some sides: power of two, sums of importances `[levels, h, w]`, cells `[h, w]`."""
    ones = np.ones_like(importances[0])
    for more in range(min(_DOUBLINGS, MAX_BLOCK_BITS + 1 - bits)):
        yield bits + more, _summed(importances, 1 << more), _summed(ones, 1 << more)


def _summed(cells: Float64, side: int) -> Float64:
    for axis in (-2, -1):
        cells = np.add.reduceat(cells, range(0, cells.shape[axis], side), axis)
    return cells


def _commonest(offsets: I16) -> int:
    values, counts = np.unique(offsets, return_counts=True)
    return int(values[counts.argmax()])


def _told(offsets: I16, block_bits: int) -> Regions | None:
    """Regions with these offsets; None: there are none, or they are too many."""
    rectangles = rectangles_of(offsets)
    return Regions(block_bits, tuple(rectangles)) if rectangles else None
