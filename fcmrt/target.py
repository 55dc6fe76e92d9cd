"""Brings a picture to other steps, or to a size in bytes.

Between two steps there are as many positions as there are channels: one after another, group by
group, channels take the next step. Sizes are those of real packets. Analysis is never run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .bitstream import Importance, Regions
from .errors import ConfigError, TargetError
from .groups import quality_groups
from .manifest import Manifest
from .requantise import requantised
from .walk import Walk

Float64 = npt.NDArray[np.float64]

TOLERANCE = 0.01
"""Share of the wanted bytes within which the search for a size stops."""

_TRIES = 12
_STEPS_PER_E = 8.0  # first guess: this many steps divide the size by e
_MARGIN = 0.05  # least distance of a trial from the ends of the search range, as a share of it


def offsets_of(manifest: Manifest, importance: Importance) -> Float64:
    """Returns the offset of each quality group, float64 `[groups]`, without mixes and regions."""
    groups = range(len(quality_groups(manifest)))
    return np.array([float(importance.offset(k)) for k in groups])


def at_steps(walk: Walk, regions: Regions | None, steps: Float64, moved: int = 0) -> Walk:
    """Returns a picture at other steps.

    Args:
        walk: The picture, with all its integers; borrowed.
        regions: Regions to use instead of the walk's.
        steps: One for each quality group; rounded, and clipped to the engine's.
        moved: How many channels take the next step, group by group; the number of all channels
            moves all steps by 1. May be negative.
    """
    groups = quality_groups(walk.manifest)
    common, left = divmod(moved, sum(group.channels for group in groups))
    first, last = walk.manifest.step_numbers[0], walk.manifest.step_numbers[-1]
    wholes, mixes = [], []
    for group, step in zip(groups, steps, strict=True):
        more, mix = divmod(min(max(left, 0), group.channels), group.channels)
        left -= group.channels
        whole = round(float(step)) + common + more
        wholes.append(min(max(whole, first), last))
        mixes.append(mix if first <= whole < last else 0)
    d = wholes[-1]  # offsets of 0 at the end take no bytes
    offsets = tuple(whole - d for whole in wholes)
    return requantised(walk, d, Importance(offsets, tuple(mixes), regions))


def to_size(
    walk: Walk,
    regions: Regions | None,
    wanted: int,
    steps: Float64,
    size_of: Callable[[Walk], int],
) -> Walk:
    """Returns a picture whose packet has the wanted size, or the nearest that was found.

    The steps of all groups are moved together, between the engine's finest and that of its lowest
    quality. The distance is searched by the secant rule on the logarithm of the size, between the
    nearest known positions on either side.

    Args:
        walk: The picture, with all its integers; borrowed.
        regions: Regions to use instead of the walk's; their offsets stay as they are.
        wanted: Bytes.
        steps: Where to begin, one step for each quality group.
        size_of: Returns the bytes of a picture's packet.

    Raises:
        ConfigError: Quality does not follow steps in this engine.
        TargetError: The size is out of reach.
    """
    manifest = walk.manifest
    groups = quality_groups(manifest)
    if not groups:
        raise ConfigError(
            f"quality does not follow steps in engine {manifest.name!r}, so it cannot aim at a "
            "size; give a quality"
        )
    finest, coarsest = manifest.step_numbers[0], manifest.quality.levels[0]
    channels = sum(group.channels for group in groups)
    low = (finest - math.ceil(steps.max())) * channels
    high = (coarsest - math.floor(steps.min())) * channels
    search = _Search(low, high, _STEPS_PER_E * channels)
    best, nearest = walk, math.inf

    def tried(moved: int, more: Float64 | float = 0.0) -> float:
        nonlocal best, nearest
        found = at_steps(walk, regions, steps + more, moved)
        miss = math.log(size_of(found) / wanted)
        if abs(miss) < nearest:
            best, nearest = found, abs(miss)
        return miss

    for _ in range(_TRIES):
        if not search.go_on(tried(search.at)) or nearest <= TOLERANCE:
            break
    if nearest > TOLERANCE:
        # A mix itself takes some bytes, which matter in small packets: try whole steps only, with
        # no group, one or all of them a step further.
        below = min(max(search.at // channels * channels, low), high)
        for more in (np.zeros(len(groups)), *np.eye(len(groups)), np.ones(len(groups))):
            tried(below, more)
    if nearest > TOLERANCE and not search.enclosed:
        ends = [np.full(len(groups), float(end)) for end in (coarsest, finest)]
        least, most = (size_of(at_steps(walk, regions, end)) for end in ends)
        if not least <= wanted <= most:
            raise TargetError(wanted, least, most)
    return best


class _Search:
    """Looks for the zero of a falling function of integers, beginning at 0.

    Args:
        low: Least integer.
        high: Greatest integer.
        per_unit: First guess of how far to go for a change of 1 in the value.
    """

    def __init__(self, low: int, high: int, per_unit: float) -> None:
        self._low, self._high = low, high
        self._slope = -1 / per_unit
        self._last: tuple[int, float] | None = None
        self._above: int | None = None  # the greatest integer where the value was positive
        self._below: int | None = None  # the least integer where it was not
        self.at = min(max(0, low), high)

    @property
    def enclosed(self) -> bool:
        """Whether values on both sides of 0 are known."""
        return self._above is not None and self._below is not None

    def go_on(self, value: float) -> bool:
        """Takes the value at `at`, and moves `at`; False if there is nowhere else to look."""
        here = self.at
        if self._last is not None:
            slope = (value - self._last[1]) / (here - self._last[0])
            self._slope = slope if slope < 0 else self._slope
        self._last = here, value
        if value > 0:
            self._above = here if self._above is None else max(self._above, here)
        else:
            self._below = here if self._below is None else min(self._below, here)
        low = self._low if self._above is None else self._above + 1
        high = self._high if self._below is None else self._below - 1
        if low > high:
            return False
        margin = int((high - low) * _MARGIN) if self.enclosed else 0
        aim = round(here - value / self._slope)
        self.at = min(max(aim, low + margin), high - margin)
        return self.at != here
