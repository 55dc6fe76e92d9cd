"""A small engine that keeps its levels apart: each has a context codec of its own."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fcmrt.engine import Engine
from fcmrt.engine_writer import with_proofs
from fcmrt.manifest import Manifest
from fcmrt.schedule import Code, Dequantize, Quantize, Run, Step
from fcmrt.spec import FeatureSpec, LatentSpec, Padding, Quality, TensorSpec

from .engines import MEAN_BITS, EngineParts, scale_tables, step_table
from .graph_maker import GraphMaker, gaussian_tables

LEVELS = (FeatureSpec("p3", 5, 1), FeatureSpec("p4", 6, 2), FeatureSpec("p5", 4, 4))
CHANNELS = 6
"""Channels of every level's latent."""


@functools.cache
def tiny_levels() -> Engine:
    """Nine code steps: of each level z, then y, even cells first, then odd ones."""
    return Engine.load(level_parts().pack())


@functools.cache
def level_parts() -> EngineParts:
    levels = [_Level(number, feature) for number, feature in enumerate(LEVELS)]
    heads = [step for level in levels for step in level.head]
    manifest = Manifest(
        name="tiny-levels",
        family="test",
        profile="exact",
        features=LEVELS,
        padding=Padding(8, "reflect", "center"),
        tensors={name: spec for level in levels for name, spec in level.tensors.items()},
        latents={name: latent for level in levels for name, latent in level.latents.items()},
        mean_bits=MEAN_BITS,
        steps=step_table(-8, 16),
        quality=Quality((12, 6, 0), 2),
        encode=(
            *(step for level in levels for step in level.encode),
            *(Code(name) for level in levels for name in level.latents),
        ),
        decode=(*heads, *(level.synthesis for level in levels)),
        outputs={level.name: level.synthesis.outputs[0] for level in levels},
    )
    graphs = {name: graph for level in levels for name, graph in level.graphs().items()}
    tables = {"hyper": gaussian_tables([2, 3, 4]), "gaussian": scale_tables()}
    return EngineParts(with_proofs(manifest, graphs), graphs, tables)


class _Level:
    """One level's part of everything; its names begin with the level's."""

    def __init__(self, number: int, feature: FeatureSpec) -> None:
        self._seed = 20 + 10 * number
        self.name = name = feature.name
        self._feature = feature
        stride = 2 * feature.stride
        self._y, self._z, self._hyper = f"{name}_y", f"{name}_z", f"{name}_hyper"
        self.tensors = {
            self._y: TensorSpec(CHANNELS, stride, "float32"),
            self._z: TensorSpec(3, 2 * stride, "float32"),
            f"{self._z}_hat": TensorSpec(3, 2 * stride, "float32"),
            self._hyper: TensorSpec(8, stride, "float32"),
            f"{name}_hat": feature.tensor,
        }
        self.latents = {self._z: LatentSpec(self._z, "hyper", None, None, step=False, skip=0)}
        analysis = Run(f"{name}_analysis", (name,), (self._y, self._z))
        self._synthesise = Run(f"{name}_hyper_synthesis", (f"{self._z}_hat",), (self._hyper,))
        self.encode: list[Step] = [analysis, Quantize(self._z)]
        self.head: list[Step] = [Code(self._z)]
        for steps in self.encode, self.head:
            steps += [Dequantize(self._z, f"{self._z}_hat"), self._synthesise]
        self._runs: list[Run] = []
        for half in "even", "odd":
            self._add(half, stride)
        hats = tuple(f"{run.outputs[0].removesuffix('_mean')}_hat" for run in self._runs)
        self.encode.pop()  # nothing on the encoder reads the last half
        self.synthesis = Run(f"{name}_synthesis", hats, (f"{name}_hat",))

    def _add(self, half: Any, stride: int) -> None:
        latent = f"{self._y}_{half}"
        mean, index, hat = (f"{latent}_{role}" for role in ("mean", "index", "hat"))
        self.tensors[hat] = self.tensors[self._y]
        for role in mean, index:
            self.tensors[role] = TensorSpec(CHANNELS, stride, "int32")
        self.latents[latent] = LatentSpec(
            self._y, "gaussian", index, mean, step=True, skip=4, parity=half
        )
        earlier = tuple(f"{run.outputs[0].removesuffix('_mean')}_hat" for run in self._runs)
        run = Run(f"{latent}_context", (self._hyper, *earlier), (mean, index))
        self._runs.append(run)
        self.encode += [run, Quantize(latent), Dequantize(latent, hat)]
        self.head += [run, Code(latent), Dequantize(latent, hat)]

    def graphs(self) -> dict[str, bytes]:
        """The level's networks, with seeded weights."""
        specs = {self.name: self._feature.tensor} | self.tensors
        channels = self._feature.channels
        g = GraphMaker(self._seed)
        y = g.conv(self.name, channels, CHANNELS, 3, 2, gain=2)
        g.op("Identity", y, output=self._y)
        g.op("Identity", g.conv(g.op("Relu", y), CHANNELS, 3, 3, 2, gain=4), output=self._z)
        made = {f"{self.name}_analysis": g.model("a", specs, (self.name,), (self._y, self._z))}
        g = GraphMaker(self._seed + 1)
        run = self._synthesise
        grid = g.clipped(g.op("Round", run.inputs[0]), 512)
        g.up(g.integer_conv(grid, 3, 32, 1, most=4), 2, output=self._hyper)
        made[run.graph] = g.model("h", specs, run.inputs, run.outputs)
        for k, run in enumerate(self._runs):
            made[run.graph] = self._context(GraphMaker(self._seed + 2 + k), run, specs)
        g = GraphMaker(self._seed + 5)
        y = g.op("Sum", *self.synthesis.inputs)
        g.up(g.conv(y, CHANNELS, 4 * channels, 3), 2, output=self.synthesis.outputs[0])
        run = self.synthesis
        made[run.graph] = g.model("s", specs, run.inputs, run.outputs)
        return made

    def _context(self, g: GraphMaker, run: Run, specs: dict[str, TensorSpec]) -> bytes:
        hyper, *earlier = run.inputs
        x = g.integer_conv(g.clipped(g.op("Round", hyper), 8191), 8, 2 * CHANNELS, 1, most=2)
        for known in earlier:
            grid = g.clipped(g.op("Round", g.scaled(known, 4)), 255)
            x = g.op("Add", x, g.integer_conv(grid, CHANNELS, 2 * CHANNELS, 3, most=2))
        mean, index = run.outputs
        g.split(x, g.constant(np.array([CHANNELS, CHANNELS], np.int64)), ["m", "i"])
        g.whole(g.clipped("m", 1 << 15), mean)
        g.whole(g.op("Add", g.op("Round", g.scaled("i", 1 / 16)), g.scalar(26)), index)
        return g.model("c", specs, run.inputs, run.outputs)
