"""From measured losses and rates to the model that an engine holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fcmrt.export.importance.measure import Measured
from fcmrt.importance_model import ImportanceModel, LevelModel

Float64 = NDArray[np.float64]

LEAST_RATE, LEAST_LOSS = 1e-7, 1e-9
"""Least values that measured rates and losses count as; the model needs logarithms."""
LEAST_FALL = 1e-3
"""Least share by which a rate falls from one step to the next."""
STEEPEST, FLATTEST = -10.0, -1e-6
"""Bounds of beta."""
NEAR_BOUND = 1e-3
"""A beta as near as this to a bound counts as at it: the optimiser stays within bounds."""


def fit_model(
    measured: Measured, names: Sequence[str], *, graph: str, spread: int
) -> ImportanceModel:
    """Fits curves and loss-rate models to training pictures.

    Args:
        measured: Of training pictures, levels together too; the curves follow these, and the
            loss-rate models levels alone, as in MFIBA.
        names: Of the levels.
        graph: Name of the graph that predicts importances.
        spread: By how many steps a level may be from the picture's mean.

    Raises:
        ValueError: Levels were not measured together.
    """
    if measured.together is None:
        raise ValueError("curves are fitted to levels together, which were not measured")
    each = losses_at_1(measured)
    levels = {}
    for i, name in enumerate(names):
        losses = increasing(measured.together[:, i].mean(0))
        rates = decreasing(measured.rates[:, i].mean(0))
        alpha, beta, fit = fit_loss_rate(measured.rates[:, i].ravel(), each[:, i].ravel())
        levels[name] = LevelModel(
            alpha, beta, fit, tuple(map(float, losses)), tuple(map(float, rates))
        )
    return ImportanceModel(graph, measured.steps, spread, levels)


def losses_at_1(measured: Measured) -> Float64:
    """What levels alone lose in each picture, brought to an importance of 1: as `losses`."""
    importances = importances_of(measured)[..., None]
    return np.asarray(measured.losses / np.maximum(importances, LEAST_LOSS))


def curve_fits(measured: Measured) -> Float64:
    """How well curves over the steps fit what levels alone lose: `[levels]`.

    The share of variance that they explain, of the same losses as for `LevelModel.fit`; a level's
    curve is the mean of its pictures' losses, made not to decrease.
    """
    each = losses_at_1(measured)
    curves = [increasing(level) for level in each.mean(0)]
    pairs = zip(each.transpose(1, 0, 2), curves, strict=True)
    return np.array([explained(losses, curve) for losses, curve in pairs])


def explained(values: Float64, found: Float64) -> float:
    """Share of the values' variance that is explained by what stands for them; at most 1."""
    spread = np.square(values - values.mean()).sum()
    return float(1 - np.square(values - found).sum() / max(spread, 1e-300))


def is_at_bound(beta: float) -> bool:
    """Returns whether a fitted beta is at a bound: the losses would need one beyond it."""
    return beta < STEEPEST + NEAR_BOUND or beta > FLATTEST - NEAR_BOUND


def importances_of(measured: Measured) -> Float64:
    """How much a picture loses by each level, against the mean of all: `[pictures, levels]`."""
    return np.asarray(importance_maps(measured).mean((2, 3)))


def importance_maps(measured: Measured) -> Float64:
    """How much parts of a picture lose by each level: `[pictures, levels, rows, columns]`.

    The mean over the steps of the ratios to the mean loss, so that no step counts more than
    another. A picture's mean is its importance, and the mean of all of them is 1.
    """
    parts = measured.maps.shape[3] * measured.maps.shape[4]
    usual = np.maximum(measured.losses.mean(0), LEAST_LOSS)[..., None, None]
    return np.asarray((measured.maps / usual).mean(2) * parts)


def weights_of(measured: Measured) -> Float64:
    """Weights of the levels by the procedure of MFIBA, sum 1: `[pictures, levels]`.

    At every step losses are brought to 0..1 over the levels (all 1 where they are equal), summed
    over the steps, and divided by their sum.
    """
    losses = measured.losses
    low, high = losses.min(1, keepdims=True), losses.max(1, keepdims=True)
    flat = high == low
    scaled = np.where(flat, 1.0, (losses - low) / np.where(flat, 1.0, high - low)).sum(2)
    return np.asarray(scaled / scaled.sum(1, keepdims=True))


def fit_loss_rate(rates: Float64, losses: Float64) -> tuple[float, float, float]:
    """Fits loss = alpha rate^beta by least squares, with alpha > 0 and beta < 0.

    Args:
        rates: `[n]`, above 0.
        losses: `[n]`.

    Returns:
        alpha, beta, and the share of the losses' variance that is explained.
    """
    from scipy.optimize import curve_fit

    rates = np.maximum(rates, LEAST_RATE)
    slope, height = np.polyfit(np.log(rates), np.log(np.maximum(losses, LEAST_LOSS)), 1)
    start = np.exp(height), min(slope, -1e-3)
    (alpha, beta), _ = curve_fit(
        lambda rate, a, b: a * rate**b,
        rates,
        losses,
        p0=start,
        bounds=([1e-12, STEEPEST], [np.inf, FLATTEST]),
    )
    return float(alpha), float(beta), explained(losses, alpha * rates**beta)


def increasing(values: Float64) -> Float64:
    """The nearest curve that never decreases, by least squares; above 0."""
    from scipy.optimize import isotonic_regression

    return np.maximum(isotonic_regression(values).x, LEAST_LOSS)


def decreasing(values: Float64) -> Float64:
    """The nearest curve that never increases, made strictly decreasing; above 0."""
    from scipy.optimize import isotonic_regression

    curve = np.maximum(isotonic_regression(values, increasing=False).x, LEAST_RATE)
    for i in range(len(curve) - 2, -1, -1):
        curve[i] = max(curve[i], curve[i + 1] * (1 + LEAST_FALL))
    return np.asarray(curve)
