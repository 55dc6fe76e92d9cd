"""L-MSFC v1 without context model, for any pyramid: transforms, entropy model, quantiser.

The four networks `analysis`, `hyper_analysis`, `hyper_synthesis` and `synthesis` are what is
exported; everything else in this file exists for training and for checking the runtime.

Source of the architecture: arXiv 2306.16670 (FENet, DRNet, mean-scale hyperprior).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

from torch import Tensor, nn

from .codec import Coded, HyperpriorCodec, Rounding, quantised
from .entropy import ChannelPrior, octave_index
from .layers import (
    AttentionBlock,
    ResidualBlock,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    conv,
    initialise,
    subpixel_conv,
)
from .pyramid import PyramidAnalysis, PyramidSynthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsfcConfig:
    """Sizes of one codec. Levels go from the finest to the coarsest, each half the one before."""

    feature_channels: tuple[int, ...] = (256, 256, 256, 256)
    """Channels of each level."""
    width: int = 128
    """Channels inside analysis and synthesis ("N")."""
    latent_channels: int = 128
    """Channels of y ("M")."""
    latent_stride: int = 16
    """Side of a cell of y in cells of the finest level; a power of two."""
    hyper_channels: int = 128
    """Channels of z and inside the hyper networks."""
    hyper_stride: int = 4
    """Side of a cell of z in cells of y; a power of two."""
    gdn: bool = True
    """GDN at the end of the blocks with a stride; else LeakyReLU."""
    mixing_kernel: int = 5
    """Side of the kernels that bring a finer level down to be mixed into the coarser one."""
    lift_kernel: int = 3
    """Side of the kernels that bring a level up to the latent's grid."""
    hyper_relu: bool = False
    """ReLU instead of LeakyReLU in hyper-synthesis, which integer arithmetic expresses exactly."""

    def __post_init__(self) -> None:
        for name in ("latent_stride", "hyper_stride"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, got {value}")
        channels = (*self.feature_channels, self.width, self.latent_channels, self.hyper_channels)
        if not self.feature_channels or min(channels) < 1:
            raise ValueError("needs at least one level, and one channel everywhere")

    @property
    def levels(self) -> int:
        """Number of feature maps."""
        return len(self.feature_channels)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by `from_dict`."""
        return {**asdict(self), "feature_channels": list(self.feature_channels)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are rejected by the constructor."""
        return cls(**{**data, "feature_channels": tuple(data["feature_channels"])})


LMSFC_V1_PUBLISHED = LmsfcConfig()
LMSFC_NANODET_LIGHT = LmsfcConfig(
    feature_channels=(128, 128, 128),
    width=88,
    latent_channels=128,
    latent_stride=2,
    hyper_channels=48,
    hyper_stride=4,
    gdn=False,
    mixing_kernel=3,
    lift_kernel=1,
    hyper_relu=True,
)


class Analysis(PyramidAnalysis):
    """FENet: residual blocks between strides."""

    def __init__(self, config: LmsfcConfig):
        width = config.width
        stages = max(config.levels, int(math.log2(config.latent_stride)))

        def stage(i: int, channels: int, stride: int) -> nn.Module:
            if i == stages - 1:
                latent = config.latent_channels
                return nn.Sequential(conv(channels, latent, stride=stride), AttentionBlock(latent))
            blocks: list[nn.Module] = [ResidualBlockWithStride(channels, width, stride, config.gdn)]
            blocks += [AttentionBlock(width)] if i == 1 else []
            return nn.Sequential(*blocks, ResidualBlock(width, width))

        super().__init__(
            config.feature_channels, config.latent_stride, config.lift_kernel, width, stages, stage
        )


class HyperAnalysis(nn.Module):
    """Five conv3x3 (strides 1, 1, 2, 1, 2 for a hyper stride of 4) with LeakyReLU between."""

    def __init__(self, config: LmsfcConfig):
        super().__init__()
        width = config.hyper_channels
        layers: list[nn.Module] = [conv(config.latent_channels, width)]
        for _ in range(int(math.log2(config.hyper_stride))):
            layers += [nn.LeakyReLU(0.01), conv(width, width)]
            layers += [nn.LeakyReLU(0.01), conv(width, width, stride=2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, y: Tensor) -> Tensor:
        """Turns `y` (`[N, M, H, W]`) into `z` of ceil(H / hyper stride) rows, likewise columns."""
        return cast("Tensor", self.layers(y))


class HyperSynthesis(nn.Module):
    """conv3x3 and sub-pixel convolutions in turn; the last conv3x3 gives means and indexes."""

    def __init__(self, config: LmsfcConfig):
        super().__init__()
        width, slope = config.hyper_channels, 0.0 if config.hyper_relu else 0.01
        layers: list[nn.Module] = []
        for i in range(int(math.log2(config.hyper_stride))):
            wider = config.hyper_channels * (2 + i) // 2
            for layer in (conv(width, wider), subpixel_conv(wider, wider)):
                layers += [layer, nn.LeakyReLU(slope) if slope else nn.ReLU()]
            width = wider
        self.layers = nn.Sequential(*layers)
        self.head = conv(width, 2 * config.latent_channels)

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        """Turns rounded `z` into `mean` and `index`, continuous, at hyper stride times its size.

        The caller crops both to the size of `y`, from the top left.
        """
        mean, octaves = self.head(self.layers(z_hat)).chunk(2, 1)
        return mean, octave_index(octaves)


class Synthesis(PyramidSynthesis):
    """DRNet."""

    def __init__(self, config: LmsfcConfig):
        super().__init__(
            config.feature_channels,
            config.latent_channels,
            config.mixing_kernel,
            (_branch(config, level) for level in range(config.levels)),
        )


def _branch(config: LmsfcConfig, level: int) -> nn.Sequential:
    """The decoder of one level, from the latent's grid up or down to the level's grid."""
    width, feature = config.width, config.feature_channels[level]
    doublings = int(math.log2(config.latent_stride)) - level
    blocks: list[nn.Module] = [ResidualBlock(config.latent_channels, width)]
    if doublings == 0:
        return nn.Sequential(*blocks, conv(width, feature))
    for i in range(1, abs(doublings) + 1):
        last = i == abs(doublings)
        channels = feature if last else width
        if doublings < 0:
            blocks += [ResidualBlockWithStride(width, channels, 2, config.gdn)]
        elif last and level == 0:
            blocks += [subpixel_conv(width, feature)]
        else:
            blocks += [ResidualBlockUpsample(width, channels, config.gdn)]
        if not last:
            blocks += [AttentionBlock(width)] if i == 2 and doublings > 0 else []
            blocks += [ResidualBlock(width, width)]
    return nn.Sequential(*blocks)


class Lmsfc(HyperpriorCodec):
    """The codec: four networks, the prior of `z`, and the quantiser between them."""

    def __init__(self, config: LmsfcConfig):
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.synthesis = Synthesis(config)
        self.prior = ChannelPrior(config.hyper_channels)
        self.apply(initialise)

    def hyper(self, z_hat: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Mean and index (float32) for rounded `z`, cropped to the size of `y`."""
        mean, index = self.hyper_synthesis(z_hat)
        rows, columns = size
        return mean[..., :rows, :columns].float(), index[..., :rows, :columns].float()

    def code(
        self, y: Tensor, z_hat: Tensor, step: Tensor, rounding: Rounding, grid: Rounding
    ) -> Coded:
        """See `HyperpriorCodec`."""
        mean, index = self.hyper(z_hat, (y.shape[-2], y.shape[-1]))
        mean = grid(mean)
        return Coded(mean, index, quantised(y, mean, step, rounding))
