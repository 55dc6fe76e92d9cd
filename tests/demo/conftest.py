"""A codec for the detector's features that is not trained: it only quantises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fcmrt.engine import Engine
from fcmrt.engine_writer import with_proofs
from fcmrt.manifest import Manifest
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import FeatureSpec, LatentSpec, Padding, Quality, TensorSpec
from fcmrt.tasks.nanodet import FEATURE_CHANNELS as CHANNELS

from ..engines import MEAN_BITS, EngineParts, GraphMaker, gaussian_tables, scale_tables, step_table

LEVELS = {"p3": 1, "p4": 2, "p5": 4}
TABLE = 26  # of sigma 1

Command = Callable[..., tuple[int, str, str]]


def plain_parts() -> EngineParts:
    """Quantises every level as it is; all tables are those of one width, whatever the features."""
    features = tuple(FeatureSpec(name, CHANNELS, stride) for name, stride in LEVELS.items())
    tensors = {"z": TensorSpec(1, 4, "float32"), "z_hat": TensorSpec(1, 4, "float32")}
    latents = {"z": LatentSpec("z", "hyper", None, None, step=False, skip=0)}
    for name, stride in LEVELS.items():
        for tensor in ("y", "y_hat", "out"):
            tensors[f"{name}_{tensor}"] = TensorSpec(CHANNELS, stride, "float32")
        tensors[f"{name}_index"] = TensorSpec(CHANNELS, stride, "int32")
        latents[f"{name}_y"] = LatentSpec(
            f"{name}_y", "gaussian", f"{name}_index", None, step=True, skip=0
        )
    specs = {feature.name: feature.tensor for feature in features} | tensors
    scaled = tuple(f"{name}_y" for name in LEVELS)
    decoded = tuple(f"{name}_y_hat" for name in LEVELS)
    analysis = Run("analysis", tuple(LEVELS), ("z", *scaled))
    hyper = Run("hyper_synthesis", ("z_hat",), tuple(f"{name}_index" for name in LEVELS))
    synthesis = Run("synthesis", decoded, tuple(f"{name}_out" for name in LEVELS))
    known = (Dequantize("z", "z_hat"), hyper)
    manifest = Manifest(
        name="plain-nanodet",
        family="test",
        profile="exact",
        features=features,
        padding=Padding(4, "replicate", "start"),
        tensors=tensors,
        latents=latents,
        mean_bits=MEAN_BITS,
        steps=step_table(-8, 16),
        quality=Quality((16, 8, 0), 2),
        encode=(
            *(analysis, Quantize("z"), *known),
            *(Quantize(name) for name in scaled),
            *(Code(name) for name in ("z", *scaled)),
        ),
        decode=(
            *(Code("z"), *known),
            *(step for y in scaled for step in (Code(y), Dequantize(y, f"{y}_hat"))),
            synthesis,
        ),
        outputs={name: f"{name}_out" for name in LEVELS},
    )

    g = GraphMaker(1)
    weights = np.zeros((1, CHANNELS, 1, 1), np.float32)
    g.op("Conv", "p3", g.constant(weights), output="z", strides=[4, 4])
    for name in LEVELS:
        g.op("Mul", name, g.scalar(4), output=f"{name}_y")
    graphs = {"analysis": g.model("analysis", specs, analysis.inputs, analysis.outputs)}

    g = GraphMaker(2)
    z = g.clipped(g.op("Round", "z_hat"), 255)
    for name, stride in LEVELS.items():
        factor = 4 // stride
        zeros = np.zeros((CHANNELS * factor**2, 1, 1, 1), np.float32)
        flat = g.up(g.op("Conv", z, g.constant(zeros)), factor)
        g.whole(g.op("Add", flat, g.scalar(TABLE)), f"{name}_index")
    graphs["hyper_synthesis"] = g.model("hyper_synthesis", specs, hyper.inputs, hyper.outputs)

    g = GraphMaker(3)
    for name in LEVELS:
        g.op("Mul", f"{name}_y_hat", g.scalar(1 / 4), output=f"{name}_out")
    graphs["synthesis"] = g.model("synthesis", specs, synthesis.inputs, synthesis.outputs)
    tables = {"hyper": gaussian_tables([1]), "gaussian": scale_tables()}
    return EngineParts(with_proofs(manifest, graphs), graphs, tables)


@pytest.fixture(scope="session")
def engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The codec as a file."""
    path = tmp_path_factory.mktemp("engine") / "plain.fcmrt"
    path.write_bytes(plain_parts().pack())
    return path


@pytest.fixture(scope="session")
def engine(engine_file: Path) -> Engine:
    """The codec."""
    return Engine.load(engine_file)
