"""How a LIC-TCM codec is run."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from fcmrt.spec import FeatureSpec, LatentSpec, Padding

from .coding import FINE_MEAN_BITS, hyper_latent
from .deployment import Deployment, DeploymentBuilder
from .lictcm import LicTcm
from .scale_index import ScaleIndex, scale_tables


class _Analysis(nn.Module):
    """Picture to the slices of `y`, and `z` less its medians."""

    def __init__(self, codec: LicTcm) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.hyper_analysis = codec.hyper_analysis
        self.slices = codec.config.slices
        self.register_buffer("medians", codec.prior.medians.detach())

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        y = self.analysis(picture)
        return (*y.chunk(self.slices, 1), self.hyper_analysis(y) - self.medians)


class _HyperSynthesis(nn.Module):
    """Decoded `z` less its medians to what it says of means and of scales."""

    def __init__(self, codec: LicTcm) -> None:
        super().__init__()
        self.means = codec.hyper_means
        self.scales = codec.hyper_scales
        self.register_buffer("medians", codec.prior.medians.detach())

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        z = z_hat + self.medians
        return self.means(z), self.scales(z)


class _Parameters(nn.Module):
    """`SliceParameters` with the table index in place of the scale."""

    def __init__(self, prediction: nn.Module) -> None:
        super().__init__()
        self.prediction = prediction
        self.index = ScaleIndex()

    def forward(self, *known: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = self.prediction(*known)
        return mean, self.index(scale)


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
    channels = config.latent_channels
    build = DeploymentBuilder(
        [FeatureSpec(picture, 3, 1)], Padding(config.multiple, "zero", "center")
    )
    slices = range(config.slices)
    ys = [f"y{k}" for k in slices]
    for y in ys:
        build.tensor(y, config.slice_channels, stride)
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.encoder("analysis", _Analysis(codec), [picture], [*ys, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    for name in ("hyper_mean", "hyper_scale"):
        build.tensor(name, channels, stride)
    hyper_synthesis = _HyperSynthesis(codec)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["hyper_mean", "hyper_scale"])
    known: list[str] = []
    for k, y in enumerate(ys):
        mean, index, support, rounded = (
            f"{y}_{role}" for role in ("mean", "index", "support", "rounded")
        )
        build.tensor(support, channels + k * config.slice_channels, stride)
        build.tensor(mean, config.slice_channels, stride, "int32")
        build.tensor(index, config.slice_channels, stride, "int32")
        build.tensor(f"{y}_hat", config.slice_channels, stride)
        build.both(f"support_{k}", codec.supports[k], ["hyper_mean", *known], [support])
        parameters = _Parameters(codec.predictions[k])
        build.both(f"parameters_{k}", parameters, [support, "hyper_scale", *known], [mean, index])
        build.coded(y, LatentSpec(y, "gaussian", index, mean, step=False, skip=0), rounded)
        build.both(f"residual_{k}", codec.residuals[k], [support, rounded], [f"{y}_hat"])
        known.append(f"{y}_hat")
    build.tensor(f"{picture}_hat", 3, 1)
    build.decoder("synthesis", _Synthesis(codec), known, [f"{picture}_hat"])
    return build.finish(
        family="lic-tcm",
        outputs={picture: f"{picture}_hat"},
        tables={"gaussian": scale_tables(), "hyper": codec.prior.tables()},
        mean_bits=FINE_MEAN_BITS,
    )
