"""Small engines with seeded weights, for tests; they run in ONNX Runtime at any height and width.

Everything between a dequantised latent and the next means and indexes computes on small integers
carried in floats, so all engines but one are of the profile `exact`; that one makes nothing of it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcmrt.engine import Engine
from fcmrt.engine_writer import pack_engine, with_proofs
from fcmrt.manifest import Manifest
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import (
    ONE_STEP,
    FeatureSpec,
    LatentSpec,
    Padding,
    Quality,
    StepTable,
    TensorSpec,
)

from .graph_maker import GraphMaker, gaussian_tables

MEAN_BITS = 6


@dataclasses.dataclass(frozen=True)
class EngineParts:
    """What an engine file is made of."""

    manifest: Manifest
    graphs: Mapping[str, bytes]
    tables: Mapping[str, bytes]

    def schedule(self) -> dict[str, Any]:
        """What `validate` is given, free to be changed."""
        manifest = self.manifest
        return {
            "features": manifest.features,
            "tensors": dict(manifest.tensors),
            "latents": dict(manifest.latents),
            "graphs": set(self.graphs),
            "tables": set(self.tables),
            "encode": list(manifest.encode),
            "decode": list(manifest.decode),
            "outputs": dict(manifest.outputs),
            "position": manifest.quality.input,
        }

    def same_engine(self) -> EngineParts:
        """The same codec without proofs, for machines like the encoder's only."""
        manifest = dataclasses.replace(self.manifest, profile="same-engine", exact={})
        return dataclasses.replace(self, manifest=manifest)

    def pack(self) -> bytes:
        return pack_engine(self.manifest, self.graphs, self.tables)


@functools.cache
def tiny_hyperprior() -> Engine:
    """Two levels, two code steps: z with a table per channel, then y with means and scales."""
    return Engine.load(hyperprior_parts().pack())


@functools.cache
def tiny_context() -> Engine:
    """Five code steps: z, then two channel groups of y, each even cells first, then odd ones."""
    return Engine.load(context_parts().pack())


@functools.cache
def tiny_factorized() -> Engine:
    """One level, one code step, a table per channel, no quality steps."""
    return Engine.load(factorized_parts().pack())


@functools.cache
def tiny_gain() -> Engine:
    """The hyperprior codec with gains around it in place of quantiser steps."""
    return Engine.load(gain_parts().pack())


@functools.cache
def tiny_same_engine() -> Engine:
    """The hyperprior codec as one of the profile `same-engine`."""
    return Engine.load(hyperprior_parts().same_engine().pack())


@functools.cache
def scale_tables() -> bytes:
    """The 64 tables for scales 0.11 * 2^(i/8)."""
    return gaussian_tables([0.11 * 2 ** (i / 8) for i in range(64)])


def step_table(first: int, last: int) -> StepTable:
    """Steps 2^(d/8), which go with `scale_tables`."""
    return StepTable(first, tuple(round(65536 * 2 ** (d / 8)) for d in range(first, last + 1)))


