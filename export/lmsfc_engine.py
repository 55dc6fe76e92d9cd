"""How an L-MSFC v1 codec is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fcmrt.spec import FeatureSpec, LatentSpec, Padding

from .coding import (
    DEFAULT_LEVELS,
    SKIP,
    gaussians,
    hyper_latent,
    prior_tables,
    quality_of,
    step_table,
)
from .deployment import Deployment, DeploymentBuilder
from .entropy import MEAN_GRID
from .layers import fold_gdn
from .lmsfc import Lmsfc, LmsfcConfig


class Analysis(nn.Module):
    """Features to `y` and `z`."""

    def __init__(self, analysis: nn.Module, hyper_analysis: nn.Module) -> None:
        super().__init__()
        self.analysis = analysis
        self.hyper_analysis = hyper_analysis

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """All maps are float32 `[N, C, H, W]`."""
        y = self.analysis(*features)
        return y, self.hyper_analysis(y)


def deploy_lmsfc(
    codec: Lmsfc,
    level_names: Sequence[str],
    *,
    levels: Sequence[int] = DEFAULT_LEVELS,
    default_quality: int | None = None,
) -> Deployment:
    """Returns how a codec is run.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.
        default_quality: Level used when none is asked for; None: the middle one.
    """
    config = codec.config
    multiple = max(2 ** (config.levels - 1), config.latent_stride)
    return schedule_lmsfc(
        config,
        level_names,
        Padding(multiple, "reflect", "start"),
        LatentSpec("y", "gaussian", "y_index", "y_mean", step=True, skip=SKIP),
        Analysis(fold_gdn(codec.analysis), codec.hyper_analysis),
        codec.hyper_synthesis,
        fold_gdn(codec.synthesis),
        tables={"gaussian": gaussians(), "hyper": prior_tables(codec.prior)},
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=quality_of(levels, default_quality),
    )


def pyramid_features(
    level_names: Sequence[str], feature_channels: Sequence[int]
) -> tuple[FeatureSpec, ...]:
    """Returns the levels of a pyramid, finest first, each half the one before."""
    levels = enumerate(zip(level_names, feature_channels, strict=True))
    return tuple(FeatureSpec(name, channels, 2**i) for i, (name, channels) in levels)


def schedule_lmsfc(
    config: LmsfcConfig,
    level_names: Sequence[str],
    padding: Padding,
    y: LatentSpec,
    analysis: nn.Module,
    hyper_synthesis: nn.Module,
    synthesis: nn.Module,
    **coding: Any,
) -> Deployment:
    """Returns how three networks are run: `z`, then `y`.

    Args:
        config: The codec's sizes.
        level_names: Names of the feature levels, finest first.
        padding: Of the features.
        y: The latent "y", with means "y_mean" and indexes "y_index".
        analysis: Features to `y` and `z`.
        hyper_synthesis: Decoded `z` to mean and index.
        synthesis: Decoded `y` to features.
        coding: As `DeploymentBuilder.finish` takes it: tables, grid, steps and quality.
    """
    features = pyramid_features(level_names, config.feature_channels)
    stride = config.latent_stride
    build = DeploymentBuilder(features, padding)
    build.tensor("y", config.latent_channels, stride)
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.tensor("y_mean", config.latent_channels, stride, "int32")
    build.tensor("y_index", config.latent_channels, stride, "int32")
    build.encoder("analysis", analysis, level_names, ["y", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["y_mean", "y_index"])
    build.coded("y", y, "y_hat")
    decoded = {feature.name: f"{feature.name}_hat" for feature in features}
    for feature in features:
        build.tensor(decoded[feature.name], feature.channels, feature.stride)
    build.decoder("synthesis", synthesis, ["y_hat"], list(decoded.values()))
    return build.finish(family="lmsfc-v1", outputs=decoded, **coding)
