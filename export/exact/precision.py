"""How finely a network's integers resolve what they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fcmrt.errors import ConfigError

from .operations import LARGEST_FACTOR

_FINEST = 16  # fractional bits of a chosen grid, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How the integer form is chosen."""

    activation_bits: int = 9
    """Activations within the network are at most 2^bits - 1. The sums have 24 bits: what the
    activations do not take is left for the weights."""
    margin: float = 2.0
    """Room above the largest activation seen in calibration."""
    least_weight: int = 32
    """A layer whose largest weight of some channel would be a smaller integer is split."""
    most_parts: int = 16
    """Parts of input channels that a layer may be split into; beyond them it is refused."""

    def __post_init__(self) -> None:
        if not 4 <= self.activation_bits <= 11:
            raise ConfigError(f"activation_bits must be 4 to 11, got {self.activation_bits}")
        if not self.margin >= 1:
            raise ConfigError(f"margin must be at least 1, got {self.margin}")


@dataclass(frozen=True, slots=True)
class ExactInput:
    """How a graph input becomes integers: `clip(round(x * 2^bits), -limit, limit)`."""

    bits: int | tuple[int, ...] = 0
    """Fractional bits, of all channels or of each."""
    limit: int = LARGEST_FACTOR - 1

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LARGEST_FACTOR:
            raise ValueError(f"limit must be 1 to {LARGEST_FACTOR}, got {self.limit}")

    def units(self, channels: int) -> Tensor:
        """The value of 1 in each channel: float64 `[C]`."""
        bits = torch.tensor(self.bits, dtype=torch.float64)
        return torch.exp2(-bits).expand(channels).clone()


def grid_for(values: Tensor, precision: Precision) -> ExactInput:
    """Chooses a grid for a float tensor that networks of the exact path pass on or read.

    Whole numbers, such as decoded hyper-latents, keep their grid. Others take a grid per channel,
    as fine as their range allows: with a power of two for a unit, one bit more than activations
    within a network makes sure that nothing is lost to those.

    Args:
        values: As they occur in use, `[N, C, ...]`.
        precision: How finely, and with how much room.
    """
    reach = values.detach().abs().transpose(0, 1).flatten(1).amax(1).double() * precision.margin
    limit = min(2 ** (precision.activation_bits + 1), LARGEST_FACTOR) - 1
    if float(reach.max()) <= limit and bool((values == values.round()).all()):
        return ExactInput(0, 2 ** max(4, math.ceil(math.log2(float(reach.max()) + 1))) - 1)
    reach = torch.maximum(reach, reach.max() / 256)  # of silent channels
    bits = torch.log2(limit / reach).floor().clamp(-_FINEST, _FINEST)
    return ExactInput(tuple(int(bit) for bit in bits), limit)
