"""Graphs and tables made by hand, for the engines of the tests."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fcmrt.spec import TensorSpec

_PROB = 1 << 14
_ONNX_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


def gaussian_tables(sigmas: Sequence[float]) -> bytes:
    """A table set of Gaussians around 0, cut near 4 sigma."""
    offsets: list[int] = []
    sizes: list[int] = []
    freqs: list[int] = []
    for sigma in sigmas:
        half = math.ceil(4 * sigma)
        edges = [math.erf((k - half - 0.5) / (sigma * math.sqrt(2))) for k in range(2 * half + 2)]
        spare = _PROB - len(edges)  # every event has 1, the escape included
        table = [1 + int(spare * (high - low) / 2) for low, high in itertools.pairwise(edges)]
        table[half] += _PROB - 1 - sum(table)
        offsets.append(-half)
        sizes.append(len(table))
        freqs += [*table, 1]
    head = struct.pack("<4sHHI", b"FCMT", 1, 14, len(sizes))
    return head + struct.pack(f"<{len(sizes)}i{len(sizes)}I{len(freqs)}H", *offsets, *sizes, *freqs)


class GraphMaker:
    """Builds one ONNX graph, node by node; values are known by their names."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.stored: list[Any] = []

    def constant(self, array: npt.NDArray[Any]) -> str:
        name = f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def scalar(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, ins: int, outs: int, size: int, stride: int = 1, gain: float = 1) -> str:
        spread = gain / math.sqrt(ins * size * size)
        return self._conv(x, self.rng.normal(0, spread, (outs, ins, size, size)), stride)

    def integer_conv(self, x: str, ins: int, outs: int, size: int, most: int) -> str:
        return self._conv(x, self.rng.integers(-most, most + 1, (outs, ins, size, size)), 1)

    def _conv(self, x: str, weights: npt.NDArray[Any], stride: int) -> str:
        pad = weights.shape[-1] // 2
        stored = self.constant(weights.astype(np.float32))
        return self.op("Conv", x, stored, pads=[pad] * 4, strides=[stride] * 2)

    def clipped(self, x: str, most: int) -> str:
        return self.op("Clip", x, self.scalar(-most), self.scalar(most))

    def up(self, x: str, factor: int, output: str | None = None) -> str:
        return self.op("DepthToSpace", x, output=output, blocksize=factor)

    def scaled(self, x: str, factor: float) -> str:
        return self.op("Mul", x, self.scalar(factor))

    def whole(self, x: str, output: str) -> str:
        return self.op("Cast", self.op("Round", x), output=output, to=TensorProto.INT32)

    def split(self, x: str, sizes: str, outputs: Sequence[str]) -> None:
        self.nodes.append(helper.make_node("Split", [x, sizes], list(outputs), axis=1))

    def model(
        self,
        name: str,
        specs: Mapping[str, TensorSpec],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> bytes:
        def port(value: str, side: str) -> Any:
            spec = specs[value]
            dims = [1, spec.channels, f"{side}_{value}_h", f"{side}_{value}_w"]
            return helper.make_tensor_value_info(value, _ONNX_TYPES[spec.dtype], dims)

        graph = helper.make_graph(
            self.nodes,
            name,
            [port(value, "in") for value in inputs],
            [port(value, "out") for value in outputs],
            self.stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data
