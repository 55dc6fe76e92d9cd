"""What a level's bits are worth to the task: the loss-rate model, and how it shares bits out.

Source: MFIBA (arXiv 2503.19278). Coding level `i` at rate `R_i` costs the task `w_i alpha_i
R_i^beta_i`, where the importance `w_i` depends on the picture. The rates that minimise
`sum_i w_i alpha_i R_i^beta_i + trade * sum_i share_i R_i` have a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

LEAST_IMPORTANCE = 1e-8
"""Importances below this are raised to it, so that every level has a rate above 0."""

_HALVINGS = 100


@dataclass(frozen=True, slots=True)
class LossRate:
    """The model of one level and codec: loss = importance * alpha * rate^beta."""

    alpha: float
    """Loss of a picture of importance 1 at rate 1; above 0."""
    beta: float
    """Below 0."""

    def loss(self, rate: float, importance: float = 1.0) -> float:
        """Returns what coding the level at this rate costs the task."""
        return importance * self.alpha * math.pow(rate, self.beta)


def rates_for(
    models: Sequence[LossRate],
    importances: Sequence[float],
    shares: Sequence[float],
    trade: float,
) -> Float64:
    """Finds the levels' rates at a price of bits.

    Args:
        models: One for each level.
        importances: Of the levels in this picture, at least 0.
        shares: Each level's share of all elements; a rate is in bits per element of its level.
        trade: Loss that one bit per element of the picture may cost ("lambda"); above 0.

    Returns:
        The rate of each level, float64: `(-trade share / (w alpha beta))^(1 / (beta - 1))`.
    """
    rates = []
    for model, importance, share in zip(models, importances, shares, strict=True):
        gain = -max(importance, LEAST_IMPORTANCE) * model.alpha * model.beta
        rates.append((trade * share / gain) ** (1 / (model.beta - 1)))
    return np.array(rates)


def rates_within(
    models: Sequence[LossRate],
    importances: Sequence[float],
    shares: Sequence[float],
    rate: float,
) -> Float64:
    """Finds the levels' rates with the least loss at a given rate of the picture.

    Args:
        models: As for `rates_for`.
        importances: As for `rates_for`.
        shares: As for `rates_for`.
        rate: Bits per element of the picture; above 0.

    Returns:
        As `rates_for`.
    """
    low, high = -200.0, 200.0  # logarithm of the trade; rates fall as it grows
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        total = np.dot(shares, rates_for(models, importances, shares, math.exp(middle)))
        low, high = (middle, high) if total > rate else (low, middle)
    return rates_for(models, importances, shares, math.exp((low + high) / 2))
