"""CompressAI's factorised prior, against its formula element by element."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fcmrt.errors import ExportError
from fcmrt.export.bottleneck import EntropyBottleneck
from fcmrt.export.scale_index import (
    WIDER,
    ScaleIndex,
    check_scale_table,
    scale_table,
    scale_tables,
)


def prior() -> EntropyBottleneck:
    """Two channels, the second around -3.25."""
    generator = torch.Generator().manual_seed(0)
    prior = EntropyBottleneck(2)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        prior.quantiles[:, 0, 1] = torch.tensor([0.5, -3.25])
    return prior


def logit(prior: EntropyBottleneck, channel: int, x: float) -> float:
    """Of the distribution at one place, by hand."""
    values = [x]
    for i in range(5):
        matrix = prior.matrices[i][channel].tolist()
        bias = prior.biases[i][channel, :, 0].tolist()
        values = [
            sum(math.log1p(math.exp(w)) * v for w, v in zip(row, values, strict=True)) + b
            for row, b in zip(matrix, bias, strict=True)
        ]
        if i < 4:
            factor = prior.factors[i][channel, :, 0].tolist()
            values = [v + math.tanh(f) * math.tanh(v) for v, f in zip(values, factor, strict=True)]
    return values[0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_probabilities_are_those_of_intervals_around_the_median() -> None:
    made = prior()
    found = made.probabilities(-3, 4)
    assert found.dtype == torch.float64
    for channel, median in enumerate([0.5, -3.25]):
        for i, n in enumerate(range(-3, 5)):
            upper = sigmoid(logit(made, channel, median + n + 0.5))
            lower = sigmoid(logit(made, channel, median + n - 0.5))
            assert float(found[channel, i]) == pytest.approx(upper - lower, abs=1e-12)
    assert made.medians.shape == (1, 2, 1, 1)
    assert made.medians.flatten().tolist() == [0.5, -3.25]


@pytest.mark.parametrize("step", [0.5, 1.75])
def test_probabilities_of_steps_are_those_of_their_intervals(step: float) -> None:
    made = prior()
    found = made.probabilities(-3, 4, step)
    for channel, median in enumerate([0.5, -3.25]):
        for i, n in enumerate(range(-3, 5)):
            upper = sigmoid(logit(made, channel, median + (n + 0.5) * step))
            lower = sigmoid(logit(made, channel, median + (n - 0.5) * step))
            assert float(found[channel, i]) == pytest.approx(upper - lower, abs=1e-12)


def test_probabilities_add_up_and_tails_keep_their_digits() -> None:
    made = prior()
    found = made.probabilities(-255, 255)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)
    # The first integer at which the distribution is 1 to a float64.
    n = next(n for n in range(256) if logit(made, 0, 0.5 + n - 0.5) > 37)
    lower, upper = logit(made, 0, 0.5 + n - 0.5), logit(made, 0, 0.5 + n + 0.5)
    wanted = math.exp(-lower) - math.exp(-upper)
    assert sigmoid(lower) == 1
    assert float(found[0, 255 + n]) == pytest.approx(wanted, rel=1e-9)


def test_tables_are_one_for_each_channel() -> None:
    assert prior().tables().count == 2


def test_an_index_is_where_a_deviation_stands_in_the_table() -> None:
    table = scale_table()
    assert float(table[0]) == pytest.approx(0.11)
    assert float(table[-1]) == pytest.approx(256)
    sigma = torch.cat([table, torch.tensor([-5.0, 0.0, 0.11 * 0.5, 1e6])])
    index = ScaleIndex()(sigma)
    wanted = torch.arange(64.0).double() + WIDER
    torch.testing.assert_close(index[:64], wanted, atol=1e-9, rtol=0)
    assert index.round()[:64].tolist() == list(range(64))
    assert index.round()[64:67].tolist() == [0, 0, 0]
    assert index[67] > 64
    assert scale_tables().count == 64


@pytest.mark.parametrize("stored", [None, torch.empty(0), scale_table().float()])
def test_the_known_scale_table_is_taken(stored: torch.Tensor | None) -> None:
    check_scale_table(stored)


@pytest.mark.parametrize("stored", [torch.ones(3), 1.1 * scale_table()])
def test_another_scale_table_is_refused(stored: torch.Tensor) -> None:
    with pytest.raises(ExportError, match="scale table"):
        check_scale_table(stored)
