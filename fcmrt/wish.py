"""What a call asks for besides the quality step, and how the steps that grant it are found."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .allocation import Allocator
from .arguments import whole
from .bitstream import EVEN, Importance, Regions
from .bitstream.varint import U32_MAX
from .errors import ConfigError, TargetError
from .executor import Executor
from .importance import ROI_GAIN, importance_of
from .spec import Size
from .target import Float64, at_steps, offsets_of, to_size
from .walk import Walk


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What a call asks for besides the quality step.

    Raises:
        ConfigError: The weights do not go with the allocator.
    """

    target_bytes: int | None = None
    """Size that the packet should come near to; None: any."""

    importance: Importance = EVEN
    """Where steps differ from the picture's, or from those that the allocator has chosen."""

    has_regions: bool = False
    """True: the regions are those of `importance`, even if it has none; False: the allocator, if
    there is one, finds them."""

    allocator: Allocator | None = None
    """Shares bits out over the levels; None: nothing does."""

    weights: Mapping[str, float] | None = None
    """Importances of the levels, for the allocator; None: it predicts them."""

    def __post_init__(self) -> None:
        if self.allocator is not None and self.weights is not None:
            self.allocator.weighted(self.weights)

    @property
    def is_plain(self) -> bool:
        """Whether the steps do not depend on the picture."""
        return self.target_bytes is None and self.allocator is None

    def first_steps(self, d: int) -> tuple[int, Importance]:
        """Returns step and importance to quantise with first, if the picture's own step is `d`."""
        if self.allocator is None:
            return d, self.importance
        return self.allocator.first_step, EVEN

    def granted(self, walk: Walk, d: int, size_of: Callable[[Walk], int]) -> Walk:
        """Returns the picture at the steps that the wish leads to.

        Args:
            walk: The picture at `first_steps(d)`, with all its integers; borrowed.
            d: Its own step number.
            size_of: Bytes of a picture's packet.

        Raises:
            ConfigError, TargetError, EngineError: As `to_size` and `Allocator.predicted`.
        """
        if self.is_plain:
            return walk
        steps: Float64 | int = d
        regions = self.importance.regions
        if self.allocator is not None:
            steps, regions = self._shared_out(self.allocator, walk, d, size_of)
        steps = steps + offsets_of(walk.manifest, self.importance)
        if self.target_bytes is None:
            return at_steps(walk, regions, steps)
        try:
            return to_size(walk, regions, self.target_bytes, steps, size_of)
        except TargetError:
            if self.has_regions or regions is None:
                raise
            # The allocator's regions, which nobody asked for, keep a picture from the ends of the
            # range of sizes.
            return to_size(walk, None, self.target_bytes, steps, size_of)

    def _shared_out(
        self, allocator: Allocator, walk: Walk, d: int, size_of: Callable[[Walk], int]
    ) -> tuple[Float64, Regions | None]:
        """Returns the step of each quality group, before offsets are added, and the regions."""
        weights, taken = self.weights, allocator.measured(walk)
        if weights is None:
            parts = allocator.predicted_map(walk)
        else:
            parts = allocator.weighted(weights)[:, None, None]
        importances = parts.mean((1, 2))
        if self.target_bytes is None:
            # Whole steps, so that they are rounded before offsets are added, not after.
            steps = np.round(allocator.steps_at(taken, importances, d))
        else:
            other = 8 * size_of(walk) - taken.bits
            bits = max(8 * self.target_bytes - other, 1.0)
            steps = allocator.steps_within(taken, importances, bits)
        if self.has_regions:
            return steps, self.importance.regions
        moved, regions = allocator.regions(taken, parts, steps)
        return steps + moved, regions


class Wishes:
    """Makes wishes from the arguments of calls; any thread may use it.

    Args:
        executor: The engine, ready to run.
        quality: Quality level of calls that give none; None: the engine's default.

    Raises:
        ConfigError: The quality is out of range.
    """

    def __init__(self, executor: Executor, quality: float | None) -> None:
        self._executor = executor
        self._manifest = executor.manifest
        levels = self._manifest.quality
        self._step = levels.shift(levels.default if quality is None else quality)

    def step(self, quality: float | None, step: int | None) -> int:
        """Returns the step number that a call asks for; ConfigError if the engine has none such."""
        if step is None:
            return self._step if quality is None else self._manifest.quality.shift(quality)
        if quality is not None:
            raise ConfigError("give a quality or a step, not both")
        number = whole(step, "step")
        self._manifest.step_width(number)
        return number

    @functools.cached_property
    def allocator(self) -> Allocator:
        """Shares bits out over levels; ConfigError if the engine has no importance model."""
        return Allocator(self._executor)

    def wish(
        self,
        sizes: Sequence[Size],
        importance: Importance | Mapping[str, float] | bool | None,
        target_bytes: int | None,
        level_offsets: Mapping[str, int] | None = None,
        roi: Any = None,
        roi_gain: int = ROI_GAIN,
    ) -> Wish:
        """Makes a wish; arguments and errors as `Encoder.encode`.

        Args:
            sizes: Height and width of every level, in the engine's order.
            importance: As for `Encoder.encode`.
            target_bytes: Size that the packet should come near to.
            level_offsets: Steps by level; None: there are none.
            roi: Boxes or a mask; None: neither.
            roi_gain: Steps by which boxes, and masks of truth values, are finer.
        """
        if not (importance is None or isinstance(importance, bool | Importance | Mapping)):
            raise ConfigError(
                f"importance is a {type(importance).__name__}; it must be an Importance, True, or "
                "weights by level"
            )
        target = None if target_bytes is None else whole(target_bytes, "target_bytes", 1, U32_MAX)
        given = importance_of(self._manifest, sizes, level_offsets, roi, roi_gain)
        if isinstance(importance, Importance) and (level_offsets or roi is not None):
            raise ConfigError(
                "give an Importance, which has offsets and regions already, or level offsets and "
                "regions; not both"
            )
        if importance is True or isinstance(importance, Mapping):
            weights = importance if isinstance(importance, Mapping) else None
            return Wish(target, given, roi is not None, self.allocator, weights)
        return Wish(target, importance or given)
