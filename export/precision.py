"""Rewrites a float graph in a narrower floating-point type, stated in the graph itself.

Inputs and outputs stay float32. In between, arithmetic is in float16 or bfloat16, except at nodes
whose range or error would suffer (`float32_nodes`), with Casts where the two meet. So a library
that takes precision from the graph alone, such as TensorRT with strongly typed networks, needs
nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Final, Literal

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper, version_converter

from fcmrt.errors import EngineError

from .cleaning import BFLOAT16_OPSET, clean, finish, with_types
from .float_graph import FloatGraph, read_float_graph
from .sensitive import float32_nodes, takes

Precision = Literal["fp32", "fp16", "bf16"]

PRECISIONS: Final = ("fp32", "fp16", "bf16")

_TYPES = {
    "fp16": (TensorProto.FLOAT16, torch.float16),
    "bf16": (TensorProto.BFLOAT16, torch.bfloat16),
}


def with_precision(graph: bytes, precision: Precision, *, keep: Collection[str] = ()) -> bytes:
    """Rewrites a float32 graph in another floating-point type.

    Finite constants beyond the type's range become its largest values, and none becomes 0 that was
    not. "bf16" raises the operator set to 22, the first whose convolutions take it.

    Args:
        graph: A model off the exact path, with float32 inputs and outputs.
        precision: "fp32" returns the cleaned graph.
        keep: Names of further nodes that stay in float32.

    Returns:
        The serialised model; equal arguments give equal bytes.

    Raises:
        EngineError: The graph is exact or has integer inputs or outputs, or no node has a name in
            `keep`.
    """
    model = clean(read_float_graph(graph))
    if precision != "fp32":
        dtype, torch_type = _TYPES[precision]
        if precision == "bf16":
            model = version_converter.convert_version(model, BFLOAT16_OPSET)
            model.ir_version = helper.find_min_ir_version_for(model.opset_import)
            model = with_types(model)
        model = _Narrowing(model, dtype, torch_type, precision, keep).model
    return finish(model)


class _Narrowing:
    """One pass over a model, whose result is `model`.

    Args:
        model: Clean, with types stated; not changed.
        dtype: The narrower type, by TensorProto.DataType.
        torch_type: The same in PyTorch, which rounds constants.
        suffix: For the names of new values and constants.
        keep: Names of nodes that stay in float32.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        dtype: int,
        torch_type: torch.dtype,
        suffix: str,
        keep: Collection[str],
    ) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._graph = self.model.graph
        self._dtype, self._torch_type, self._suffix = dtype, torch_type, suffix
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        known = FloatGraph(model)
        missing = set(keep) - {node.name for node in model.graph.node}
        if missing:
            raise EngineError(f"no node of the graph is named {', '.join(sorted(missing))}")
        self._floats = known.floats
        self._kept = {*float32_nodes(known, dtype), *keep}
        self._data = known.data_nodes
        self._narrow: dict[str, str] = {}  # by value, its name in the narrower type
        self._wide: dict[str, str] = {}  # by value computed in the narrower type, its float32 name
        self._nodes: list[onnx.NodeProto] = []
        for node in self._graph.node:
            self._rewrite(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        self._remove_unused_constants()

    def _rewrite(self, node: onnx.NodeProto) -> None:
        new = onnx.NodeProto()
        new.CopyFrom(node)
        narrow = node.name in self._data and node.name not in self._kept and node.op_type != "Cast"
        for i, name in enumerate(node.input):
            if name in self._floats:
                fits = narrow and takes(self.model, node, i, self._dtype)
                new.input[i] = self._in_narrow(name) if fits else self._in_float32(name)
        self._nodes.append(new)
        if not narrow:
            return
        ports = {port.name for port in self._graph.output}
        for i, name in enumerate(node.output):
            if name not in self._floats:
                continue
            # A value keeps its name in the type that it is computed in, unless it is an output.
            self._narrow[name] = new.output[i] = f"{name}.{self._suffix}" if name in ports else name
            if name in ports:
                self._cast(new.output[i], name, TensorProto.FLOAT)

    def _in_narrow(self, name: str) -> str:
        if name not in self._narrow:
            self._narrow[name] = f"{name}.{self._suffix}"
            if name in self._constants:
                self._graph.initializer.append(
                    self._rounded(self._constants[name], self._narrow[name])
                )
            else:
                self._cast(name, self._narrow[name], self._dtype)
        return self._narrow[name]

    def _in_float32(self, name: str) -> str:
        if name in self._constants or name not in self._narrow or self._narrow[name] != name:
            return name
        if name not in self._wide:
            self._wide[name] = f"{name}.fp32"
            self._cast(name, self._wide[name], TensorProto.FLOAT)
        return self._wide[name]

    def _cast(self, source: str, result: str, dtype: int) -> None:
        self._nodes.append(helper.make_node("Cast", [source], [result], f"{result}.cast", to=dtype))

    def _rounded(self, tensor: TensorProto, name: str) -> TensorProto:
        values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        limits = torch.finfo(self._torch_type)
        finite = torch.isfinite(values)
        rounded = torch.where(finite, values.clamp(limits.min, limits.max), values)
        rounded = rounded.to(self._torch_type)
        smallest = torch.full_like(values, limits.smallest_normal * limits.eps).copysign(values)
        lost = (rounded == 0) & (values != 0)
        rounded = torch.where(lost, smallest.to(self._torch_type), rounded)
        raw = rounded.view(torch.int16).numpy().astype("<i2").tobytes()
        return helper.make_tensor(name, self._dtype, tensor.dims, raw, raw=True)

    def _remove_unused_constants(self) -> None:
        read = set(itertools.chain.from_iterable(node.input for node in self._nodes))
        used = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.initializer[:]
        self._graph.initializer.extend(used)
