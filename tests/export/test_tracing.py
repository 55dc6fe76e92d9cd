"""Networks that a trace does not hold are refused, and others are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fcmrt.errors import ExportError
from fcmrt.export.onnx import export_graph

Forward = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """Whatever function, and a convolution behind it."""

    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.function(x))


def exported(function: Forward) -> bytes:
    return export_graph(Network(function), [torch.zeros(1, 3, 8, 8)], ["x"], ["y"])


def in_numpy(x: Tensor) -> Tensor:
    return x + torch.from_numpy(np.full((1, 1, 1, 1), 1 + x.numpy().max(), np.float32))


def with_a_check(x: Tensor) -> Tensor:
    if x.shape[1] != 3 or x.shape[2] % 2:
        raise ValueError("wrong size")
    return x


VALUES: dict[str, Forward] = {
    "item": lambda x: x / (1 + x.max().item()),
    "float": lambda x: x / float(1 + x.max()),
    "if": lambda x: x / 2 if x.max() > 1e6 else x,
    "list": lambda x: x * (1 + x.mean((0, 2, 3)).tolist()[0]),
}

SIZES: dict[str, Forward] = {
    "resize to numbers": lambda x: F.interpolate(x, size=(int(x.shape[2]), int(x.shape[3]))),
    "divide by a number": lambda x: x / float(x.shape[2]),
    "statistics of a batch": lambda x: F.batch_norm(
        x, torch.zeros(3), torch.ones(3), training=True
    ),
    "through NumPy": in_numpy,
}

HELD: dict[str, Forward] = {
    "sizes that are checked": with_a_check,
    "sizes as they are": lambda x: F.interpolate(x[:, :, ::2, ::2], size=x.shape[2:]),
    "positions": lambda x: x + torch.arange(x.shape[3], dtype=torch.float32),
    "statistics of a picture": lambda x: F.instance_norm(x),
    "a choice by values": lambda x: torch.where(x.amax((2, 3), keepdim=True) > 1, x / 2, x),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_decide_are_refused(name: str) -> None:
    with pytest.raises(ExportError, match=r"by the values of its input, at .*test_tracing\.py:\d+"):
        exported(VALUES[name])


@pytest.mark.parametrize("name", SIZES)
def test_what_is_fixed_to_the_example_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match="something else at other sizes"):
        exported(SIZES[name])


@pytest.mark.parametrize("name", HELD)
def test_what_a_trace_holds_is_taken(name: str) -> None:
    exported(HELD[name])
