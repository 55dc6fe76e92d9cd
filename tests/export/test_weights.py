"""Weights that no trained codec has."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fcmrt.errors import ExportError
from fcmrt.export.weights import check_weights


def network() -> nn.Module:
    made = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    made.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    return made


def test_weights_of_a_trained_codec_pass() -> None:
    check_weights("analysis", network())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    made = network()
    with torch.no_grad():
        made[0].weight[1, 0] = value  # type: ignore[index]
    with pytest.raises(ExportError, match=r"graph 'analysis'.* '0\.weight' is not finite"):
        check_weights("analysis", made)


def test_statistics_that_are_no_numbers_are_named() -> None:
    made = network()
    made[1].running_var[0] = math.nan  # type: ignore[index]
    with pytest.raises(ExportError, match=r"'1\.running_var' is not finite"):
        check_weights("analysis", made)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_told(dtype: torch.dtype) -> None:
    with pytest.raises(ExportError, match=rf"is {str(dtype)[6:]}; .*call \.float\(\)"):
        check_weights("analysis", network().to(dtype))


def test_weights_without_values_are_told() -> None:
    with pytest.raises(ExportError, match=r"no values.*load the checkpoint"):
        check_weights("analysis", network().to("meta"))
