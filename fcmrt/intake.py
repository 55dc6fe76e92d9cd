"""Features as users give them, brought into an engine's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .arrays import FloatArray, as_features, as_numpy
from .errors import ConfigError, ShapeError
from .spec import FeatureSpec


def take_features(specs: Sequence[FeatureSpec], features: Any) -> list[FloatArray]:
    """Brings features into the engine's order; arguments and errors as `Encoder.take`.

    Args:
        specs: The engine's levels.
        features: A mapping, a sequence or one array; borrowed.
    """
    if isinstance(features, Mapping):
        arrays: Sequence[Any] = in_order(specs, features)
    elif isinstance(features, list | tuple):
        arrays = features
    else:
        arrays = [features]
    names = [spec.name for spec in specs]
    if len(arrays) != len(names):
        raise ShapeError(f"got {len(arrays)} levels; the engine has {', '.join(names)}")
    levels = []
    for spec, array in zip(specs, arrays, strict=True):
        shape = as_numpy(array, spec.name).shape
        if len(shape) not in (3, 4):
            raise ShapeError(
                f"{spec.name} has shape {list(shape)}; it must be [C, H, W] or [N, C, H, W]"
            )
        if shape[-3] != spec.channels:
            raise ShapeError(
                f"{spec.name} has {shape[-3]} channels (shape {list(shape)}); the engine "
                f"takes {spec.channels}, in the order [C, H, W]"
            )
        if 0 in shape:
            raise ShapeError(f"{spec.name} is empty (shape {list(shape)})")
        levels.append(as_features(array, spec.name))
    if len({level.shape[:-3] for level in levels}) > 1:
        raise ShapeError(
            "the levels differ in batch: "
            + ", ".join(f"{n} {list(a.shape)}" for n, a in zip(names, levels, strict=True))
        )
    return levels


def in_order(specs: Sequence[FeatureSpec], levels: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a mapping has for each level, in the engine's order; ConfigError for other levels."""
    wanted = [spec.name for spec in specs]
    if set(levels) != set(wanted):
        raise ConfigError(
            f"got the levels {', '.join(sorted(map(str, levels)))}; the engine has "
            f"{', '.join(wanted)}"
        )
    return tuple(levels[name] for name in wanted)
