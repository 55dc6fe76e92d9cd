"""Random exact graphs, made node by node with the `onnx` package."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import reject
from onnx import TensorProto, helper, numpy_helper

from fcmrt.errors import EngineError
from fcmrt.exact import prove
from fcmrt.onnxgraph import Graph, read_graph

Array = npt.NDArray[Any]


@dataclasses.dataclass
class Maker:
    """Collects nodes; every value is known by its name."""

    rng: np.random.Generator
    opset: int = 17
    nodes: list[Any] = dataclasses.field(default_factory=list)
    stored: list[Any] = dataclasses.field(default_factory=list)
    inputs: dict[str, Sequence[Any]] = dataclasses.field(default_factory=dict)

    def input(self, name: str, *shape: int | str) -> str:
        self.inputs[name] = shape
        return name

    def constant(self, array: Array | float | Sequence[float], dtype: Any = np.float32) -> str:
        name = f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def whole(self, x: str, low: float, high: float, shift: int = 0) -> str:
        """Rounds and clips to integers, after a multiplication with 2^shift."""
        if shift:
            x = self.op("Mul", x, self.constant(2.0**shift))
        return self.clip(self.op("Round", x), low, high)

    def clip(self, x: str, low: float, high: float) -> str:
        return self.op("Clip", x, self.constant(low), self.constant(high))

    def conv(self, x: str, weights: Array, bias: Array | None = None, **attributes: Any) -> str:
        kind = attributes.pop("kind", "Conv")
        if attributes.pop("half", False):
            half = self.constant(weights, np.float16)
            stored = [self.op("Cast", half, to=TensorProto.FLOAT)]
        else:
            stored = [self.constant(weights)]
        stored += [] if bias is None else [self.constant(bias)]
        return self.op(kind, x, *stored, **attributes)

    def model(self, outputs: dict[str, str]) -> bytes:
        """Packs the graph; outputs are `{value: "float32" or "int32"}`."""
        types = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}
        for name, dtype in outputs.items():
            kind = "Identity" if dtype == "float32" else "Cast"
            to = {} if dtype == "float32" else {"to": TensorProto.INT32}
            self.op(kind, name, output=f"{name}_out", **to)
        graph = helper.make_graph(
            self.nodes,
            "exact",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in self.inputs.items()
            ],
            [
                helper.make_tensor_value_info(
                    f"{name}_out", types[dtype], [1, "C", f"{name}_h", f"{name}_w"]
                )
                for name, dtype in outputs.items()
            ],
            self.stored,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def graph(self, outputs: dict[str, str]) -> Graph:
        return read_graph(self.model(outputs), "graph")


def provable_model(seed: int) -> tuple[bytes, dict[str, int]]:
    """Draws like `random_model`, but for the few graphs whose sums may go beyond 2^24."""
    model, inputs = random_model(seed)
    try:
        prove(read_graph(model, "graph"), "graph")
    except EngineError as error:
        if "must stay below" not in str(error):
            raise
        reject()
    return model, inputs


def random_model(seed: int) -> tuple[bytes, dict[str, int]]:
    """Draws a graph that is exact, and the channels of its inputs.

    Layers are convolutions of every kind, with weights up to the bound, scales by powers of two,
    roundings, clips, and what only moves channels about.
    """
    rng = np.random.default_rng(seed)
    g = Maker(rng, opset=int(rng.choice((13, 17, 18, 20))))
    inputs = {f"x{k}": int(rng.integers(1, 5)) for k in range(int(rng.integers(1, 3)))}
    parts = []
    for name, channels in inputs.items():
        g.input(name, 1, channels, "H", "W")
        parts.append(_entry(g, name))
    x = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
    channels = sum(inputs.values())
    for _ in range(int(rng.integers(1, 5))):
        x, channels = _random_layer(g, x, channels)
    if rng.random() < 0.5:
        return g.model({g.whole(x, -(2.0**15), 2.0**15): "int32"}), inputs
    return g.model({g.clip(x, -(2.0**12), 2.0**12): "float32"}), inputs


def _entry(g: Maker, x: str) -> str:
    """Makes integers of an input, in one of the ways in which that can be proved."""
    rng = g.rng
    most = float(2 ** rng.integers(1, 12))
    scale = 2.0 ** rng.integers(-3, 8)
    match int(rng.integers(0, 6)):
        case 0:
            return g.op(
                "Round", g.clip(g.op("Mul", x, g.constant(scale)), -most - 0.25, most + 0.75)
            )
        case 1:
            return g.op("Round", g.op("Mul", g.constant(scale), g.clip(x, -most, most)))
        case 2:
            x = g.op("Mul", g.op("Round", g.op("Relu", x)), g.constant(0.25))
            return g.op("Min", x, g.constant(most - 0.125))
        case 3:
            x = g.op("Max", g.op("Round", g.op("Mul", x, g.constant(-4))), g.constant(-most))
            return g.op("Min", g.constant(most / 8), x)
        case _:
            return g.whole(g.op("Mul", x, g.constant(scale)), -most, most - rng.integers(0, 2))


def _random_layer(g: Maker, x: str, channels: int) -> tuple[str, int]:
    """Brings values to 9 bits, then adds one layer; gives its output and channels."""
    rng = g.rng
    x = g.whole(x, -255, 255, int(rng.integers(-6, 1)))
    if rng.random() < 0.3:
        x = g.op("Relu", x)
    if rng.random() < 0.3:  # each channel on its own grid
        x = g.op("Mul", x, g.constant(2.0 ** rng.integers(-3, 4, (1, channels, 1, 1))))
    match int(rng.integers(0, 11)):
        case 10:
            entries = int(rng.integers(1, 300))
            index = g.op("Cast", g.whole(x, 0, entries - 1), to=TensorProto.INT32)
            table = rng.integers(-2000, 2000, entries) * 2.0 ** rng.integers(-6, 3)
            return g.op("Gather", g.constant(table), index, axis=0), channels
        case 0 | 1 | 2 as kind:
            transposed = kind == 2
            group = (1, channels, 2 if channels % 2 == 0 else 1)[int(rng.integers(0, 3))]
            outs = group * int(rng.integers(1, 4))
            size = int(rng.integers(1, 4))
            shape = (channels, outs // group) if transposed else (outs, channels // group)
            most = 2 ** int(rng.integers(0, 9))
            whole = rng.integers(-most, most + 1, (*shape, size, size))
            weights = whole * 2.0 ** rng.integers(-4, 3)
            bias = rng.integers(-100, 101, outs) * 0.5 if rng.random() < 0.5 else None
            stride = int(rng.integers(1, 3))
            dilation = int(rng.integers(1, 3))
            span = dilation * (size - 1)
            attributes: dict[str, Any] = {
                "strides": [stride] * 2,
                "dilations": [dilation] * 2,
                "pads": [span // 2, span // 2, span - span // 2, span - span // 2],
                "group": group,
                "half": rng.random() < 0.3,
            }
            if transposed:
                attributes |= {"kind": "ConvTranspose", "output_padding": [stride - 1] * 2}
            return g.conv(x, weights, bias, **attributes), outs
        case 3:
            sizes = g.constant([1, channels], np.int64)
            doubled = g.op(
                "Concat",
                x,
                g.op(
                    "Slice",
                    x,
                    g.constant([0], np.int64),
                    g.constant([1], np.int64),
                    g.constant([1], np.int64),
                ),
                axis=1,
            )
            names = [f"{x}_a", f"{x}_b"]
            g.nodes.append(
                helper.make_node("Split", [doubled, sizes], names, name=names[0], axis=1)
            )
            return g.op("Concat", names[1], names[0], axis=1), channels + 1
        case 4:
            wide = g.conv(x, rng.integers(-3, 4, (8, channels, 1, 1)))
            mode = ["DCR", "CRD"][int(rng.integers(0, 2))]
            return g.op("DepthToSpace", wide, blocksize=2, mode=mode), 2
        case 5:
            constant = g.constant(rng.integers(-50, 51, (1, channels, 1, 1)) / 4)
            pair = (x, constant) if rng.random() < 0.5 else (constant, x)
            return g.op(["Add", "Sub"][int(rng.integers(0, 2))], *pair), channels
        case 6:
            other = g.op("Round", g.op("Mul", x, g.constant(0.5)))
            return g.op(["Add", "Sub", "Min", "Max"][int(rng.integers(0, 4))], x, other), channels
        case 7:
            factors = rng.integers(-9, 10, (channels, 1, 1)) * 2.0 ** rng.integers(-3, 3)
            return g.op("Mul", x, g.constant(factors)), channels
        case 8:
            bounds = ([0], [1 << 40], [int(rng.integers(2, 4))], [int(rng.integers(1, 3))])
            return g.op("Slice", x, *(g.constant(bound, np.int64) for bound in bounds)), channels
        case _:
            limit = g.constant(float(rng.integers(-40, 40)) / 8)
            return g.op(["Min", "Max"][int(rng.integers(0, 2))], limit, x), channels


def random_inputs(inputs: dict[str, int], seed: int, side: tuple[int, int]) -> dict[str, Array]:
    """Draws inputs of many magnitudes, half-way cases among them."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, channels in inputs.items():
        shape = (1, channels, *side)
        values = rng.integers(-4096, 4096, shape) * 2.0 ** rng.integers(-8, 2, shape)
        drawn[name] = values.astype(np.float32)
    return drawn
