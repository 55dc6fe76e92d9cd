"""How finely each channel can be resolved without a sum reaching 2^24."""

from __future__ import annotations

import torch
from torch import Tensor

from .floatlayers import Form
from .operations import LARGEST_FACTOR

LARGEST_SUM = 2**24 - 2**18
"""Sums stay below this: 2^24, less what corrections of biases may add."""

FINEST = 24
"""float16 holds multiples of 2^-24."""

FACTOR_BITS = 12
"""Fractional bits of factors that are not powers of two, such as leaky slopes."""


def exponents(form: Form, weight: Tensor, bias: Tensor, limits: Tensor) -> Tensor:
    """The largest exponents with which rounded weights keep all bounds.

    Args:
        form: Of the layer.
        weight: Real weights as PyTorch lays them out, float64, in units of the output per unit of
            the input.
        bias: float64 `[C_out]`, in units of the output.
        limits: Largest magnitude of each input channel, float64 `[C_in]`.

    Returns:
        float64 `[C_out]`, whole numbers up to 24: weights times 2^exponent, rounded, are at most
        2^11, and `sum |w| * limit + |b|` at most `LARGEST_SUM`.
    """
    rows, phases = form.rows(weight), form.phases(weight)
    largest = rows.abs().amax((2, 3)).reshape(-1)
    room = torch.minimum(
        LARGEST_SUM / (form.reach(rows, limits, phases) + bias.abs()), LARGEST_FACTOR / largest
    )
    exponent = torch.log2(room).floor().clamp(max=FINEST)
    # Rounding may have taken the sum over the bound.
    power = torch.exp2(exponent)
    whole = (rows * power.reshape(form.groups, -1, 1, 1)).round()
    sums = form.reach(whole, limits, phases) + (bias * power).round().abs()
    over = (sums > LARGEST_SUM) | (whole.abs().amax((2, 3)).reshape(-1) > LARGEST_FACTOR)
    return torch.where(over, exponent - 1, exponent)


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
