"""Ways to share bits out over feature levels that an engine keeps apart.

- `none`: one quality for all levels of all pictures.
- `equal`: by the curves of the engine's importance model, all levels of all pictures being of equal
  importance.
- `within`: by the same curves, with the importances that the model predicts, scaled so that those
  of one picture's levels have the same sum in every picture (as MFIBA's weights have). What is
  predicted moves bits between levels, not between pictures.
- `levels`: with the importances of levels as they are predicted; between levels and between
  pictures.
- `importance`: with all that is predicted; inside pictures, too.
- `mse`: the least squared error of the features, between levels and between pictures
  (`benchmarks.least_error`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import fcmrt
from fcmrt.allocation import Allocator
from fcmrt.executor import executor_for
from fcmrt.groups import quality_groups

from .least_error import LeastError
from .systems import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Features = Mapping[str, NDArray[np.float32]]
    Box = tuple[float, float, float, float]
    Wanted = bool | Mapping[str, float] | fcmrt.Importance | None
    Allocation = Callable[[Features, int], "Shares"]
    # from features and quality level

EQUAL, WITHIN, LEVELS, IMPORTANCE, MSE = "equal", "within", "levels", "importance", "mse"
ALLOCATIONS = (PLAIN, EQUAL, WITHIN, LEVELS, IMPORTANCE, MSE)
UNTIMED = (WITHIN, MSE)  # they look at more than an encoder does, or twice


class Shares(NamedTuple):
    """How one picture is to be encoded: what `Encoder.encode` takes under the same names."""

    step: int
    importance: Wanted = None
    roi: Sequence[Box] | None = None


def allocations(encoder: fcmrt.Encoder, pictures: Sequence[Features] = ()) -> dict[str, Allocation]:
    """Give the allocations that an engine can be measured with, by name.

    Args:
        encoder: Of the engine.
        pictures: Features of all pictures, float32 `[C, H, W]` by level; borrowed. `mse` is of them
            together, and only there if there are some.
    """
    manifest = encoder.engine.manifest
    groups = quality_groups(manifest)
    step = manifest.quality.shift
    found: dict[str, Allocation] = {PLAIN: lambda features, quality: Shares(step(quality))}
    if manifest.importance is not None:
        weights = {group.name: 1.0 for group in groups}
        predicted = _predicted(encoder)
        found[EQUAL] = lambda features, quality: Shares(step(quality), weights)
        found[WITHIN] = lambda features, quality: Shares(step(quality), predicted(features))
        found[LEVELS] = lambda features, quality: Shares(step(quality), True, ())
        found[IMPORTANCE] = lambda features, quality: Shares(step(quality), True)
    if len(groups) > 1 and pictures:
        least = LeastError(encoder, pictures)
        found[MSE] = lambda features, quality: _at(least.steps_of(features, quality))
    return found


def _predicted(encoder: fcmrt.Encoder) -> Callable[[Features], Mapping[str, float]]:
    """Give what predicts a picture's importances, by level; as weights only their ratios count."""
    engine = encoder.engine
    allocator = Allocator(executor_for(engine, fcmrt.RuntimeOptions()))
    names = [group.name for group in quality_groups(engine.manifest)]

    def predicted(features: Features) -> Mapping[str, float]:
        walk = encoder.walk(features, step=allocator.first_step)
        return dict(zip(names, allocator.predicted(walk).tolist(), strict=True))

    return predicted


def _at(steps: tuple[int, ...]) -> Shares:
    """Let each level have its step; offsets of 0 at the end take no bytes."""
    return Shares(steps[-1], fcmrt.Importance(tuple(step - steps[-1] for step in steps)))
