"""How finely each channel can be resolved without a sum reaching 2^24."""

from __future__ import annotations

import torch
from torch import Tensor

from .operations import LARGEST_FACTOR

LARGEST_SUM = 2**24 - 2**18
"""Sums stay below this: 2^24, less what corrections of biases may add."""

FINEST = 24
"""float16 holds multiples of 2^-24."""

FACTOR_BITS = 12
"""Fractional bits of factors that are not powers of two, such as leaky slopes."""


def exponents(rows: Tensor, bias: Tensor, limits: Tensor) -> Tensor:
    """The largest exponents with which rounded weights keep all bounds.

    Args:
        rows: Real weights, float64 `[groups, C_out / groups, C_in / groups, taps]`, in units of the
            output per unit of the input.
        bias: float64 `[C_out]`, in units of the output.
        limits: Largest magnitude of each input channel, float64 `[C_in]`.

    Returns:
        float64 `[C_out]`, whole numbers up to 24: weights times 2^exponent, rounded, are at most
        2^11, and `sum |w| * limit + |b|` at most `LARGEST_SUM`.
    """
    reach = limits.reshape(rows.shape[0], 1, -1, 1)
    offset = bias.reshape(rows.shape[:2])

    def bound(power: Tensor) -> Tensor:
        whole = (rows * power[..., None, None]).round().abs()
        sums = (whole * reach).sum((2, 3)) + (offset * power).round().abs()
        return torch.maximum(sums / LARGEST_SUM, whole.amax((2, 3)) / LARGEST_FACTOR)

    real = (rows.abs() * reach).sum((2, 3)) + offset.abs()
    room = torch.minimum(LARGEST_SUM / real, LARGEST_FACTOR / rows.abs().amax((2, 3)))
    exponent = torch.log2(room).floor().clamp(max=FINEST)
    # Rounding may have taken the sum over the bound.
    exponent = torch.where(bound(torch.exp2(exponent)) > 1, exponent - 1, exponent)
    return exponent.reshape(-1)


def dyadic(factors: list[Tensor], limits: list[Tensor]) -> list[Tensor]:
    """Rounds the factors of a sum of tensors to multiples of a power of two.

    Args:
        factors: Of each tensor, float64 `[C]`.
        limits: Largest magnitudes of each tensor, likewise.

    Returns:
        The factors, on a grid on which the sum stays below 2^24, of at most 12 fractional bits.
    """
    reach = torch.stack([f.abs() * limit for f, limit in zip(factors, limits, strict=True)]).sum(0)
    bits = int(torch.log2(LARGEST_SUM / reach.max()).floor().clamp(max=FACTOR_BITS))
    return [(factor * 2.0**bits).round() / 2.0**bits for factor in factors]
