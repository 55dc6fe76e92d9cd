"""What training and export need of a feature codec, and what those with a hyperprior share.

Conventions shared with the runtime:

* a mean is in units of the latent `y`, and is rounded to the grid 2^-6;
* an index is continuous and unclipped: sigma = 0.11 * 2^(index / 8), rounded to an integer;
* quality is an integer `d`: step = 2^(d / 8), symbol = round((y - mean) / step), and the table
  used is `clip(index - d, 0, 63)`, whose sigma is in units of the step;
* the hyper-latent `z` is rounded with step 1 and coded with one table per channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from .entropy import (
    MEAN_GRID,
    STEPS_PER_OCTAVE,
    ChannelPrior,
    bits,
    estimate_bits,
    noise,
    round_through,
)
from .layers import FeatureNorm

Rounding = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Forward:
    """The result of one pass through a codec."""

    features: tuple[Tensor, ...]
    """Decoded features, float32 `[N, C_i, H_i, W_i]`, finest first."""
    y_bits: Tensor
    """Estimated bits of y per picture, float32 `[N]`."""
    z_bits: Tensor
    """Estimated bits of z per picture, float32 `[N]`."""
    parts: tuple[Forward, ...] = ()
    """The pass of each level, if the codec codes the levels one by one."""

    @property
    def bits(self) -> Tensor:
        """Estimated bits per picture, float32 `[N]`."""
        return self.y_bits + self.z_bits


@dataclass(frozen=True, slots=True)
class Coded:
    """What is known of `y` once it is coded; all float32 `[N, M, H, W]`."""

    mean: Tensor
    index: Tensor
    """Continuous table index, not yet shifted by `d`."""
    y_hat: Tensor
    """`y` as the decoder has it."""


def on_grid(mean: Tensor) -> Tensor:
    """Rounds means to the grid that the runtime keeps them on."""
    return torch.round(mean * MEAN_GRID) / MEAN_GRID


def unchanged(value: Tensor) -> Tensor:
    """Leaves means where they are, for gradients."""
    return value


def quantised(y: Tensor, mean: Tensor, step: Tensor, rounding: Rounding) -> Tensor:
    """Returns `y` as the decoder has it."""
    return mean + step * rounding((y - mean) / step)


class FeatureCodec(nn.Module, ABC):
    """A codec of feature maps, as training and validation see it.

    Maps are float32 `[N, C_i, H_i, W_i]`, finest first. Quality `d` is `[N]`; the networks do not
    see it. Parameters of factorised priors have "prior." in their names.
    """

    levels_have_quality: ClassVar[bool] = False
    """Whether each level may have a quality of its own: then `d` is `[N]` or `[N, levels]`."""

    @abstractmethod
    def set_feature_statistics(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> None:
        """Sets the fixed normalisation of every level, each float `[C_i]`."""

    @abstractmethod
    def forward(
        self, features: Sequence[Tensor], d: Tensor, generator: torch.Generator | None = None
    ) -> Forward:
        """Runs a pass for training: noise in the rate, straight-through rounding in the distortion.

        Args:
            features: Of every level.
            d: Quality.
            generator: Source of the noise.
        """

    @abstractmethod
    def latents(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Runs analysis: float32 `[N, M, H, W]` for each latent."""

    @abstractmethod
    def entropy_forward(self, latents: Sequence[Tensor], d: Tensor) -> Tensor:
        """Returns the bits per picture (`[N]`) of truly rounded symbols.

        They are differentiable in the entropy model, for the last steps of training, when analysis
        and synthesis no longer change.
        """

    @abstractmethod
    def round_trip(self, features: Sequence[Tensor], d: Tensor) -> Forward:
        """Encodes and decodes as the runtime would, with the ideal bits; without gradients."""

    @abstractmethod
    def transforms(self) -> list[nn.Module]:
        """Returns analysis and synthesis, which are frozen in the last steps of training."""


class FusedTransform(nn.Module):
    """A transform between one or more levels and one latent, normalised level by level."""

    norms: nn.ModuleList
    """One `FeatureNorm` for each level."""