@functools.cache
def hyperprior_parts() -> EngineParts:
    features = (FeatureSpec("p3", 6, 1), FeatureSpec("p4", 8, 2))
    tensors = {
        "y": TensorSpec(12, 2, "float32"),
        "z": TensorSpec(4, 8, "float32"),
        "z_hat": TensorSpec(4, 8, "float32"),
        "y_mean": TensorSpec(12, 2, "int32"),
        "y_index": TensorSpec(12, 2, "int32"),
        "y_hat": TensorSpec(12, 2, "float32"),
        "p3_hat": TensorSpec(6, 1, "float32"),
        "p4_hat": TensorSpec(8, 2, "float32"),
    }
    specs = {feature.name: feature.tensor for feature in features} | tensors
    hyper = Run("hyper_synthesis", ("z_hat",), ("y_mean", "y_index"))
    manifest = Manifest(
        name="tiny-hyperprior",
        family="test",
        profile="exact",
        features=features,
        padding=Padding(4, "reflect", "start"),
        tensors=tensors,
        latents={
            "z": LatentSpec("z", "hyper", None, None, step=False, skip=0),
            "y": LatentSpec("y", "gaussian", "y_index", "y_mean", step=True, skip=4),
        },
        mean_bits=MEAN_BITS,
        steps=step_table(-8, 16),
        quality=Quality((16, 8, 0, -8), 3),
        encode=(
            Run("analysis", ("p3", "p4"), ("y", "z")),
            Quantize("z"),
            Dequantize("z", "z_hat"),
            hyper,
            Quantize("y"),
            Code("z"),
            Code("y"),
        ),
        decode=(
            Code("z"),
            Dequantize("z", "z_hat"),
            hyper,
            Code("y"),
            Dequantize("y", "y_hat"),
            Run("synthesis", ("y_hat",), ("p3_hat", "p4_hat")),
        ),
        outputs={"p3": "p3_hat", "p4": "p4_hat"},
        card={"purpose": "tests", "weights": "seeded, not trained"},
    )

    g = GraphMaker(1)
    y = g.op("Add", g.conv("p3", 6, 12, 3, 2, gain=2), g.conv("p4", 8, 12, 3, gain=2), output="y")
    z = g.conv(g.op("Relu", y), 12, 4, 3, 2, gain=2)
    g.op("Identity", g.conv(z, 4, 4, 3, 2, gain=3), output="z")
    graphs = {"analysis": g.model("analysis", specs, ("p3", "p4"), ("y", "z"))}

    g = GraphMaker(2)
    wide = g.up(g.integer_conv(g.clipped(g.op("Round", "z_hat"), 512), 4, 24 * 16, 1, most=6), 4)
    _parameters(g, wide, 12, 12, "y_mean", "y_index", 1 / 4)
    graphs["hyper_synthesis"] = g.model("hyper_synthesis", specs, hyper.inputs, hyper.outputs)

    g = GraphMaker(3)
    g.up(g.conv("y_hat", 12, 24, 3), 2, output="p3_hat")
    g.op("Identity", g.conv("y_hat", 12, 8, 3), output="p4_hat")
    graphs["synthesis"] = g.model("synthesis", specs, ("y_hat",), ("p3_hat", "p4_hat"))

    tables = {"hyper": gaussian_tables([1.5, 2, 3, 4]), "gaussian": scale_tables()}
    return EngineParts(with_proofs(manifest, graphs), graphs, tables)


@functools.cache
def gain_parts() -> EngineParts:
    parts = hyperprior_parts()
    manifest = parts.manifest
    quality = Quality((0, -16, -32), 2, "position")
    analysis, synthesis = manifest.encode[0], manifest.decode[-1]
    assert isinstance(analysis, Run)
    assert isinstance(synthesis, Run)
    latents = dict(manifest.latents)
    latents["y"] = dataclasses.replace(latents["y"], step=False)
    manifest = dataclasses.replace(
        manifest,
        name="tiny-gain",
        latents=latents,
        steps=ONE_STEP,
        quality=quality,
        encode=(
            dataclasses.replace(analysis, inputs=(*analysis.inputs, "position")),
            *manifest.encode[1:],
        ),
        decode=(
            *manifest.decode[:-1],
            dataclasses.replace(synthesis, inputs=(*synthesis.inputs, "position")),
        ),
    )
    graphs = dict(parts.graphs)
    graphs["analysis"] = _scaled(graphs["analysis"], "y", 1.0)
    graphs["synthesis"] = _scaled(graphs["synthesis"], "y_hat", -1.0)
    return EngineParts(with_proofs(manifest, graphs), graphs, parts.tables)


