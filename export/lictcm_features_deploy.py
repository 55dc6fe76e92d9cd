"""How a LIC-TCM codec of one feature map is run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcmrt.spec import FeatureSpec, Padding

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
from .lictcm_features import LicTcmFeatures
from .lictcm_slices_deploy import HYPER, add_slices, declare_slices


class _Analysis(nn.Module):
    """The map to the slices of `y`, and `z`."""

    def __init__(self, codec: LicTcmFeatures) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.hyper_analysis = codec.hyper_analysis
        self.parts = codec.config.slices

    def forward(self, feature: Tensor) -> tuple[Tensor, ...]:
        y = self.analysis(feature)
        return (*y.split(self.parts, 1), self.hyper_analysis(y))


class _HyperSynthesis(nn.Module):
    """Decoded `z` to what it says of means and of scales."""

    def __init__(self, codec: LicTcmFeatures) -> None:
        super().__init__()
        self.hyper_synthesis = codec.hyper_synthesis

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = self.hyper_synthesis(z_hat).chunk(2, 1)
        return mean, scale


class _Synthesis(nn.Module):
    """Slices to the map."""

    def __init__(self, codec: LicTcmFeatures) -> None:
        super().__init__()
        self.synthesis = codec.synthesis

    def forward(self, *slices: Tensor) -> Tensor:
        (feature,) = self.synthesis(torch.cat(slices, 1))
        return feature


def deploy_lictcm_features(
    codec: LicTcmFeatures,
    level_names: Sequence[str],
    *,
    levels: Sequence[int] = DEFAULT_LEVELS,
    default_quality: int | None = None,
) -> Deployment:
    """Returns how a codec is run: `z`, then slice after slice.

    The level is padded until windows fit on the grid of `y`, by mirroring as in training.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Name of the only level.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.
        default_quality: Level used when none is asked for; None: the middle one.
    """
    (level,) = level_names
    config = codec.config
    (channels,) = config.feature_channels
    stride = config.latent_stride
    build = DeploymentBuilder(
        [FeatureSpec(level, channels, 1)], Padding(config.multiple, "reflect", "start")
    )
    ys = declare_slices(build, codec.slices, stride)
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.encoder("analysis", _Analysis(codec), [level], [*ys, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    for name in HYPER:
        build.tensor(name, config.hyper_out // 2, stride)
    build.both("hyper_synthesis", _HyperSynthesis(codec), ["z_hat"], HYPER)
    known = add_slices(build, codec.slices, stride, codec.index, step=True, skip=SKIP)
    build.tensor(f"{level}_hat", channels, 1)
    build.decoder("synthesis", _Synthesis(codec), known, [f"{level}_hat"])
    return build.finish(
        family="lic-tcm",
        outputs={level: f"{level}_hat"},
        tables={"gaussian": gaussians(), "hyper": prior_tables(codec.prior)},
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=quality_of(levels, default_quality),
    )
