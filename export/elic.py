"""ELIC for one feature map: its channels enter the analysis directly, with few strides.

Source of the architecture: arXiv 2203.10886 (stacks of residual bottlenecks between strides,
attention, uneven space-channel context in which a group sees all earlier ones).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from .codec import FusedTransform
from .context import ContextConfig
from .context_codec import ContextCodec, ContextCodecConfig
from .layers import AttentionBlock, FeatureNorm, ResidualBottleneck, conv, deconv, initialise


@dataclass(frozen=True, slots=True, kw_only=True)
class ElicConfig(ContextCodecConfig):
    """Sizes of one codec."""

    feature_channels: tuple[int, ...] = (256,)
    """Of the one level."""
    strides: tuple[int, ...] = (2, 2, 2, 2)
    """Of the stages of analysis, 1 or 2 each."""
    bottlenecks: int = 3
    """Residual bottlenecks after every stage but the last."""
    attention_stages: tuple[int, ...] = (1, 3)
    """Stages of analysis that end in an attention block."""
    context: ContextConfig = field(default_factory=lambda: ContextConfig(all_earlier=True))

    def __post_init__(self) -> None:
        if len(self.feature_channels) != 1:
            raise ValueError(f"ELIC codes one level, got {len(self.feature_channels)}")
        if not self.strides or not {1, 2}.issuperset(self.strides):
            raise ValueError(f"strides are 1 or 2, got {self.strides}")

    @property
    def latent_stride(self) -> int:
        """Side of a cell of y in cells of the level."""
        return math.prod(self.strides)


def _light(channels: int, width: int, groups: tuple[int, ...], hyper: int) -> ElicConfig:
    """A codec for a processor."""
    return ElicConfig(
        feature_channels=(channels,),
        width=width,
        strides=(2, 1),
        attention_stages=(1,),
        hyper_widths=(hyper, hyper * 3 // 2),
        hyper_out=2 * sum(groups),
        kernel=3,
        context=ContextConfig(
            groups=groups,
            channel_widths=(64, 48),
            channel_kernel=3,
            spatial_kernel=3,
            aggregation_widths=(128, 96),
            all_earlier=True,
        ),
    )


ELIC_NANODET_LIGHT = (
    _light(128, 72, (8, 8, 16, 48), 24),
    _light(128, 72, (8, 8, 16, 64), 32),
    _light(128, 80, (8, 8, 16, 64), 32),
)
"""For the three levels of NanoDet."""

ELIC_MOVENET_LIGHT = (
    _light(24, 48, (4, 4, 8, 16), 16),
    _light(32, 56, (8, 8, 16, 16), 24),
    _light(64, 72, (8, 8, 16, 64), 32),
    _light(64, 80, (8, 8, 16, 64), 32),
)
"""For the four levels of MoveNet."""


class Analysis(FusedTransform):
    """g_a: a convolution for each stage, and residual bottlenecks and attention between."""

    def __init__(self, config: ElicConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleList(FeatureNorm(c) for c in config.feature_channels)
        blocks: list[nn.Module] = []
        (channels,) = config.feature_channels
        for i, stride in enumerate(config.strides):
            last = i == len(config.strides) - 1
            width = config.latent_channels if last else config.width
            blocks.append(conv(channels, width, config.kernel, stride))
            blocks += [] if last else [ResidualBottleneck(width) for _ in range(config.bottlenecks)]
            blocks += [AttentionBlock(width)] if i in config.attention_stages else []
            channels = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, feature: Tensor) -> Tensor:
        """Turns a map (`[N, C, H, W]`) into `y` of ceil(H / stride) rows, likewise columns."""
        return cast("Tensor", self.blocks(self.norms[0](feature)))


class Synthesis(FusedTransform):
    """g_s: the analysis mirrored."""

    def __init__(self, config: ElicConfig) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = config.latent_channels
        for i, stride in reversed(list(enumerate(config.strides))):
            last = i == len(config.strides) - 1
            width = config.width if i else config.feature_channels[0]
            blocks += [AttentionBlock(channels)] if i in config.attention_stages else []
            if not last:
                blocks += [ResidualBottleneck(channels) for _ in range(config.bottlenecks)]
            change = deconv if stride == 2 else conv
            blocks.append(change(channels, width, config.kernel))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.norms = nn.ModuleList(FeatureNorm(c) for c in config.feature_channels)

    def forward(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        """Turns decoded `y` into the map, at stride times its size."""
        norm = cast("FeatureNorm", self.norms[0])
        return (norm.inverse(self.blocks(y_hat).float()),)


class Elic(ContextCodec):
    """The codec of one level."""

    config: ElicConfig

    def __init__(self, config: ElicConfig) -> None:
        super().__init__(config)
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.apply(initialise)