def _scaled(graph: bytes, tensor: str, octaves: float) -> bytes:
    """The graph with one of its inputs or outputs times 2^(octaves * position)."""
    model = onnx.load_model_from_string(graph)
    inside = f"{tensor}_unscaled"
    incoming = tensor in [port.name for port in model.graph.input]
    for node in model.graph.node:
        for wires in node.input, node.output:
            for i, wire in enumerate(wires):
                if wire == tensor:
                    wires[i] = inside
    ends = [tensor, inside] if incoming else [inside, tensor]
    rate = numpy_helper.from_array(np.array(octaves * math.log(2), np.float32), "gain_rate")
    model.graph.initializer.append(rate)
    nodes = [
        helper.make_node("Mul", ["position", "gain_rate"], ["gain_log"]),
        helper.make_node("Exp", ["gain_log"], ["gain"]),
        helper.make_node("Mul", [ends[0], "gain"], [ends[1]]),
    ]
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *others] if incoming else [*others, *nodes])
    port = helper.make_tensor_value_info("position", TensorProto.FLOAT, [1, 1, 1, 1])
    model.graph.input.append(port)
    onnx.checker.check_model(model)
    scaled: bytes = model.SerializeToString()
    return scaled


def _parameters(
    g: GraphMaker, x: str, means: int, indexes: int, mean: str, index: str, scale: float
) -> None:
    """Splits integers into means and table indexes, the latter around that of sigma 1."""
    halves = [f"{mean}_raw", f"{index}_raw"]
    sizes = g.constant(np.array([means, indexes], np.int64))
    g.split(x, sizes, halves)
    g.whole(g.clipped(halves[0], 1 << 15), mean)
    shifted = g.op("Add", g.op("Round", g.scaled(halves[1], scale)), g.scalar(26))
    g.whole(shifted, index)


@functools.cache
def context_parts() -> EngineParts:
    features = (FeatureSpec("f3", 4, 1), FeatureSpec("f4", 4, 2))
    parts = ("y0e", "y0o", "y1e", "y1o")
    tensors = {
        "y": TensorSpec(8, 2, "float32"),
        "z": TensorSpec(3, 4, "float32"),
        "z_hat": TensorSpec(3, 4, "float32"),
        "hyper": TensorSpec(16, 2, "float32"),
        "f3_hat": TensorSpec(4, 1, "float32"),
        "f4_hat": TensorSpec(4, 2, "float32"),
    }
    for part in parts:
        tensors[f"{part}_hat"] = TensorSpec(8, 2, "float32")
        # One of them with all of the source's channels: both forms are allowed.
        tensors[f"{part}_mean"] = TensorSpec(8 if part == "y1o" else 4, 2, "int32")
        tensors[f"{part}_index"] = TensorSpec(4, 2, "int32")
    specs = {feature.name: feature.tensor for feature in features} | tensors
    latents = {"z": LatentSpec("z", "hyper", None, None, step=False, skip=0)}
    runs = {}
    for k, part in enumerate(parts):
        latents[part] = LatentSpec(
            "y",
            "gaussian",
            f"{part}_index",
            f"{part}_mean",
            step=True,
            skip=4,
            channels=(0, 4) if part[1] == "0" else (4, 8),
            parity="even" if part[2] == "e" else "odd",
        )
        earlier = tuple(f"{known}_hat" for known in parts[:k])
        runs[part] = Run(f"context_{part}", ("hyper", *earlier), (f"{part}_mean", f"{part}_index"))
    hyper = Run("hyper_synthesis", ("z_hat",), ("hyper",))
    encode: list[Any] = [
        Run("analysis", ("f3", "f4"), ("y", "z")),
        Quantize("z"),
        Dequantize("z", "z_hat"),
        hyper,
    ]
    decode: list[Any] = [Code("z"), Dequantize("z", "z_hat"), hyper]
    for part in parts:
        encode += [runs[part], Quantize(part)]
        if part != parts[-1]:
            encode.append(Dequantize(part, f"{part}_hat"))
        decode += [runs[part], Code(part), Dequantize(part, f"{part}_hat")]
    hats = tuple(f"{part}_hat" for part in parts)
    manifest = Manifest(
        name="tiny-context",
        family="test",
        profile="exact",
        features=features,
        padding=Padding(2, "replicate", "center"),
        tensors=tensors,
        latents=latents,
        mean_bits=MEAN_BITS,
        steps=step_table(-8, 16),
        quality=Quality((12, 6, 0), 2),
        encode=(*encode, Code("z"), *(Code(part) for part in parts)),
        decode=(*decode, Run("synthesis", hats, ("f3_hat", "f4_hat"))),
        outputs={"f3": "f3_hat", "f4": "f4_hat"},
        card={"purpose": "tests", "weights": "seeded, not trained"},
    )

    g = GraphMaker(4)
    y = g.op("Add", g.conv("f3", 4, 8, 3, 2, gain=2), g.conv("f4", 4, 8, 3, gain=2), output="y")
    g.op("Identity", g.conv(g.op("Relu", y), 8, 3, 3, 2, gain=4), output="z")
    graphs = {"analysis": g.model("analysis", specs, ("f3", "f4"), ("y", "z"))}

    g = GraphMaker(5)
    g.up(
        g.integer_conv(g.clipped(g.op("Round", "z_hat"), 512), 3, 64, 1, most=4), 2, output="hyper"
    )
    graphs["hyper_synthesis"] = g.model("hyper_synthesis", specs, hyper.inputs, hyper.outputs)

    for k, part in enumerate(parts):
        g = GraphMaker(6 + k)
        run = runs[part]
        means = specs[run.outputs[0]].channels
        hyper_grid = g.clipped(g.op("Round", "hyper"), 8191)
        x = g.integer_conv(hyper_grid, 16, means + 4, 1, most=2)
        for known in run.inputs[1:]:
            grid = g.clipped(g.op("Round", g.scaled(known, 4)), 255)
            x = g.op("Add", x, g.integer_conv(grid, 8, means + 4, 3, most=2))
        _parameters(g, x, means, 4, *run.outputs, 1 / 16)
        graphs[run.graph] = g.model(run.graph, specs, run.inputs, run.outputs)

    g = GraphMaker(10)
    y = g.op("Sum", *hats)
    g.up(g.conv(y, 8, 16, 3), 2, output="f3_hat")
    g.op("Identity", g.conv(y, 8, 4, 3), output="f4_hat")
    graphs["synthesis"] = g.model("synthesis", specs, hats, ("f3_hat", "f4_hat"))

    tables = {"hyper": gaussian_tables([2, 3, 4]), "gaussian": scale_tables()}
    return EngineParts(with_proofs(manifest, graphs), graphs, tables)


