"""Exponents: as large as the bounds allow, and never larger."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.export.exact.floatlayers import Form
from fcmrt.export.exact.scales import FINEST, LARGEST_SUM, dyadic, exponents

SEEDS = st.integers(0, 2**32 - 1)


FORMS = (
    Form("conv", 1, (1, 1), (0, 0), (1, 1)),
    Form("conv", 2, (2, 2), (0, 0), (1, 1)),
    Form("transposed", 1, (2, 2), (0, 0), (1, 1), (0, 0)),
    Form("transposed", 2, (2, 3), (0, 0), (1, 2), (0, 0)),
)


def drawn(form: Form, seed: int, sizes: list[int], spread: float) -> list[torch.Tensor]:
    """Weights, some 0 and some channels far larger than others, biases, and limits."""
    generator = torch.Generator().manual_seed(seed)
    inputs, outputs, *kernel = sizes
    outer, inner = (inputs, outputs) if form.kind == "transposed" else (outputs, inputs)
    shape = (outer * form.groups, inner, *kernel)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight *= torch.exp2(spread * torch.randn(shape[0], 1, 1, 1, generator=generator))
    weight *= torch.rand(shape, generator=generator) < 0.7
    bias = 300 * torch.randn(outputs * form.groups, generator=generator, dtype=torch.float64)
    limits = torch.randint(1, 2048, (inputs * form.groups,), generator=generator).double()
    return [weight, bias, limits]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(FORMS),
    SEEDS,
    st.lists(st.integers(1, 5), min_size=4, max_size=4),
    st.floats(0, 8),
)
def test_bounds_hold_and_no_larger_exponent_does(
    form: Form, seed: int, sizes: list[int], spread: float
) -> None:
    weight, bias, limits = drawn(form, seed, sizes, spread)
    exponent = exponents(form, weight, bias, limits)
    # An input of the limits everywhere, with the signs of each channel's weights, is the worst.
    largest = form.rows(weight).abs().amax((2, 3)).reshape(-1)

    def measures(power: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        whole = form.scaled(weight, power).round().abs()
        x = limits.reshape(1, -1, 1, 1).expand(-1, -1, 12, 12)
        sums = form.apply(x, whole, (bias * power).round().abs())
        return sums.amax((0, 2, 3)), (largest * power).round()

    sums, factors = measures(torch.exp2(exponent))
    assert (sums <= LARGEST_SUM).all()
    assert (factors <= 2**11).all()
    assert (exponent <= FINEST).all()
    # Twice the weights do not fit, or only just, where rounding made the difference.
    sums, factors = measures(torch.exp2(exponent + 1))
    full = (sums > 0.99 * LARGEST_SUM) | (factors > 0.99 * 2**11) | (exponent == FINEST)
    assert full.all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 2047), st.floats(0.001, 40), st.floats(-3, 3))
def test_dyadic_factors_keep_their_sum_exact(
    seed: int, limit: int, first: float, second: float
) -> None:
    factors = [torch.tensor([value], dtype=torch.float64) for value in (first, second)]
    limits = [torch.full((1,), float(limit), dtype=torch.float64)] * 2
    rounded = dyadic(factors, limits)
    unit = max(factor.item().as_integer_ratio()[1] for factor in rounded)
    assert unit <= 2**12
    assert sum(abs(factor.item()) for factor in rounded) * limit * unit < 2**24
    for wanted, found in zip(factors, rounded, strict=True):
        assert abs(found - wanted) <= max(2.0**-13, limit * (first + abs(second)) / LARGEST_SUM)
