"""Gain vectors: one codec for all rates, by scaling each channel of the latent.

Source: the public training code of the MPEG FCM proposal m66341 (L-MSFC-V2), whose inference
interpolates geometrically between trained levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fcmrt.spec import GAIN_STEPS, Quality

POSITION = "gain_position"
"""Name of the schedule's tensor from which networks read the quality."""

_LEAST = 1e-30  # a gain of 0 has no logarithm


class Gains(nn.Module):
    """Trained gains of some levels, and what lies between two of them.

    Args:
        levels: Number of trained levels.
        channels: Channels of the latent.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.ones(levels, channels))

    @torch.no_grad()
    def interpolation(self) -> Interpolation:
        """Returns the network to make a graph of, with a copy of the present values."""
        return Interpolation(self.values)


class Interpolation(nn.Module):
    """`|g[k]|^(1-t) * |g[k+1]|^t` at the position `k + t`, the first level being 0.

    A position's share of level `k` is `max(0, 1 - |position - k|)`, which is above 0 only for its
    two neighbours; a 1x1 convolution adds the shares of the logarithms.

    Args:
        values: Gains, float `[levels, channels]`.
    """

    places: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        levels, channels = values.shape
        places = torch.arange(levels, dtype=torch.float32).reshape(1, -1, 1, 1)
        self.register_buffer("places", places)
        self.logarithm = nn.Conv2d(levels, channels, 1, bias=False)
        with torch.no_grad():
            self.logarithm.weight.copy_(values.abs().clamp(min=_LEAST).log().T[..., None, None])

    def forward(self, position: Tensor) -> Tensor:
        """Turns a position in 0..levels - 1 (float32 `[1, 1, 1, 1]`) into gains `[1, C, 1, 1]`."""
        shares = torch.relu(1.0 - torch.abs(position - self.places))
        return torch.exp(self.logarithm(shares))


def gain_quality(levels: int, default: int | None = None) -> Quality:
    """Returns the quality levels of a codec with that many trained gains.

    Args:
        levels: Number of trained levels, the one with the fewest bytes first.
        default: Level used when none is asked for; None: the middle one.
    """
    steps = tuple(-GAIN_STEPS * level for level in range(levels))
    return Quality(steps, default or (levels + 1) // 2, POSITION)