class HyperpriorCodec(FeatureCodec):
    """A codec of one latent: four networks, a prior of `z`, and a quantiser between them."""

    analysis: FusedTransform
    """Features, finest first, to y."""
    hyper_analysis: nn.Module
    """y to z."""
    synthesis: FusedTransform
    """Decoded y to features; a map larger than its level is cropped at the bottom and right."""
    prior: ChannelPrior
    """Of z."""

    @abstractmethod
    def code(
        self, y: Tensor, z_hat: Tensor, step: Tensor, rounding: Rounding, grid: Rounding
    ) -> Coded:
        """Predicts and quantises `y`, in the order in which the decoder will.

        Args:
            y: float32 `[N, M, H, W]`.
            z_hat: Rounded `z`.
            step: Width of the quantiser's step, float32 `[N, 1, 1, 1]`.
            rounding: Of symbols: `torch.round`, or one that lets gradients through.
            grid: Of means.
        """

    def set_feature_statistics(self, means: Sequence[Tensor], stds: Sequence[Tensor]) -> None:
        """See `FeatureCodec`."""
        for norms in (self.analysis.norms, self.synthesis.norms):
            for norm, mean, std in zip(norms, means, stds, strict=True):
                cast("FeatureNorm", norm).set(mean, std)

    def forward(
        self, features: Sequence[Tensor], d: Tensor, generator: torch.Generator | None = None
    ) -> Forward:
        """See `FeatureCodec`."""
        (y,) = self.latents(features)
        z = self.hyper_analysis(y).float()
        d = _per_picture(d)
        step = _step(d)
        coded = self.code(y, round_through(z), step, round_through, unchanged)
        scaled = (y - coded.mean) / step
        y_bits = estimate_bits(scaled + noise(scaled, generator), coded.index - d)
        z_bits = bits(self.prior.likelihood(z + noise(z, generator)))
        return Forward(self._synthesised(coded.y_hat, features), y_bits, z_bits)

    def latents(self, features: Sequence[Tensor]) -> list[Tensor]:
        """See `FeatureCodec`: there is one."""
        return [self.analysis(*features).float()]

    def entropy_forward(self, latents: Sequence[Tensor], d: Tensor) -> Tensor:
        """See `FeatureCodec`."""
        (y,) = latents
        z_hat = round_through(self.hyper_analysis(y).float())
        d = _per_picture(d)
        step = _step(d)
        coded = self.code(y, z_hat, step, round_through, unchanged)
        scaled = (y - coded.mean) / step
        y_bits = estimate_bits(round_through(scaled), coded.index - d)
        return y_bits + bits(self.prior.likelihood(z_hat))

    @torch.no_grad()
    def quantise(self, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantises as the runtime does: real rounding, means on their grid, integer indexes.

        Args:
            y: float32 `[N, M, H, W]`.
            d: Quality per picture, `[N]`.

        Returns:
            Decoded `y`, and the ideal bits of `y` and of `z` per picture (float32 `[N]`).
        """
        z_hat = torch.round(self.hyper_analysis(y))
        d = _per_picture(d)
        step = _step(d)
        coded = self.code(y, z_hat, step, torch.round, on_grid)
        symbols = torch.round((y - coded.mean) / step)
        y_bits = estimate_bits(symbols, torch.round(coded.index) - d)
        return coded.y_hat, y_bits, bits(self.prior.likelihood(z_hat))

    @torch.no_grad()
    def round_trip(self, features: Sequence[Tensor], d: Tensor) -> Forward:
        """See `FeatureCodec`."""
        (y,) = self.latents(features)
        y_hat, y_bits, z_bits = self.quantise(y, d)
        return Forward(self._synthesised(y_hat, features), y_bits, z_bits)

    def transforms(self) -> list[nn.Module]:
        """See `FeatureCodec`."""
        return [self.analysis, self.synthesis]

    def _synthesised(self, y_hat: Tensor, like: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns decoded features, cropped to the sizes of `like`."""
        return tuple(
            feature[..., : level.shape[-2], : level.shape[-1]]
            for feature, level in zip(self.synthesis(y_hat), like, strict=True)
        )


def _per_picture(d: Tensor) -> Tensor:
    return d.reshape(len(d), 1, 1, 1).float()


def _step(d: Tensor) -> Tensor:
    return torch.exp2(d / STEPS_PER_OCTAVE)
