"""The entropy model's side of training: rounding, noise, and estimated bits.

Source: arXiv 1802.01436 (noise in place of rounding, a factorised prior for the hyper-latent).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .layers import lower_bound

SIGMA_0 = 0.11
INDEXES_PER_OCTAVE = 8  # sigma doubles every 8 indexes
STEPS_PER_OCTAVE = 8  # the step doubles every 8 qualities
TABLES = 64
INDEX_START = 24.0  # index where a network outputs 0, as before training: sigma = 0.88
MEAN_GRID = 64  # means are multiples of 1 / 64
Z_RANGE = 255  # how many integers of the hyper-latent have a place in tables on either side of 0
MIN_LIKELIHOOD = 2.0**-20


class ChannelPrior(nn.Module):
    """A learned mixture of logistics per channel: the factorised prior of `z`."""

    def __init__(self, channels: int, components: int = 3):
        super().__init__()
        spread = torch.linspace(-2.0, 2.0, components)
        self.centre = nn.Parameter(spread.repeat(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, components))
        self.weight = nn.Parameter(torch.zeros(channels, components))

    def likelihood(self, z: Tensor) -> Tensor:
        """Probability of the unit interval around `z` (float32 `[N, C, H, W]`), same shape."""
        centred = z.movedim(1, -1)[..., None] - self.centre
        inverse = torch.exp(-self.log_scale.clamp(-4.0, 6.0))
        # Differences of sigmoids are taken on the side where they do not cancel.
        side = -torch.sign(centred.detach() + 1e-9)
        upper = torch.sigmoid(side * (centred + 0.5) * inverse)
        lower = torch.sigmoid(side * (centred - 0.5) * inverse)
        mass = (torch.softmax(self.weight, -1) * (upper - lower).abs()).sum(-1)
        return mass.movedim(-1, 1)

    def probabilities(self, low: int, high: int) -> Tensor:
        """Probability of each integer `low..high`: float64 `[C, high - low + 1]`."""
        values = torch.arange(low, high + 1, dtype=torch.float64, device=self.centre.device)
        grid = values[None, None, :].repeat(1, len(self.centre), 1)[..., None]
        with torch.no_grad():
            return self.double_copy().likelihood(grid)[0, :, :, 0]

    def double_copy(self) -> ChannelPrior:
        """A float64 copy, to read tables from."""
        copy = ChannelPrior(*self.centre.shape).double().to(self.centre.device)
        copy.load_state_dict(self.state_dict())
        return copy


def octave_index(octaves: Tensor) -> Tensor:
    """Returns continuous table indexes of scales in octaves, which networks trained here output."""
    return octaves * INDEXES_PER_OCTAVE + INDEX_START


class OctaveIndex(nn.Module):
    """`octave_index` as a module."""

    def forward(self, octaves: Tensor) -> Tensor:
        """Turns scales into indexes of the same shape."""
        return octave_index(octaves)


def round_through(x: Tensor) -> Tensor:
    """Rounds half to even; the gradient passes as if nothing had happened."""
    return x + (torch.round(x) - x).detach()


def noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform noise in -0.5..0.5 of the shape of `x`."""
    return torch.rand(x.shape, generator=generator, device=x.device) - 0.5


def bits(likelihood: Tensor) -> Tensor:
    """Sum of -log2 over everything but the batch: float32 `[N]`."""
    return -torch.log2(lower_bound(likelihood, MIN_LIKELIHOOD)).flatten(1).sum(1)


def estimate_bits(symbols: Tensor, index: Tensor) -> Tensor:
    """Bits of `symbols` under zero-mean Gaussians of the given table indexes.

    Args:
        symbols: float32 `[N, M, H, W]`, integers, or with noise in training.
        index: Table indexes after the shift by `d`, same shape; clipped here to the tables.

    Returns:
        float32 `[N]`.
    """
    index = lower_bound(-lower_bound(-index, -(TABLES - 1.0)), 0.0)
    inverse = torch.exp2(-index / INDEXES_PER_OCTAVE) / (SIGMA_0 * math.sqrt(2.0))
    size = symbols.abs()
    likelihood = 0.5 * (torch.erfc((size - 0.5) * inverse) - torch.erfc((size + 0.5) * inverse))
    return bits(likelihood)
