"""Finds regions where bits are worth more, from a map of importances.

The levels' steps are given; in each block all levels move from them together. A block that is twice
as important as the picture gets steps that are finer by one. (If losses and rates followed the mean
curves everywhere, it would be by more; but what matters more takes more bits as well.) The size of
blocks and the resolution of their offsets are chosen by cost: the loss of the whole picture by the
curves, and the bits of levels and regions at the price that the levels' steps imply, are least
together.
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
_GRAINS = (1, 2, 3, 4)  # offsets are multiples of one of these
_DOUBLINGS = 3  # sides of blocks that are tried, each twice the one before
_NEAR = 4  # slopes are taken between this many steps to either side

FURTHEST = 8
"""The most steps by which blocks may be finer or coarser than the picture."""


class Nearby(NamedTuple):
    """What levels lose and take at steps that differ from their own by -8 to 8."""

    losses: Float64
    """Loss of each level at an importance of 1, `[levels, 17]`."""
    rates: Float64
    """Bits per element of all levels together, if all differ by the same number, `[17]`."""


def find_regions(
    importances: Float64, nearby: Nearby, elements: int, padded: Size
) -> tuple[int, Regions | None]:
    """Finds the regions of a picture, given the steps of its levels.

    Args:
        importances: Importances of the cells of some grid, `[levels, h, w]`, above 0.
        nearby: What the levels lose and take around their steps.
        elements: Number of elements in all levels.
        padded: Size of the padded finest level.

    Returns:
        What to add to the steps of all levels, and the regions; 0 and None if regions are not worth
        their bits, or if no blocks are as large as the grid's cells.
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
                continue  # even without the bytes of the regions
            moved = _commonest(offsets)
            regions = _as_regions(offsets - moved, block_bits)
            if regions is None:
                continue
            cost += price * 8 * len(write_importance(Importance(regions=regions))) / elements
            if cost < least:
                least, best = float(cost), (moved, regions)
    return best


def _block_bits(padded: Size, grid: tuple[int, ...]) -> int | None:
    """Returns the side, as a power of two, of blocks that are the cells of a grid, or None."""
    for bits in range(MAX_BLOCK_BITS + 1):
        if tuple(block_count(side, bits) for side in padded) == grid:
            return bits
    return None


def _blocks(importances: Float64, bits: int) -> Iterator[tuple[int, Float64, Float64]]:
    """Yields, for each side that is tried, what its blocks hold.

    That is the side as a power of two, sums of importances `[levels, h, w]`, and numbers of cells
    `[h, w]`.
    """
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


def _as_regions(offsets: I16, block_bits: int) -> Regions | None:
    """Returns regions with these offsets; None: there are none, or too many."""
    rectangles = rectangles_of(offsets)
    return Regions(block_bits, tuple(rectangles)) if rectangles else None
