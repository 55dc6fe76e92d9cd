"""L-MSFC v2 for any pyramid: transforms, hyperprior, space-channel context.

Source of the architecture: the public training code of the MPEG FCM proposal m66341 (L-MSFC-V2);
ELIC's analysis and synthesis (arXiv 2203.10886), fused level by level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from .context import ContextConfig
from .context_codec import ContextCodec, ContextCodecConfig
from .layers import AttentionBlock, TripleBottleneck, conv, deconv, initialise
from .pyramid import PyramidAnalysis, PyramidSynthesis


@dataclass(frozen=True, slots=True, kw_only=True)
class LmsfcV2Config(ContextCodecConfig):
    """Sizes of one codec. Levels go from the finest to the coarsest, each half the one before."""

    latent_stride: int = 16
    """Side of a cell of y in cells of the finest level; a power of two."""
    mixing_kernel: int = 5
    """Side of the kernels that bring a finer level down to be mixed into the coarser one."""
    lift_kernel: int = 3
    """Side of the kernels that bring a level up to the latent's grid before fusion."""
    attention_levels: tuple[int, ...] = (1, 3)
    """Stages of analysis that end in an attention block."""

    def __post_init__(self) -> None:
        stride = self.latent_stride
        if stride < 1 or stride & (stride - 1):
            raise ValueError(f"latent_stride must be a power of two, got {stride}")
        if not self.feature_channels or min((*self.feature_channels, self.width)) < 1:
            raise ValueError("needs at least one level, and one channel everywhere")


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


class LmsfcV2(ContextCodec):
    """The codec."""

    config: LmsfcV2Config

    def __init__(self, config: LmsfcV2Config) -> None:
        super().__init__(config)
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.apply(initialise)
