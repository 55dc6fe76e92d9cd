"""LIC-TCM for pictures: mixed transforms, two hyper-syntheses, slices.

Source of the architecture: LIC-TCM (arXiv 2303.14978) and its public code.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .bottleneck import EntropyBottleneck
from .layers import ResidualBlockUpsample, ResidualBlockWithStride, conv, subpixel_conv
from .lictcm_slices import Slices
from .swin import mixed_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class LicTcmConfig:
    """Sizes of one codec; those that the published models share are the defaults."""

    width: int
    """Channels of each half of a mixed block ("N"): 64, 96 and 128 of small, middle and large."""
    latent_channels: int = 320
    """Channels of y ("M")."""
    slices: int = 5
    """Equal parts of y, coded one after the other."""
    blocks: int = 2
    """Mixed blocks of each stage."""
    head_channels: tuple[int, int, int] = (8, 16, 32)
    """Of the analysis' stages, finest first; the synthesis has them in reverse."""
    window: int = 8
    """Side of the windows in analysis, synthesis and slices."""
    hyper_channels: int = 192
    """Channels of z."""
    hyper_head_channels: int = 32
    hyper_window: int = 4
    """Side of the windows in the hyper networks."""
    squeezed: int = 128
    """Channels in which a slice's windows are attended to."""
    slice_head_channels: int = 16
    slice_widths: tuple[int, int] = (224, 128)
    """Channels between the three convolutions of a slice's branches."""

    latent_stride = 16
    hyper_stride = 4

    @property
    def slice_channels(self) -> int:
        """Channels of each slice."""
        return self.latent_channels // self.slices

    @property
    def multiple(self) -> int:
        """What a picture's sides are multiples of, so that windows fit.

        The windows with the largest cells decide: those of the slices on the grid of y, and those
        of the hyper networks on the grid between y and z.
        """
        return max(self.latent_stride * self.window, 2 * self.latent_stride * self.hyper_window)


LICTCM_SMALL = LicTcmConfig(width=64)
LICTCM_MIDDLE = LicTcmConfig(width=96)
LICTCM_LARGE = LicTcmConfig(width=128)


def _analysis(config: LicTcmConfig) -> nn.Sequential:
    wide = 2 * config.width
    layers: list[nn.Module] = [ResidualBlockWithStride(3, wide)]
    for i, head in enumerate(config.head_channels):
        layers += mixed_blocks(config.blocks, config.width, head, config.window)
        last = i == len(config.head_channels) - 1
        layers.append(
            conv(wide, config.latent_channels, stride=2)
            if last
            else ResidualBlockWithStride(wide, wide)
        )
    return nn.Sequential(*layers)


def _synthesis(config: LicTcmConfig) -> nn.Sequential:
    wide = 2 * config.width
    layers: list[nn.Module] = [ResidualBlockUpsample(config.latent_channels, wide)]
    for i, head in enumerate(reversed(config.head_channels)):
        layers += mixed_blocks(config.blocks, config.width, head, config.window)
        last = i == len(config.head_channels) - 1
        layers.append(subpixel_conv(wide, 3) if last else ResidualBlockUpsample(wide, wide))
    return nn.Sequential(*layers)


def _hyper_blocks(config: LicTcmConfig) -> list[nn.Module]:
    return mixed_blocks(
        config.blocks, config.width, config.hyper_head_channels, config.hyper_window
    )


def _hyper_analysis(config: LicTcmConfig) -> nn.Sequential:
    wide = 2 * config.width
    return nn.Sequential(
        ResidualBlockWithStride(config.latent_channels, wide),
        *_hyper_blocks(config),
        conv(wide, config.hyper_channels, stride=2),
    )


def _hyper_synthesis(config: LicTcmConfig) -> nn.Sequential:
    wide = 2 * config.width
    return nn.Sequential(
        ResidualBlockUpsample(config.hyper_channels, wide),
        *_hyper_blocks(config),
        subpixel_conv(wide, config.latent_channels),
    )


class LicTcm(nn.Module):
    """The networks of a codec and the prior of `z`; `deploy_lictcm` says how they are run.

    Args:
        config: Sizes.
    """

    def __init__(self, config: LicTcmConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = _analysis(config)
        self.hyper_analysis = _hyper_analysis(config)
        self.hyper_means = _hyper_synthesis(config)
        self.hyper_scales = _hyper_synthesis(config)
        self.slices = Slices(
            config.latent_channels,
            [config.slice_channels] * config.slices,
            config.squeezed,
            config.slice_head_channels,
            config.window,
            config.slice_widths,
        )
        self.synthesis = _synthesis(config)
        self.prior = EntropyBottleneck(config.hyper_channels)
