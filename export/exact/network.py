"""An integer network: a list of operations on named tensors, and its ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from fcmrt.exact import Proof, prove
from fcmrt.onnxgraph import read_graph

from ..cleaning import BATCH, OPSET, finish
from ..fp16 import store_weights_fp16
from .operations import WeightedSum
from .precision import ExactInput
from .writer import GraphWriter, Operation

IR_VERSION = 8
"""Version of ONNX's file format: the one that the tracing exporter writes."""


@dataclass(frozen=True)
class Step:
    """One operation: reads the tensors `sources`, writes the tensor `name`."""

    name: str
    sources: tuple[str, ...]
    axes: int
    """Number of axes of the tensor that it writes."""
    channels: int


class IntegerNetwork(nn.Module):
    """The exact form of a network: float tensors in, int32 tensors and floats on grids out.

    In float32 and in float64 its outputs are the same, by the bounds of its layers. Its
    weights are parameters, rounded where they are used, so that it can be trained further; `settle`
    afterwards.

    Args:
        name: Of the ONNX graph.
        inputs: Channels of each input, by name.
        outputs: The outputs by name; None: int32. Others are float32, with the rule by which a
            network that reads them gets their integers back.
        steps: What is computed, in order.
        operations: What computes each step.
        limits: Largest magnitude of each input channel of the weighted sums, by step.
    """

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, int],
        outputs: Mapping[str, ExactInput | None],
        steps: Sequence[Step],
        operations: Sequence[Operation],
        limits: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.name = name
        self.inputs = dict(inputs)
        self.outputs = tuple(outputs)
        self.grids = {name: grid for name, grid in outputs.items() if grid is not None}
        self.steps = tuple(steps)
        self.operations = nn.ModuleList(operations)
        self.limits = dict(limits)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Computes the outputs, all in the inputs' float type."""
        tensors = dict(zip(self.inputs, inputs, strict=True))
        for step, operation in zip(self.steps, self.operations, strict=True):
            tensors[step.name] = operation(*(tensors[name] for name in step.sources))
        return tuple(tensors[name] for name in self.outputs)

    def sums(self) -> dict[str, WeightedSum]:
        """The weighted sums, by name of their step."""
        pairs = zip(self.steps, self.operations, strict=True)
        return {step.name: op for step, op in pairs if isinstance(op, WeightedSum)}

    @torch.no_grad()
    def settle(self) -> None:
        """Makes all weights integers that keep every sum below 2^24, as after training them."""
        for name, layer in self.sums().items():
            layer.settle(self.limits[name])

    def proof(self) -> Proof:
        """Proves that the graph that `to_onnx` writes is exact.

        Raises:
            EngineError: It is not; `settle` was forgotten.
        """
        return prove(read_graph(self.to_onnx(), self.name), f"graph {self.name!r}")

    def to_onnx(self) -> bytes:
        """Writes the network as a clean ONNX graph for any batch and size.

        Weights are stored as float16, which holds them exactly; biases stay float32.
        """
        graph = GraphWriter()
        for step, operation in zip(self.steps, self.operations, strict=True):
            cast("Operation", operation).emit(graph, step.name, step.sources, step.axes)
        axes = {step.name: (step.channels, step.axes) for step in self.steps}
        inputs = [
            _port(name, TensorProto.FLOAT, channels, self._axes_of(name))
            for name, channels in self.inputs.items()
        ]
        kinds = dict.fromkeys(self.grids, TensorProto.FLOAT)
        outputs = [
            _port(name, kinds.get(name, TensorProto.INT32), *axes[name]) for name in self.outputs
        ]
        made = helper.make_graph(graph.nodes, self.name, inputs, outputs, graph.constants)
        model = helper.make_model(
            made,
            producer_name="fcmrt",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        return finish(store_weights_fp16(model, lossless=True))

    def _axes_of(self, name: str) -> int:
        return next(step.axes for step in self.steps if name in step.sources)


def _port(name: str, kind: int, channels: int, axes: int) -> onnx.ValueInfoProto:
    sides = [f"{name}_h", f"{name}_w"] if axes == 4 else []
    return helper.make_tensor_value_info(name, kind, [BATCH, channels, *sides])
