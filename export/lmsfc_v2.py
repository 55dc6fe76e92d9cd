"""L-MSFC v2 for any pyramid: transforms, hyperprior, space-channel context.

Source of the architecture: the public training code of the MPEG FCM proposal m66341 (L-MSFC-V2);
ELIC's analysis and synthesis (arXiv 2203.10886), fused level by level.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from .codec import Coded, HyperpriorCodec, Rounding, quantised
from .context import ContextConfig, SpaceChannelContext, anchors
from .entropy import INDEX_START, INDEXES_PER_OCTAVE, ChannelPrior
from .layers import AttentionBlock, TripleBottleneck, conv, deconv, initialise
from .pyramid import PyramidAnalysis, PyramidSynthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsfcV2Config:
    """Sizes of one codec. Levels go from the finest to the coarsest, each half the one before."""

    feature_channels: tuple[int, ...] = (256, 256, 256, 256)
    # channels of each level
    width: int = 192
    # channels inside analysis and synthesis ("N")
    latent_stride: int = 16
    # side of a cell of y in cells of the finest level; a power of two
    hyper_widths: tuple[int, int] = (192, 288)
    # channels of z and of the map before the last one in hyper-synthesis
    hyper_out: int = 640
    # channels of the hyper-synthesis' output
    kernel: int = 5
    # side of the kernels that change grids
    mixing_kernel: int = 5
    # side of the kernels that bring a finer level down to be mixed into the coarser one
    lift_kernel: int = 3
    # side of the kernels that bring a level up to the latent's grid before fusion
    attention_levels: tuple[int, ...] = (1, 3)
    # stages of analysis that end in an attention block
    context: ContextConfig = field(default_factory=ContextConfig)

    def __post_init__(self) -> None:
        stride = self.latent_stride
        if stride < 1 or stride & (stride - 1):
            raise ValueError(f"latent_stride must be a power of two, got {stride}")
        if not self.feature_channels or min((*self.feature_channels, self.width)) < 1:
            raise ValueError("needs at least one level, and one channel everywhere")

    @property
    def levels(self) -> int:
        """Number of feature maps."""
        return len(self.feature_channels)

    @property
    def latent_channels(self) -> int:
        """Channels of y ("M")."""
        return sum(self.context.groups)

    @property
    def hyper_channels(self) -> int:
        """Channels of z."""
        return self.hyper_widths[0]

    @property
    def hyper_stride(self) -> int:
        """Side of a cell of z in cells of y."""
        return 4

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by `from_dict`."""
        return cast("dict[str, Any]", _lists(asdict(self)))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are rejected by the constructor."""
        context = ContextConfig(**_tuples(data["context"]))
        return cls(**{**_tuples(data), "context": context})


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


LMSFC_V2_PUBLISHED = LmsfcV2Config()
LMSFC_V2_NANODET_LIGHT = LmsfcV2Config(
    feature_channels=(128, 128, 128),
    width=80,
    latent_stride=2,
    hyper_widths=(48, 72),
    hyper_out=192,
    kernel=3,
    mixing_kernel=3,
    lift_kernel=1,
    attention_levels=(0, 2),
    context=ContextConfig(
        groups=(8, 8, 16, 32, 64),
        channel_widths=(64, 48),
        channel_kernel=3,
        aggregation_widths=(128, 96),
    ),
)


class Analysis(PyramidAnalysis):
    """FENet: three residual bottlenecks between strides, as in ELIC."""

    def __init__(self, config: LmsfcV2Config) -> None:
        stages = max(config.levels, int(math.log2(config.latent_stride)))

        def stage(i: int, channels: int, stride: int) -> nn.Module:
            last = i == stages - 1
            width = config.latent_channels if last else config.width
            blocks: list[nn.Module] = [conv(channels, width, config.kernel, stride)]
            blocks += [] if last else [TripleBottleneck(width)]
            blocks += [AttentionBlock(width)] if i in config.attention_levels else []
            return nn.Sequential(*blocks)

        super().__init__(
            config.feature_channels,
            config.latent_stride,
            config.lift_kernel,
            config.width,
            stages,
            stage,
        )


class HyperAnalysis(nn.Module):
    """conv3x3, then two convolutions with stride 2; ReLU between."""

    def __init__(self, config: LmsfcV2Config) -> None:
        super().__init__()
        width = config.hyper_channels
        self.layers = nn.Sequential(
            conv(config.latent_channels, width),
            nn.ReLU(),
            conv(width, width, config.kernel, 2),
            nn.ReLU(),
            conv(width, width, config.kernel, 2),
        )

    def forward(self, y: Tensor) -> Tensor:
        """Turn `y` (`[N, M, H, W]`) into `z` of ceil(H / 4) rows, likewise columns."""
        return cast("Tensor", self.layers(y))


class HyperSynthesis(nn.Module):
    """Two transposed convolutions, then conv3x3; ReLU between."""

    def __init__(self, config: LmsfcV2Config) -> None:
        super().__init__()
        width, wider = config.hyper_widths
        self.layers = nn.Sequential(
            deconv(width, width, config.kernel),
            nn.ReLU(),
            deconv(width, wider, config.kernel),
            nn.ReLU(),
            conv(wider, config.hyper_out),
        )

    def forward(self, z_hat: Tensor) -> Tensor:
        """Turn rounded `z` into what is known of `y` from it, at 4 times its size.

        The caller crops it to the size of `y`, from the top left.
        """
        return cast("Tensor", self.layers(z_hat))


class Synthesis(PyramidSynthesis):
    """DRNet."""

    def __init__(self, config: LmsfcV2Config) -> None:
        super().__init__(
            config.feature_channels,
            config.latent_channels,
            config.mixing_kernel,
            (_branch(config, level) for level in range(config.levels)),
        )


def _branch(config: LmsfcV2Config, level: int) -> nn.Sequential:
    """The decoder of one level, from the latent's grid up or down to the level's grid."""
    width = config.width
    doublings = int(math.log2(config.latent_stride)) - level
    blocks: list[nn.Module] = []
    channels = config.latent_channels
    for i in range(max(1, abs(doublings))):
        if doublings > 0:
            blocks.append(deconv(channels, width, config.kernel))
        else:
            blocks.append(conv(channels, width, config.kernel, 1 if doublings == 0 else 2))
        if i == 1 and doublings > 2:
            blocks.append(AttentionBlock(width))
        blocks.append(TripleBottleneck(width))
        channels = width
    return nn.Sequential(*blocks, conv(width, config.feature_channels[level], 1))


class LmsfcV2(HyperpriorCodec):
    """The codec: transforms, hyperprior, context, the prior of `z`, and the quantiser."""

    def __init__(self, config: LmsfcV2Config) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.context = SpaceChannelContext(config.context, config.hyper_out)
        self.synthesis = Synthesis(config)
        self.prior = ChannelPrior(config.hyper_channels)
        self.apply(initialise)

    def code(
        self, y: Tensor, z_hat: Tensor, step: Tensor, rounding: Rounding, grid: Rounding
    ) -> Coded:
        """See `HyperpriorCodec`."""
        rows, columns = y.shape[-2:]
        hyper = self.hyper_synthesis(z_hat)[..., :rows, :columns]
        mask = anchors(rows, columns, y)
        means: list[Tensor] = []
        indexes: list[Tensor] = []
        known: list[Tensor] = []
        for k, part in enumerate(y.split(self.config.context.groups, 1)):
            said = self.context.from_groups(k, known)
            mean_a, index_a = _floats(self.context.anchor_parameters(k, said, hyper), grid)
            y_a = quantised(part, mean_a, step, rounding) * mask
            mean_o, index_o = _floats(self.context.other_parameters(k, y_a, said, hyper), grid)
            mean = mean_o + (mean_a - mean_o) * mask
            means.append(mean)
            indexes.append(index_o + (index_a - index_o) * mask)
            known.append(quantised(part, mean, step, rounding))
        return Coded(torch.cat(means, 1), torch.cat(indexes, 1), torch.cat(known, 1))


def _floats(parameters: tuple[Tensor, Tensor], grid: Rounding) -> tuple[Tensor, Tensor]:
    mean, octaves = parameters
    return grid(mean.float()), octaves.float() * INDEXES_PER_OCTAVE + INDEX_START
