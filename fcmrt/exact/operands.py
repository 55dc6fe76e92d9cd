"""The inputs of the nodes of an exact graph: constants, and bounds on all other values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Node
from .attributes import refusal
from .values import F64, Values, constant_values

_MAX_WORK = 1 << 27  # channels and weights looked at, over all nodes


class Operands:
    """Constants, and what is known of the other values, by name.

    Args:
        constants: The graph's; borrowed.
    """

    def __init__(self, constants: Mapping[str, npt.NDArray[Any]]) -> None:
        self.constants = dict(constants)
        self.values: dict[str, Values] = {}
        self._work = 0

    def spend(self, node: Node, work: int) -> None:
        """Counts elements looked at, and refuses a graph that needs too many."""
        self._work += work
        if self._work > _MAX_WORK:
            raise refusal(node, "the graph has more weights than a proof may look at")

    def tensor(self, node: Node, k: int = 0, floats: bool = True) -> Values:
        """Returns the bounds on an input that is not constant; float32 if `floats`."""
        name = node.inputs[k] if k < len(node.inputs) else ""
        if name in self.constants:
            raise refusal(node, f"input {k} is constant; fold it when exporting")
        if name not in self.values:
            raise refusal(node, f"input {k} is missing")
        values = self.values[name]
        if floats and values.dtype != "float32":
            raise refusal(node, "reads int32 values, which are for outputs and lookups only")
        return values

    def stored(self, node: Node, k: int) -> npt.NDArray[np.float32]:
        """Returns a float32 constant; refuses an empty or non-finite one."""
        name = node.inputs[k] if k < len(node.inputs) else ""
        constant = self.constants.get(name)
        if constant is None or constant.dtype != np.float32:
            raise refusal(node, f"input {k} must be a float32 constant")
        self.spend(node, constant.size)
        if not constant.size or not np.isfinite(constant).all():
            raise refusal(node, f"input {k} is empty, or not finite")
        return constant

    def per_channel(self, node: Node, k: int, x: Values) -> F64:
        """Returns a constant that has one value, or one for each channel, as `[C]`."""
        constant = self.stored(node, k).astype(np.float64)
        shape = (1,) * (x.rank - constant.ndim) + constant.shape
        if len(shape) != x.rank or any(n != 1 for n in (*shape[:1], *shape[2:])):
            raise refusal(node, f"the constant of shape {list(constant.shape)} is not per channel")
        if shape[1] not in (1, x.channels):
            raise refusal(node, f"a constant of {shape[1]} channels for {x.channels}")
        return np.broadcast_to(constant.reshape(-1), x.channels)

    def pair(self, node: Node) -> tuple[Values, Values]:
        """Returns the bounds on two inputs, one of which may be constant."""
        if len(node.inputs) != 2:
            raise refusal(node, f"{len(node.inputs)} inputs; it takes 2")
        first, second = (name in self.constants for name in node.inputs)
        if first:
            y = self.tensor(node, 1)
            return constant_values(self.per_channel(node, 0, y), y.rank), y
        x = self.tensor(node)
        if second:
            return x, constant_values(self.per_channel(node, 1, x), x.rank)
        y = self.tensor(node, 1)
        if x.rank != y.rank or x.channels != y.channels:
            raise refusal(node, "tensors of different rank or channels")
        return x, y
