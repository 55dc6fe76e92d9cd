"""The small engine of separate levels, with an importance model."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from fcmrt.engine import Engine
from fcmrt.importance_model import ImportanceModel, LevelModel
from fcmrt.spec import TensorSpec

from .engines import EngineParts
from .graph_maker import GraphMaker
from .level_engine import LEVELS, level_parts

STEPS = (-8, 0, 8, 16)


@functools.cache
def tiny_allocating() -> Engine:
    """Levels that lose alike; importances follow the features."""
    return Engine.load(allocating_parts().pack())


@functools.cache
def allocating_parts() -> EngineParts:
    parts = level_parts()
    names = tuple(feature.name for feature in LEVELS)
    specs = {f.name: f.tensor for f in LEVELS} | {"importance": TensorSpec(3, 4, "float32")}
    g = GraphMaker(60)
    maps = [g.conv(f.name, f.channels, 3, 3, 4 // f.stride) for f in LEVELS]
    g.op("Sum", *maps, output="importance")
    graph = g.model("importance", specs, names, ("importance",))
    levels = {}
    for f in LEVELS:
        # As large as the level, so that equal steps are best for equal importances.
        losses = tuple(0.01 * 2**i * f.channels / f.stride**2 for i in range(4))
        levels[f.name] = LevelModel(0.03, -0.5, 0.9, losses, (4.0, 2.0, 1.0, 0.5))
    model = ImportanceModel("importance", STEPS, 10, levels)
    manifest = dataclasses.replace(parts.manifest, importance=model)
    return EngineParts(manifest, {**parts.graphs, "importance": graph}, parts.tables)


def picture(seed: int, engine: Engine | None = None, side: int = 48) -> list[np.ndarray]:
    """Features of one picture, for this engine or another."""
    rng = np.random.default_rng(seed)
    levels = LEVELS if engine is None else engine.manifest.features
    return [
        rng.standard_normal((f.channels, side // f.stride, side // f.stride)).astype(np.float32)
        for f in levels
    ]
