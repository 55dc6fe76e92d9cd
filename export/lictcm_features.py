"""LIC-TCM for one feature map: its channels enter the analysis directly, with few strides.

Mixed blocks and slices are those of the codec for pictures. The hyper networks are plain, there is
no GDN, and quality is chosen by the step, as in all codecs that are trained here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import Coded, FusedTransform, HyperpriorCodec, Rounding, quantised
from .context_codec import HyperAnalysis, HyperSynthesis
from .entropy import ChannelPrior, OctaveIndex
from .layers import (
    FeatureNorm,
    ResidualBlockUpsample,
    ResidualBlockWithStride,
    conv,
    initialise,
    subpixel_conv,
)
from .lictcm_slices import Slices
from .swin import mixed_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class LicTcmFeaturesConfig:
    """Sizes of one codec."""

    feature_channels: tuple[int, ...]
    """Of the one level."""
    width: int
    """Channels of each half of a mixed block ("N")."""
    slices: tuple[int, ...]
    """Channels of each slice of y."""
    window: int
    """Side of the windows."""
    halvings: int = 1
    """Of the grid, from the level to y; mixed blocks follow each."""
    blocks: int = 2
    """Mixed blocks after each."""
    head_channels: int = 16
    hyper_widths: tuple[int, int] = (24, 36)
    """Channels of z and of the map before the last one in hyper-synthesis."""
    hyper_out: int = 96
    """Channels of the hyper-synthesis' output: half of them for means, half for scales."""
    squeezed: int = 32
    """Channels in which a slice's windows are attended to."""
    slice_widths: tuple[int, int] = (48, 32)
    """Channels between the three convolutions of a slice's branches."""
    kernel: int = 3
    """Side of the kernels that change grids in the hyper networks."""

    def __post_init__(self) -> None:
        if len(self.feature_channels) != 1:
            raise ValueError(f"LIC-TCM codes one level, got {len(self.feature_channels)}")
        if self.halvings < 1 or self.window < 2:
            raise ValueError("needs at least one halving, and windows of at least two cells")
        if self.width % self.head_channels or self.squeezed % self.head_channels:
            raise ValueError(f"width and squeezed must be multiples of {self.head_channels}")

    @property
    def latent_channels(self) -> int:
        """Channels of y ("M")."""
        return sum(self.slices)

    @property
    def hyper_channels(self) -> int:
        """Channels of z."""
        return self.hyper_widths[0]

    @property
    def latent_stride(self) -> int:
        """Side of a cell of y in cells of the level."""
        return 2**self.halvings

    @property
    def hyper_stride(self) -> int:
        """Side of a cell of z in cells of y."""
        return 4

    @property
    def multiple(self) -> int:
        """What the level's sides are padded to multiples of, so that windows fit."""
        return self.latent_stride * self.window

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by `from_dict`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are rejected by the constructor."""
        tuples: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**tuples)


def _light(channels: int, width: int, slice_channels: int, window: int) -> LicTcmFeaturesConfig:
    """A codec for a processor."""
    return LicTcmFeaturesConfig(
        feature_channels=(channels,),
        width=width,
        slices=(slice_channels,) * 3,
        window=window,
        head_channels=8,
        hyper_widths=(24, 36),
        hyper_out=4 * slice_channels,
        squeezed=24,
        slice_widths=(32, 24),
    )


LICTCM_NANODET_LIGHT = (_light(128, 24, 24, 7),) * 3
"""For the three levels of NanoDet, whose 52, 26 and 13 cells a side become 56, 28 and 14: 16 % more
cells, where windows of 4 or 8 would need 64 and 51 % more."""

LICTCM_MOVENET_LIGHT = (
    _light(24, 16, 8, 4),
    _light(32, 16, 12, 4),
    _light(64, 24, 16, 4),
    _light(64, 48, 24, 4),
)
"""For the four levels of MoveNet, 64, 32, 16 and 8 cells a side, which need no padding.

The network's head depends on the coarsest level more than on all others, and its cells are few."""


