"""How L-MSFC fuses the levels of a pyramid into one latent, and separates them again.

Both of its versions do this, with different blocks in between. Levels go from the finest to the
coarsest, each half the one before. Source: arXiv 2306.16670 (FENet, DRNet).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .codec import FusedTransform
from .layers import AttentionBlock, FeatureNorm, conv, subpixel_conv

Stage = Callable[[int, int, int], nn.Module]
"""Makes a stage from its number, the channels that come in, and its stride."""


class PyramidAnalysis(FusedTransform):
    """Fusion and encoding interleaved, finest level first (FENet).

    A stage halves the grid until the latent's grid is reached and keeps it from then on; a level
    coarser than the grid at its turn is brought up by sub-pixel convolutions before fusion.

    Args:
        feature_channels: Channels of each level.
        latent_stride: Side of a cell of the latent in cells of the finest level.
        lift_kernel: Side of the kernels that bring a level up.
        width: Channels that every stage but the last outputs.
        stages: How many there are.
        stage: Makes one.
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        latent_stride: int,
        lift_kernel: int,
        width: int,
        stages: int,
        stage: Stage,
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(FeatureNorm(c) for c in feature_channels)
        self.lifts = nn.ModuleList()
        self.stages = nn.ModuleList()
        grid, running = 1, 0
        for i in range(stages):
            channels = running
            if i < len(feature_channels):
                feature = feature_channels[i]
                doublings = range(int(math.log2(2**i / grid)))
                lifts = (subpixel_conv(feature, feature, kernel=lift_kernel) for _ in doublings)
                self.lifts.append(nn.Sequential(*lifts))
                channels += feature
            stride = 2 if grid < latent_stride else 1
            self.stages.append(stage(i, channels, stride))
            grid, running = grid * stride, width

    def forward(self, *features: Tensor) -> Tensor:
        """Turns features, finest first (`[N, C_i, H_i, W_i]`), into `y`."""
        x: Tensor | None = None
        for i, stage in enumerate(self.stages):
            if i < len(features):
                feature = self.lifts[i](self.norms[i](features[i]))
                x = feature if x is None else torch.cat([x, feature], 1)
            x = stage(x)
        return cast("Tensor", x)


class PyramidSynthesis(FusedTransform):
    """One decoder per level, then mixing from fine to coarse (DRNet).

    Args:
        feature_channels: Channels of each level.
        latent_channels: Channels of the latent.
        mixing_kernel: Side of the kernels that bring a finer level down to be mixed in.
        branches: The decoder of each level.
    """

    def __init__(
        self,
        feature_channels: Sequence[int],
        latent_channels: int,
        mixing_kernel: int,
        branches: Iterable[nn.Module],
    ) -> None:
        super().__init__()
        self.entry = AttentionBlock(latent_channels)
        self.branches = nn.ModuleList(branches)
        self.downs = nn.ModuleList()
        self.mixers = nn.ModuleList()
        for finer, coarser in itertools.pairwise(feature_channels):
            down = nn.Sequential(conv(finer, finer, mixing_kernel, 2), nn.LeakyReLU(0.01))
            mixer = nn.Sequential(conv(finer + coarser, coarser), nn.LeakyReLU(0.01))
            self.downs.append(down)
            self.mixers.append(mixer)
        self.norms = nn.ModuleList(FeatureNorm(c) for c in feature_channels)

    def forward(self, y_hat: Tensor) -> tuple[Tensor, ...]:
        """Turns decoded `y` into features, finest first."""
        x = self.entry(y_hat)
        features = [branch(x) for branch in self.branches]
        for i, (down, mixer) in enumerate(zip(self.downs, self.mixers, strict=True)):
            both = torch.cat([down(features[i]), features[i + 1]], 1)
            features[i + 1] = features[i + 1] + mixer(both)
        return tuple(
            cast("FeatureNorm", norm).inverse(feature.float())
            for norm, feature in zip(self.norms, features, strict=True)
        )
