"""Ways to share a packet's bits out over feature levels that an engine keeps apart.

- `importance`: as the engine's importance model predicts for the picture.
- `equal`: by the same model's curves, all levels of all pictures being of equal importance.
- `mse`: picture by picture, the steps by level with which the squared error of all features is
  least, in no more bits than one quality for all levels takes. It looks at what is decoded, at
  every step, and so is an anchor and not a way to encode.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fcmrt
from fcmrt.groups import quality_groups

from .entropy import ideal_bits
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Features = Mapping[str, Float32]
    Wanted = bool | Mapping[str, float] | fcmrt.Importance | None
    Allocation = Callable[[Features, int], Wanted]
    # from features and quality level to what `Encoder.encode` takes as importance

IMPORTANCE, EQUAL, MSE = "importance", "equal", "mse"
ALLOCATIONS = (PLAIN, EQUAL, IMPORTANCE, MSE)
STRIDE = 2  # between the step numbers that `mse` tries


def allocations(encoder: fcmrt.Encoder, decoder: fcmrt.Decoder) -> dict[str, Allocation]:
    """Give the allocations that an engine can be measured with, by name.

    Args:
        encoder: Of the engine.
        decoder: Of the engine.
    """
    manifest = encoder.engine.manifest
    groups = quality_groups(manifest)
    found: dict[str, Allocation] = {PLAIN: lambda features, quality: None}
    if manifest.importance is not None:
        weights = {group.name: 1.0 for group in groups}
        found[EQUAL] = lambda features, quality: weights
        found[IMPORTANCE] = lambda features, quality: True
    if len(groups) > 1:
        found[MSE] = LeastError(encoder, decoder).importance
    return found


class Trials(NamedTuple):
    """What every level of one picture takes and loses at every step that is tried."""

    features: Features
    # kept, so that no other picture gets its identity
    bits: Float64
    # float64 [groups, steps], ideal
    errors: Float64
    # float64 [groups, steps], squared, summed


class LeastError:
    """The allocation `mse` of one engine; remembers every picture's trials.

    Args:
        encoder: Of an engine whose levels have groups of their own.
        decoder: Of the engine.
    """

    def __init__(self, encoder: fcmrt.Encoder, decoder: fcmrt.Decoder) -> None:
        self._encoder, self._decoder = encoder, decoder
        manifest = encoder.engine.manifest
        self._quality = manifest.quality
        self._groups = quality_groups(manifest)
        levels = [self._quality.shift(level + 1) for level in range(len(self._quality.levels))]
        first, last = min(levels), max(levels)
        self.steps = sorted({*levels, *range(first, last, STRIDE)})
        self._kept: dict[int, Trials] = {}

    def importance(self, features: Features, quality: int) -> fcmrt.Importance:
        """Find the offsets from a quality's step with which the error is least.

        Args:
            features: float32 `[C, H, W]` by level; kept.
            quality: Quality level.
        """
        trials = self._trials(features)
        plain = self._quality.shift(quality)
        allowed = trials.bits[:, self.steps.index(plain)].sum()
        bits = functools.reduce(np.add.outer, trials.bits)
        errors = functools.reduce(np.add.outer, trials.errors)
        best = int(np.argmin(np.where(bits <= allowed, errors, np.inf)))
        places = np.unravel_index(best, errors.shape)
        return fcmrt.Importance(tuple(self.steps[place] - plain for place in places))

    def _trials(self, features: Features) -> Trials:
        kept = self._kept.get(id(features))
        if kept is None:
            rows = [self._tried(features, step) for step in self.steps]
            bits, errors = (np.array(column, np.float64).T for column in zip(*rows, strict=True))
            kept = self._kept[id(features)] = Trials(features, bits, errors)
        return kept

    def _tried(self, features: Features, step: int) -> tuple[list[float], list[float]]:
        """Ideal bits and squared errors of all groups at one step for all."""
        walk = self._encoder.walk(features, step=step)
        decoded = self._decoder.decode(self._encoder.code(walk))
        bits, errors = [], []
        for group in self._groups:
            latents = [walk.integers[name] for name in group.latents]
            bits.append(ideal_bits(self._encoder.engine, latents))
            errors.append(
                sum(
                    float(np.sum((features[level].astype(np.float64) - decoded[level]) ** 2))
                    for level in group.name.split("+")
                )
            )
        return bits, errors
