"""Grids that calibration chooses for tensors between networks."""

from __future__ import annotations

import pytest
import torch

from fcmrt.export.exact import ExactInput, Precision
from fcmrt.export.exact.precision import grid_for


@pytest.mark.parametrize(("bits", "limit"), [(7, 255), (9, 1023), (11, 2**11 - 1)])
def test_grids_are_as_fine_as_the_range_allows(bits: int, limit: int) -> None:
    values = torch.randn(3, 4, 5, 5) * torch.tensor([1.0, 30.0, 0.5, 7.0]).reshape(1, 4, 1, 1)
    grid = grid_for(values, Precision(activation_bits=bits))
    assert grid.limit == limit
    units = grid.units(4)
    reach = 2 * values.abs().amax((0, 2, 3)).double()
    assert (reach / units <= grid.limit).all()
    assert (reach / units > grid.limit / 2).all()


def test_silent_channels_take_no_grid_without_end() -> None:
    values = torch.zeros(1, 3, 2, 2)
    values[:, 0] = 30.25
    grid = grid_for(values, Precision())
    assert isinstance(grid.bits, tuple)
    assert grid.bits[1] == grid.bits[2] == grid.bits[0] + 8


def test_whole_numbers_keep_their_grid() -> None:
    values = torch.tensor([-13.0, 0, 9]).reshape(1, 1, 1, 3)
    assert grid_for(values, Precision()) == ExactInput(0, 31)
    assert grid_for(values * 0, Precision()) == ExactInput(0, 15)
    wide = grid_for(values * 1000, Precision())
    assert isinstance(wide.bits, tuple)
    assert wide.bits[0] < 0
