"""Operations written as the nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from torch import Tensor, nn


class GraphWriter:
    """Collects the nodes and constants of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self, operator: str, name: str, inputs: Sequence[str], output: str, **attributes: Any
    ) -> str:
        """Adds a node with one output; returns the output's name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name, **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[Any] | float | Sequence[int]) -> str:
        """Adds a constant: integers as int64, all else as float32; returns its name."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def channels(self, name: str, values: Tensor, axes: int) -> str:
        """Adds one float32 per channel, shaped to go with axis 1; a scalar if all are equal."""
        array = values.detach().cpu().numpy().astype(np.float32)
        if (array == array[0]).all():
            return self.constant(name, float(array[0]))
        return self.constant(name, array.reshape(1, -1, *[1] * (axes - 2)))


class Operation(nn.Module):
    """One operation: computes a tensor from others, and writes itself as ONNX nodes."""

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        """Adds the nodes that compute the tensor `name` of so many axes."""
        raise NotImplementedError