@functools.cache
def factorized_parts() -> EngineParts:
    features = (FeatureSpec("f", 4, 1),)
    tensors = {
        "y": TensorSpec(6, 2, "float32"),
        "y_hat": TensorSpec(6, 2, "float32"),
        "f_hat": TensorSpec(4, 1, "float32"),
    }
    specs = {"f": features[0].tensor} | tensors
    manifest = Manifest(
        name="tiny-factorized",
        family="test",
        profile="exact",
        features=features,
        padding=Padding(2, "zero", "start"),
        tensors=tensors,
        latents={"y": LatentSpec("y", "factorized", None, None, step=False, skip=0)},
        mean_bits=0,
        steps=StepTable(0, (65536,)),
        quality=Quality((0,), 1),
        encode=(Run("analysis", ("f",), ("y",)), Quantize("y"), Code("y")),
        decode=(Code("y"), Dequantize("y", "y_hat"), Run("synthesis", ("y_hat",), ("f_hat",))),
        outputs={"f": "f_hat"},
    )
    g = GraphMaker(11)
    g.op("Identity", g.conv("f", 4, 6, 3, 2, gain=3), output="y")
    graphs = {"analysis": g.model("analysis", specs, ("f",), ("y",))}
    g = GraphMaker(12)
    g.up(g.conv("y_hat", 6, 16, 3), 2, output="f_hat")
    graphs["synthesis"] = g.model("synthesis", specs, ("y_hat",), ("f_hat",))
    tables = {"factorized": gaussian_tables([0.5, 1, 2, 3, 4, 6])}
    return EngineParts(with_proofs(manifest, graphs), graphs, tables)
