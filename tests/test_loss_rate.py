"""The closed form of the loss-rate model, with the constants that MFIBA published."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.loss_rate import LossRate, rates_for, rates_within

# P2 to P6 of the ResNet50-FPN family, github SYSU-Video/MFIBA.
PUBLISHED = {
    "elic": [
        LossRate(10.953, -0.552),
        LossRate(10.567, -0.678),
        LossRate(22.266, -0.64),
        LossRate(25.237, -0.741),
        LossRate(10.241, -0.742),
    ],
    "lic-tcm": [
        LossRate(14.92, -0.652),
        LossRate(15.144, -0.791),
        LossRate(30.523, -0.828),
        LossRate(38.994, -0.952),
        LossRate(15.766, -0.789),
    ],
}
SHARES = [1, 1 / 4, 1 / 16, 1 / 60, 1 / 60]  # as its code has them
MEAN_WEIGHTS = [0.303, 0.192, 0.204, 0.219, 0.173]

published = pytest.mark.parametrize("models", PUBLISHED.values(), ids=PUBLISHED)
weights = st.lists(st.floats(0.01, 1), min_size=5, max_size=5)


def cost(models: list[LossRate], importances: list[float], trade: float, rates: object) -> float:
    each = zip(models, importances, SHARES, np.asarray(rates), strict=True)
    return sum(model.loss(r, w) + trade * share * r for model, w, share, r in each)


@published
@given(importances=weights, trade=st.floats(1, 2000))
def test_the_derivative_is_zero_at_the_closed_form(
    models: list[LossRate], importances: list[float], trade: float
) -> None:
    rates = rates_for(models, importances, SHARES, trade)
    for model, w, share, rate in zip(models, importances, SHARES, rates, strict=True):
        slope = w * model.alpha * model.beta * rate ** (model.beta - 1)
        assert slope == pytest.approx(-trade * share, rel=1e-9)


@published
@given(importances=weights, trade=st.floats(1, 2000), factor=st.floats(0.5, 2))
def test_no_other_rates_cost_less(
    models: list[LossRate], importances: list[float], trade: float, factor: float
) -> None:
    rates = rates_for(models, importances, SHARES, trade)
    least = cost(models, importances, trade, rates)
    for i in range(len(rates)):
        moved = rates.copy()
        moved[i] *= factor
        assert cost(models, importances, trade, moved) >= least * (1 - 1e-12)


@published
@given(importances=weights, rate=st.floats(1e-4, 10))
def test_rates_within_a_sum_come_to_it_at_one_price(
    models: list[LossRate], importances: list[float], rate: float
) -> None:
    rates = rates_within(models, importances, SHARES, rate)
    assert np.dot(SHARES, rates) == pytest.approx(rate, rel=1e-6)
    slopes = [
        w * model.alpha * model.beta * r ** (model.beta - 1) / share
        for model, w, share, r in zip(models, importances, SHARES, rates, strict=True)
    ]
    assert slopes == pytest.approx([slopes[0]] * len(slopes), rel=1e-6)


@published
def test_what_is_worth_more_gets_more(models: list[LossRate]) -> None:
    before = rates_for(models, MEAN_WEIGHTS, SHARES, 500)
    changed = [*MEAN_WEIGHTS]
    changed[2] *= 2
    after = rates_for(models, changed, SHARES, 500)
    assert after[2] > before[2]
    assert np.delete(after, 2) == pytest.approx(np.delete(before, 2))


def test_a_level_without_importance_has_a_rate_that_is_not_zero() -> None:
    models = PUBLISHED["elic"]
    rates = rates_for(models, [0.0] * 5, SHARES, 500)
    assert (rates > 0).all()
    assert rates == pytest.approx(rates_for(models, [1e-8] * 5, SHARES, 500))


def test_a_worked_example() -> None:
    # (500 / (0.303 * 10.953 * 0.552)) ^ (1 / -1.552)
    rates = rates_for(PUBLISHED["elic"], MEAN_WEIGHTS, SHARES, 500)
    assert rates[0] == pytest.approx((500 / 1.83195) ** (-1 / 1.552), rel=1e-5)
