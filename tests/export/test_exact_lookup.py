"""Deviations to table indexes: the logarithm, and the table that stands for it."""

from __future__ import annotations

import math

import pytest
import torch

from fcmrt.export.exact.lookup import MOST_ENTRIES, LookUp, table_of, unit_of
from fcmrt.export.scale_index import WIDER, ScaleIndex


def test_it_is_the_scale_table_of_compressai() -> None:
    index = ScaleIndex()
    deviations = torch.exp(torch.linspace(math.log(0.11), math.log(256), 64))
    wanted = torch.arange(64.0) + WIDER
    torch.testing.assert_close(index(deviations), wanted, atol=1e-4, rtol=0)
    assert index(torch.tensor([-3.0, 0.0, 0.05])).round().tolist() == [0, 0, 0]


@pytest.mark.parametrize("headroom", [0, 7, 40])
def test_the_table_is_within_half_an_index_where_it_counts(headroom: int) -> None:
    index = ScaleIndex(headroom=headroom)
    table, unit = table_of(index), unit_of(index)
    assert len(table) <= MOST_ENTRIES + 1
    assert table[0] == -headroom
    assert table[-1] == 63
    assert (table.diff() >= 0).all()
    deviations = torch.linspace(32 * unit, 256, 50_000, dtype=torch.float64)
    numbers = (deviations / unit).round().long().clamp(max=len(table) - 1)
    assert (table[numbers] - index(deviations)).abs().max() < 0.5 + 4 / 32


def test_other_series_can_be_told() -> None:
    index = ScaleIndex(0.5, 2.0, 4, 1)
    assert index(torch.tensor([0.01, 0.25, 0.5, 2.0, 8.0])).round().tolist() == [-1, -1, 0, 2, 4]


@pytest.mark.parametrize("series", [(0.0, 2.0, 4, 0), (0.1, 1.0, 4, 0), (0.1, 2.0, 4, -1)])
def test_a_series_that_is_none_is_refused(series: tuple[float, float, int, int]) -> None:
    with pytest.raises(ValueError, match="is none"):
        ScaleIndex(*series)


def test_gradients_pass_the_table_as_if_it_were_the_logarithm() -> None:
    index = ScaleIndex()
    units = torch.tensor([40.0, 900.0], requires_grad=True)
    LookUp(index)(units).sum().backward()
    slope = 1 / (units.detach() * math.log(index.ratio))
    torch.testing.assert_close(units.grad, slope)
