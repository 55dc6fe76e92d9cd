"""How a LIC-TCM codec is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from fcmrt.spec import FeatureSpec, Padding

from .coding import FINE_MEAN_BITS, hyper_latent
from .deployment import Deployment, DeploymentBuilder
from .families import names_of_levels
from .lictcm import LicTcm
from .lictcm_slices_deploy import HYPER, add_slices, declare_slices
from .lictcm_state import load_lictcm
from .medians import LessMedians, PlusMedians
from .scale_index import ScaleIndex, scale_tables


class _Analysis(nn.Module):
    """Picture to the slices of `y`, and `z` less its medians."""

    def __init__(self, codec: LicTcm) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.hyper_analysis = LessMedians(codec.hyper_analysis, codec.prior.medians)
        self.parts = codec.config.slices

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        y = self.analysis(picture)
        return (*y.chunk(self.parts, 1), self.hyper_analysis(y))


class _HyperSynthesis(nn.Module):
    """Decoded `z` to what it says of means and of scales."""

    def __init__(self, codec: LicTcm) -> None:
        super().__init__()
        self.means = codec.hyper_means
        self.scales = codec.hyper_scales

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        return self.means(z_hat), self.scales(z_hat)


class _Synthesis(nn.Module):
    """Slices to a picture in 0..1."""

    def __init__(self, codec: LicTcm) -> None:
        super().__init__()
        self.synthesis = codec.synthesis

    def forward(self, *slices: Tensor) -> Tensor:
        return cast("Tensor", self.synthesis(torch.cat(slices, 1))).clamp(0.0, 1.0)


def deploy_lictcm(codec: LicTcm, picture: str = "picture") -> Deployment:
    """Returns how a codec is run: `z`, then slice after slice.

    All elements are coded, however narrow their distribution, as in the authors' code. The least
    canonical size is 128 by 128, where the windows of 8 fit on the grid of `y` and those of 4 on
    the grid between `y` and `z`.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        picture: Name of the only feature: RGB, float32 `[N, 3, H, W]` in 0..1.
    """
    config = codec.config
    stride = config.latent_stride
    build = DeploymentBuilder(
        [FeatureSpec(picture, 3, 1)], Padding(config.multiple, "zero", "center")
    )
    ys = declare_slices(build, codec.slices, stride)
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.encoder("analysis", _Analysis(codec), [picture], [*ys, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    for name in HYPER:
        build.tensor(name, config.latent_channels, stride)
    hyper_synthesis = PlusMedians(_HyperSynthesis(codec), codec.prior.medians)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], HYPER)
    known = add_slices(build, codec.slices, stride, ScaleIndex(), step=False, skip=0)
    build.tensor(f"{picture}_hat", 3, 1)
    build.decoder("synthesis", _Synthesis(codec), known, [f"{picture}_hat"])
    return build.finish(
        family="lic-tcm",
        outputs={picture: f"{picture}_hat"},
        tables={"gaussian": scale_tables(), "hyper": codec.prior.tables()},
        mean_bits=FINE_MEAN_BITS,
    )


def deploy(
    checkpoint: Mapping[str, Any], /, *, level_names: Sequence[str] | None = None
) -> Deployment:
    """Returns how the codec of a checkpoint of the authors' code is run.

    Args:
        checkpoint: As `read_checkpoint` gives it.
        level_names: Name of the only feature; None: picture.

    Raises:
        ExportError: It is of another codec, or of another version of this one, or there are several
            names.
    """
    (picture,) = names_of_levels(level_names, ["picture"])
    return deploy_lictcm(load_lictcm(checkpoint), picture)