class Analysis(FusedTransform):
    """g_a: a strided residual block and mixed blocks for each halving, then a convolution."""

    def __init__(self, config: LicTcmFeaturesConfig) -> None:
        super().__init__()
        self.norms = nn.ModuleList(FeatureNorm(c) for c in config.feature_channels)
        (channels,) = config.feature_channels
        wide = 2 * config.width
        layers: list[nn.Module] = []
        for _ in range(config.halvings):
            layers.append(ResidualBlockWithStride(channels, wide, gdn=False))
            layers += mixed_blocks(config.blocks, config.width, config.head_channels, config.window)
            channels = wide
        self.layers = nn.Sequential(*layers, conv(wide, config.latent_channels))

    def forward(self, feature: Tensor) -> Tensor:
        """Turns a map (`[N, C, H, W]`), its sides multiples of the config's, into `y`."""
        return cast("Tensor", self.layers(self.norms[0](feature)))


class Synthesis(FusedTransform):
    """g_s: the analysis mirrored."""

    def __init__(self, config: LicTcmFeaturesConfig) -> None:
        super().__init__()
        wide = 2 * config.width
        (channels,) = config.feature_channels
        layers: list[nn.Module] = [conv(config.latent_channels, wide)]
        for i in range(config.halvings):
            layers += mixed_blocks(config.blocks, config.width, config.head_channels, config.window)
            last = i == config.halvings - 1
            layers.append(
                subpixel_conv(wide, channels)
                if last
                else ResidualBlockUpsample(wide, wide, gdn=False)
            )
        self.layers = nn.Sequential(*layers)
        self.norms = nn.ModuleList(FeatureNorm(c) for c in config.feature_channels)

    def forward(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        """Turns decoded `y` into the map, at stride times its size."""
        norm = cast("FeatureNorm", self.norms[0])
        return (norm.inverse(self.layers(y_hat).float()),)


class LicTcmFeatures(HyperpriorCodec):
    """The codec of one level."""

    def __init__(self, config: LicTcmFeaturesConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.slices = Slices(
            config.hyper_out // 2,
            config.slices,
            config.squeezed,
            config.head_channels,
            config.window,
            config.slice_widths,
        )
        self.index = OctaveIndex()
        self.synthesis = Synthesis(config)
        self.prior = ChannelPrior(config.hyper_channels)
        self.apply(initialise)

    def latents(self, features: Sequence[Tensor]) -> list[Tensor]:
        """See `FeatureCodec`; the level is padded first, as the runtime does it."""
        return super().latents([padded(level, self.config.multiple) for level in features])

    def code(
        self, y: Tensor, z_hat: Tensor, step: Tensor, rounding: Rounding, grid: Rounding
    ) -> Coded:
        """See `HyperpriorCodec`."""
        rows, columns = y.shape[-2:]
        hyper = self.hyper_synthesis(z_hat)[..., :rows, :columns]
        hyper_mean, hyper_scale = hyper.chunk(2, 1)
        means: list[Tensor] = []
        indexes: list[Tensor] = []
        known: list[Tensor] = []
        for k, part in enumerate(y.split(self.config.slices, 1)):
            support = self.slices.supports[k](hyper_mean, *known)
            mean, octaves = self.slices.parameters_of[k](support, hyper_scale, *known)
            mean = grid(mean.float())
            means.append(mean)
            indexes.append(self.index(octaves.float()))
            rounded = quantised(part, mean, step, rounding)
            known.append(self.slices.residuals[k](support, rounded))
        return Coded(torch.cat(means, 1), torch.cat(indexes, 1), torch.cat(known, 1))


def padded(level: Tensor, multiple: int) -> Tensor:
    """Mirrors a map at the bottom and right until its sides are multiples, as the runtime does.

    Args:
        level: `[N, C, H, W]`.
        multiple: Of cells.
    """
    rows, columns = (-side % multiple for side in level.shape[-2:])
    fits = rows < level.shape[-2] and columns < level.shape[-1]
    return F.pad(level, (0, columns, 0, rows), "reflect" if fits else "replicate")
