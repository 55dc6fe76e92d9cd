"""How finely a network's integers resolve what they stand for."""

from __future__ import annotations

from dataclasses import dataclass

from .operations import LARGEST_FACTOR


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
            raise ValueError(f"activation_bits must be 4 to 11, got {self.activation_bits}")
        if not self.margin >= 1:
            raise ValueError(f"margin must be at least 1, got {self.margin}")


@dataclass(frozen=True, slots=True)
class ExactInput:
    """How a graph input becomes integers: `clip(round(x * 2^bits), -limit, limit)`."""

    bits: int = 0
    limit: int = LARGEST_FACTOR - 1

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LARGEST_FACTOR:
            raise ValueError(f"limit must be 1 to {LARGEST_FACTOR}, got {self.limit}")
