"""From a trained L-MSFC codec to an engine file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.engine_writer import write_engine
from fcmrt.manifest import Manifest
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import (
    UNIT_STEP,
    FeatureSpec,
    LatentSpec,
    Padding,
    Quality,
    StepTable,
    TensorSpec,
)

from .entropy import INDEXES_PER_OCTAVE, MEAN_GRID, SIGMA_0, STEPS_PER_OCTAVE, TABLES, Z_RANGE
from .exact import IntegerNetwork
from .lmsfc import Lmsfc
from .onnx import export_graph
from .tables import channel_tables, gaussian_tables

SKIP = 4
"""Elements of tables below this are not coded: sigma below 0.156, where 99.9 % of symbols are 0."""

STEP_RANGE = 32
"""Steps `d` in the engine's table, to either side of 0: a factor of 16 either way."""

DEFAULT_LEVELS = (22, 19, 16, 13, 10, 7, 4, 1, -2)
"""Steps of the quality levels: where the shipped codec gains something from finer ones."""


class _AnalysisGraph(nn.Module):
    """Features to `y` and `z`."""

    def __init__(self, codec: Lmsfc) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        y = self.codec.analysis(*features)
        return y, self.codec.hyper_analysis(y)


class _HyperSynthesisGraph(nn.Module):
    """Decoded `z` to means on their grid and unclipped table indexes, as integers."""

    def __init__(self, codec: Lmsfc) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        mean, index = self.codec.hyper_synthesis(z_hat)
        # Bounded, since converting a float beyond the integers' range is not defined.
        mean = torch.round(mean * MEAN_GRID).clamp(-(2.0**23), 2.0**23)
        index = torch.round(index).clamp(-(2.0**15), 2.0**15)
        return mean.to(torch.int32), index.to(torch.int32)


def float_hyper_synthesis(codec: Lmsfc) -> bytes:
    """Returns the graph of the float hyper-synthesis, whose integers are the runner's own."""
    z = torch.zeros(1, codec.config.hyper_channels, 2, 2)
    return export_graph(_HyperSynthesisGraph(codec), [z], ["z_hat"], ["y_mean", "y_index"])


def step_table() -> StepTable:
    """Returns the quality steps 2^(d/8) in units of 2^-16."""
    widths = (2 ** (d / STEPS_PER_OCTAVE) for d in range(-STEP_RANGE, STEP_RANGE + 1))
    return StepTable(-STEP_RANGE, tuple(round(UNIT_STEP * width) for width in widths))


def write_lmsfc_engine(
    path: Path | str,
    codec: Lmsfc,
    *,
    name: str,
    level_names: Sequence[str],
    card: dict[str, Any],
    exact: IntegerNetwork | None = None,
    levels: Sequence[int] = DEFAULT_LEVELS,
    default_quality: int | None = None,
) -> None:
    """Writes a codec as an engine file.

    Args:
        path: Where to.
        codec: Trained, in float32, on the CPU.
        name: The engine's name.
        level_names: Names of the feature levels, finest first.
        card: What the codec was trained on and how it fares; free JSON.
        exact: The hyper-synthesis as integers (`exact_hyper_synthesis`), which makes the engine
            `exact`; None: the float one, which makes it `same-engine`.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.
        default_quality: Level used when none is asked for; None: the middle one.

    Raises:
        EngineError: The result is not a valid engine, or the exact network is not proved.
    """
    config = codec.config
    strides = [2**i for i in range(config.levels)]
    features = tuple(
        FeatureSpec(level, channels, stride)
        for level, channels, stride in zip(
            level_names, config.feature_channels, strides, strict=True
        )
    )
    latent = config.latent_stride
    decoded = [f"{level}_hat" for level in level_names]
    tensors = {
        "y": TensorSpec(config.latent_channels, latent, "float32"),
        "z": TensorSpec(config.hyper_channels, latent * config.hyper_stride, "float32"),
        "z_hat": TensorSpec(config.hyper_channels, latent * config.hyper_stride, "float32"),
        "y_mean": TensorSpec(config.latent_channels, latent, "int32"),
        "y_index": TensorSpec(config.latent_channels, latent, "int32"),
        "y_hat": TensorSpec(config.latent_channels, latent, "float32"),
        **{n: f.tensor for n, f in zip(decoded, features, strict=True)},
    }
    hyper = Run("hyper_synthesis", ("z_hat",), ("y_mean", "y_index"))
    manifest = Manifest(
        name=name,
        family="lmsfc-v1",
        profile="exact" if exact else "same-engine",
        features=features,
        padding=Padding(max(strides[-1], latent), "reflect", "start"),
        tensors=tensors,
        latents={
            "z": LatentSpec("z", "hyper", None, None, False, 0),
            "y": LatentSpec("y", "gaussian", "y_index", "y_mean", True, SKIP),
        },
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=Quality(tuple(levels), default_quality or (len(levels) + 1) // 2),
        encode=(
            Run("analysis", tuple(level_names), ("y", "z")),
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
            Run("synthesis", ("y_hat",), tuple(decoded)),
        ),
        outputs=dict(zip(level_names, decoded, strict=True)),
        exact={hyper.graph: dict(exact.proof().layers)} if exact else {},
        graphs={},
        tables={},
        card=card,
    )
    side = 2 * manifest.padding.multiple * config.hyper_stride
    examples = [torch.zeros(1, f.channels, side // f.stride, side // f.stride) for f in features]
    y = torch.zeros(1, config.latent_channels, side // latent, side // latent)
    prior = codec.prior.probabilities(-Z_RANGE, Z_RANGE).numpy()
    write_engine(
        path,
        manifest,
        graphs={
            "analysis": export_graph(_AnalysisGraph(codec), examples, level_names, ["y", "z"]),
            hyper.graph: exact.to_onnx() if exact else float_hyper_synthesis(codec),
            "synthesis": export_graph(codec.synthesis, [y], ["y_hat"], decoded),
        },
        tables={
            "gaussian": gaussian_tables(TABLES, SIGMA_0, INDEXES_PER_OCTAVE).to_bytes(),
            "hyper": channel_tables(prior, -Z_RANGE).to_bytes(),
        },
    )
