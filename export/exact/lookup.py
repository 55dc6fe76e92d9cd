"""The exact form of a scale index: a table, looked up at whole multiples of a small deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from onnx import TensorProto
from torch import Tensor

from ..scale_index import ScaleIndex
from .writer import GraphWriter, Operation

FINENESS = 8.0
"""Units of the table in the least deviation: half a unit there is half an index."""

MOST_ENTRIES = 1 << 16


def unit_of(scale: ScaleIndex) -> float:
    """Returns the deviation that an entry of the table stands for, times its number."""
    return max(scale.least / FINENESS, scale.last / (MOST_ENTRIES - 1))


def table_of(scale: ScaleIndex) -> Tensor:
    """Returns the rounded indexes of 0, 1, 2 ... units, up to the last table: float64."""
    entries = math.ceil(scale.last / unit_of(scale)) + 1
    deviations = torch.arange(entries, dtype=torch.float64) * unit_of(scale)
    return torch.round(scale(deviations.clamp(max=scale.last)))


class LookUp(Operation):
    """Integers from 0 to an entry of a table each.

    Args:
        scale: What the table is of; gradients are those of the logarithm.
    """

    table: Tensor

    def __init__(self, scale: ScaleIndex) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("table", table_of(scale))

    def forward(self, x: Tensor) -> Tensor:
        smooth = cast("Tensor", self.scale(x * unit_of(self.scale)))
        return smooth + (self.table[x.long()].to(x) - smooth).detach()

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        table = graph.constant(f"{name}/table", self.table.cpu().numpy())
        number = f"{name}/number"
        graph.add("Cast", f"{name}/cast", inputs, number, to=TensorProto.INT32)
        graph.add("Gather", name, [table, number], name, axis=0)
