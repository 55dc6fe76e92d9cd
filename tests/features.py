"""Random features that fit an engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fcmrt import Engine
from fcmrt.spec import Size, level_sizes


def random_features(
    engine: Engine,
    size: Size,
    seed: int = 0,
    batch: int | None = None,
    scale: float = 3.0,
    sizes: tuple[Size, ...] | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Draws features of an engine, whose finest level has `size` cells unless `sizes` are told."""
    rng = np.random.default_rng(seed)
    levels = engine.manifest.features
    sizes = sizes or level_sizes(levels, *size)
    front = () if batch is None else (batch,)
    return {
        level.name: rng.normal(0, scale, (*front, level.channels, *sides)).astype(np.float32)
        for level, sides in zip(levels, sizes, strict=True)
    }
