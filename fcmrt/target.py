"""A picture brought to the steps, or to the size in bytes, that are wished of it.

Steps are real numbers here: at 7.25, a quarter of a level's channels take step 8 and the others
step 7. The size is that of the packet itself. Analysis is never run again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .allocation import Allocator
from .bitstream import EVEN, Importance
from .errors import ConfigError, TargetError
from .executor import Walk
from .groups import Group, quality_groups
from .requantise import requantised

Float64 = npt.NDArray[np.float64]

TOLERANCE = 0.01
"""Share of the wanted bytes within which the search for a size stops."""

_TRIES = 10
_STEPS_PER_E = 8.0  # that are thought to take a factor of e off the size, to begin with


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a picture beside its step number.

    Raises:
        ConfigError: A size below 1.
    """

    target_bytes: int | None = None
    """Length of the packet; None: what comes of it."""

    importance: Importance = EVEN
    """Where the step is another from the beginning."""

    allocator: Allocator | None = None
    """What shares bits out over the levels; None: nothing does."""

    weights: Mapping[str, float] | None = None
    """Importances of the levels, for the allocator; None: it predicts them."""

    def __post_init__(self) -> None:
        if self.target_bytes is not None and self.target_bytes < 1:
            raise ConfigError(f"target_bytes is {self.target_bytes}; it must be at least 1")
        if self.allocator is not None and self.weights is not None:
            self.allocator.weighted(self.weights)

    def granted(self, walk: Walk, size_of: Callable[[Walk], int]) -> Walk:
        """Returns the picture as it is wanted.

        Args:
            walk: The picture at its step, with all its integers; borrowed.
            size_of: Bytes of a picture's packet.

        Raises:
            ConfigError, TargetError, EngineError: As `to_size` and `Allocator.predicted`.
        """
        if self.allocator is None:
            if self.target_bytes is None:
                return walk
            return to_size(walk, self.target_bytes, steps_of(walk), size_of)
        allocator = self.allocator
        weights = self.weights
        found = allocator.predicted(walk) if weights is None else allocator.weighted(weights)
        if self.target_bytes is None:
            return at_steps(walk, np.round(allocator.steps_at(walk, found)))
        other = 8 * size_of(walk) - allocator.bits(walk)
        steps = allocator.steps_within(walk, found, max(8 * self.target_bytes - other, 1.0))
        return to_size(walk, self.target_bytes, steps, size_of)


def steps_of(walk: Walk) -> Float64:
    """Returns the step of each quality group, regions apart."""
    groups = enumerate(quality_groups(walk.manifest))
    told = walk.importance
    return np.array([walk.d + told.offset(k) + told.mixed(k) / g.channels for k, g in groups])


def at_steps(walk: Walk, steps: Float64) -> Walk:
    """Returns a picture at other steps; its regions stay.

    Args:
        walk: The picture, with all its integers; borrowed.
        steps: One for each quality group; fractions become a mix of channels. Clipped to the
            engine's.
    """
    d, importance = _told(walk, quality_groups(walk.manifest), steps)
    return requantised(walk, d, importance)


def to_size(walk: Walk, wanted: int, steps: Float64, size_of: Callable[[Walk], int]) -> Walk:
    """Returns a picture whose packet has the wanted size, or the nearest that was found.

    The steps of all groups are moved by the same amount. It is found by the secant rule, on the
    logarithm of the size, between the last two places with a size on either side.

    Args:
        walk: The picture, with all its integers; borrowed. Its regions stay.
        wanted: Bytes.
        steps: Where to begin, one step for each quality group.
        size_of: Bytes of a picture's packet.

    Raises:
        ConfigError: Quality does not follow steps in this engine.
        TargetError: No steps of the engine come to this size.
    """
    if not len(steps):
        raise ConfigError(
            f"quality does not follow steps in engine {walk.manifest.name!r}, so it cannot aim at "
            "a size; give a quality"
        )
    first, last = walk.manifest.step_numbers[0], walk.manifest.step_numbers[-1]
    search = _Search(first - float(steps.max()), last - float(steps.min()))
    best, nearest = walk, math.inf
    for _ in range(_TRIES):
        found = at_steps(walk, steps + search.at)
        miss = math.log(size_of(found) / wanted)
        if abs(miss) < nearest:
            best, nearest = found, abs(miss)
        if nearest <= TOLERANCE or not search.go_on(miss):
            break
    if nearest > TOLERANCE and search.at_end:
        ends = [np.full(len(steps), float(end)) for end in (last, first)]
        least, most = (size_of(at_steps(walk, end)) for end in ends)
        if not least <= wanted <= most:
            raise TargetError(wanted, least, most)
    return best


def _told(walk: Walk, groups: Sequence[Group], steps: Float64) -> tuple[int, Importance]:
    """Steps as a packet tells them.

    Groups are rounded at different places, so that not all gain a channel at the same time.
    """
    numbers = walk.manifest.step_numbers
    clipped = np.clip(steps, numbers[0], numbers[-1])
    parts = [
        divmod(math.floor(step * group.channels + (k + 0.5) / len(groups)), group.channels)
        for k, (group, step) in enumerate(zip(groups, clipped.tolist(), strict=True))
    ]
    d = parts[-1][0]  # offsets of 0 at the end take no bytes
    offsets = tuple(whole - d for whole, _ in parts)
    return d, Importance(offsets, tuple(mixed for _, mixed in parts), walk.importance.regions)


class _Search:
    """Looks for the zero of a falling function between two places, beginning at 0."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._sides: dict[bool, tuple[float, float]] = {}
        self.at = min(max(0.0, low), high)

    @property
    def at_end(self) -> bool:
        """Whether it has come to one of the two places."""
        return self.at in (self._low, self._high)

    def go_on(self, value: float) -> bool:
        """Takes the value where it is and moves; False if there is nowhere else to look."""
        here = self.at
        self._sides[value > 0] = (here, value)
        if len(self._sides) == 2:
            (a, above), (b, below) = self._sides[True], self._sides[False]
            share = above / (above - below)
            self.at = a + (b - a) * min(max(share, 0.1), 0.9)
        else:
            self.at = min(max(here + _STEPS_PER_E * value, self._low), self._high)
        return self.at != here
