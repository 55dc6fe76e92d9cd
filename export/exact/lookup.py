"""The exact form of the logarithm that a scale index is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from onnx import TensorProto
from torch import Tensor

from .scale_index import ScaleIndex
from .writer import GraphWriter, Operation


class LookUp(Operation):
    """Integers from 0 to an entry of a table each.

    Args:
        scale: What the table is of; gradients are those of the logarithm.
    """

    table: Tensor

    def __init__(self, scale: ScaleIndex) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("table", scale.table())

    def forward(self, x: Tensor) -> Tensor:
        smooth = cast("Tensor", self.scale(x * self.scale.unit))
        return smooth + (self.table[x.long()].to(x) - smooth).detach()

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        table = graph.constant(f"{name}/table", self.table.cpu().numpy())
        number = f"{name}/number"
        graph.add("Cast", f"{name}/cast", inputs, number, to=TensorProto.INT32)
        graph.add("Gather", name, [table, number], name, axis=0)
