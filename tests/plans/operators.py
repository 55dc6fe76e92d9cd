"""Small graphs of the operators that codecs export, to be tried in a library that builds plans.

The graphs have one input `x`, float32 `[1, 8, H, W]` of dynamic size, and one output `y`. Their
names are those of the table in `docs/plans.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ..graph_maker import GraphMaker

CHANNELS = 8
FLOAT, HALF, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
INT8, UINT8, INT16 = TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16
INT32, INT64 = TensorProto.INT32, TensorProto.INT64

_TO_THE_END = 2**31 - 1


class Sketch(GraphMaker):
    """A graph of one input and one output; the output is what the last operator gives."""

    def whole_numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weights(self, size: int = 3, kind: int = FLOAT) -> str:
        values = self.rng.normal(0, 0.1, (CHANNELS, CHANNELS, size, size)).astype(np.float32)
        return self.stored_as(values, kind)

    def stored_as(self, values: npt.NDArray[Any], kind: int) -> str:
        name = self.constant(values.astype(np.float32))
        self.stored[-1] = helper.make_tensor(name, kind, values.shape, values.ravel().tolist())
        return name

    def cast(self, x: str, to: int) -> str:
        return self.op("Cast", x, to=to)

    def within(self, kind: int, work: Callable[[str], str]) -> None:
        """Does the work on `x` in another element type."""
        self.cast(work(self.cast("x", kind)), FLOAT)

    def integers(self, most: int, kind: int = INT32) -> str:
        whole = self.op("Clip", self.op("Round", "x"), self.scalar(0), self.scalar(most))
        return self.cast(whole, kind)

    def quantized(self, x: str, kind: Any = np.int8, zero: int = 0) -> str:
        scale, point = self.scalar(0.05), self.constant(np.array(zero, kind))
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, scale, point), scale, point)

    def quantized_weights(self, axis: int) -> str:
        shape = (CHANNELS, CHANNELS, 3, 3)
        stored = self.constant(self.rng.integers(-127, 128, shape).astype(np.int8))
        scales = self.constant(np.full(CHANNELS, 0.01, np.float32))
        zeros = self.constant(np.zeros(CHANNELS, np.int8))
        return self.op("DequantizeLinear", stored, scales, zeros, axis=axis)

    def conv(self, x: str, weights: str, *bias: str) -> str:  # type: ignore[override]
        return self.op("Conv", x, weights, *bias, pads=[1] * 4)

    def deconv(self, x: str, weights: str, size: int = 3) -> str:
        pads, more = [size // 2] * 4, [1, 1]
        return self.op(
            "ConvTranspose", x, weights, strides=[2, 2], pads=pads, output_padding=more
        )

    def sides(self) -> str:
        """Height and width of `x`, as the graph sees them when it runs."""
        shape = self.op("Shape", "x")
        return self.op(
            "Slice", shape, self.whole_numbers(2), self.whole_numbers(4), self.whole_numbers(0)
        )

    def to_multiple(self, mode: str) -> None:
        """Pads at the bottom and right to multiples of 8."""
        eight = self.whole_numbers(8)
        rest = self.op("Mod", self.op("Sub", eight, self.op("Mod", self.sides(), eight)), eight)
        self.op("Pad", "x", self.op("Concat", self.whole_numbers(*[0] * 6), rest, axis=0), mode=mode)

    def rolled(self, x: str, by: int) -> str:
        for axis in (2, 3):
            parts = [
                self.op("Slice", x, *(self.whole_numbers(k) for k in (start, stop, axis)))
                for start, stop in ((by, _TO_THE_END), (0, by))
            ]
            x = self.op("Concat", *parts, axis=axis)
        return x

    def window_attention(self, shift: int) -> None:
        """Self-attention of two heads within windows of 4 x 4, as in Swin transformers."""
        x = self.rolled("x", shift) if shift else "x"
        four = self.whole_numbers(4)
        rows, columns = (
            self.op("Div", self.op("Gather", self.op("Shape", x), self.whole_numbers(k)), four)
            for k in (2, 3)
        )
        head = self.whole_numbers(1, CHANNELS)
        cut = self.op("Concat", head, rows, four, columns, four, axis=0)
        tokens = self.op("Transpose", self.op("Reshape", x, cut), perm=[0, 2, 4, 3, 5, 1])
        heads = self.op("Reshape", tokens, self.whole_numbers(-1, 16, 2, CHANNELS // 2))
        query = self.op("Transpose", heads, perm=[0, 2, 1, 3])
        scores = self.op("MatMul", query, self.op("Transpose", query, perm=[0, 1, 3, 2]))
        bias = self.constant(self.rng.normal(size=(1, 2, 16, 16)).astype(np.float32))
        weights = self.op("Softmax", self.op("Add", scores, bias), axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", weights, query), perm=[0, 2, 1, 3])
        back = self.op("Concat", self.whole_numbers(1), rows, columns, four, four, axis=0)
        back = self.op("Concat", back, self.whole_numbers(CHANNELS), axis=0)
        windows = self.op("Transpose", self.op("Reshape", mixed, back), perm=[0, 5, 1, 3, 2, 4])
        height, width = self.op("Mul", rows, four), self.op("Mul", columns, four)
        self.op("Reshape", windows, self.op("Concat", head, height, width, axis=0))

    def window_mask(self) -> None:
        """A chequered mask, computed from the shape."""
        ends = (
            self.op("Gather", self.op("Shape", "x"), self.constant(np.array(k, np.int64)))
            for k in (2, 3)
        )
        zero, one = (self.constant(np.array(k, np.int64)) for k in (0, 1))
        rows, columns = (self.op("Range", zero, end, one) for end in ends)
        place = self.op("Add", self.op("Unsqueeze", rows, self.whole_numbers(1)), columns)
        even = self.op("Equal", self.op("Mod", place, self.whole_numbers(2)), zero)
        mask = self.op("Expand", even, self.op("Shape", "x"))
        self.op("Where", mask, "x", self.scalar(0))

    def layer_norm(self, x: str, kind: int) -> str:
        scale, shift = (self.stored_as(np.full(CHANNELS, v), kind) for v in (1.0, 0.0))
        last = self.op("Transpose", x, perm=[0, 2, 3, 1])
        normed = self.op("LayerNormalization", last, scale, shift, axis=-1)
        return self.op("Transpose", normed, perm=[0, 3, 1, 2])

    def gain(self) -> None:
        """Interpolates between rows of a table, at a place that is computed."""
        place = self.op("Reshape", self.op("ReduceMean", "x", keepdims=0), self.whole_numbers(1))
        low = self.op("Clip", self.op("Floor", place), self.scalar(0), self.scalar(6))
        row = self.cast(low, INT64)
        table = self.constant(self.rng.normal(size=(8, CHANNELS)).astype(np.float32))
        first = self.op("Gather", table, row)
        second = self.op("Gather", table, self.op("Add", row, self.whole_numbers(1)))
        part = self.op("Sub", place, low)
        rise = self.op("Mul", self.op("Sub", second, first), part)
        gains = self.op("Exp", self.op("Add", first, rise))
        shape = self.whole_numbers(1, CHANNELS, 1, 1)
        self.op("Mul", "x", self.op("Reshape", gains, shape))


def each(*kinds: str) -> Callable[[Sketch], None]:
    """One operator after the other, each of one input."""

    def draw(g: Sketch) -> None:
        x = "x"
        for kind in kinds:
            x = g.op(kind, x)

    return draw


def alone(kind: str, **attributes: Any) -> Callable[[Sketch], None]:
    def draw(g: Sketch) -> None:
        g.op(kind, "x", **attributes)

    return draw


OPERATORS: dict[str, Callable[[Sketch], Any]] = {
    "Round, Floor, Ceil, Abs, Neg, Sign": each("Round", "Floor", "Ceil", "Abs", "Neg", "Sign"),
    "Exp, Log, Sqrt, Reciprocal, Erf": each("Exp", "Log", "Sqrt", "Reciprocal", "Erf"),
    "Relu, LeakyRelu, Sigmoid, Tanh, Softplus": each(
        "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Softplus"
    ),
    "Gelu (opset 20)": each("Gelu"),
    "Clip": lambda g: g.op("Clip", "x", g.scalar(-3), g.scalar(3)),
    "Cast to int32, as an output": lambda g: g.integers(63),
    "int32 Add, Mul, Div, Mod, Clip": lambda g: g.op(
        "Clip",
        g.op("Mod", g.op("Div", g.op("Mul", g.op("Add", g.integers(9), *(k,)), k), k), k)
        if (k := g.constant(np.array(5, np.int32)))
        else "",
        g.constant(np.array(0, np.int32)),
        g.constant(np.array(3, np.int32)),
    ),
    "Gather in a table, by computed int32 indices": lambda g: g.op(
        "Gather", g.constant(np.arange(64, dtype=np.float32)), g.integers(63)
    ),
    "Gather of channels, by stored int32 indices": lambda g: g.op(
        "Gather", "x", g.constant(np.array([3, 1, 2], np.int32)), axis=1
    ),
    "Pad by constant, reflect, edge": lambda g: [
        g.op("Pad", "x" if i == 0 else f"v{i - 1}", g.constants_of_pads(), mode=mode)
        for i, mode in enumerate(("constant", "reflect", "edge"))
    ],
    "Pad by constant or reflect, as much as Shape says": lambda g: g.to_multiple("reflect"),
    "DepthToSpace (DCR, CRD), SpaceToDepth": lambda g: g.op(
        "SpaceToDepth", g.op("DepthToSpace", "x", blocksize=2, mode="CRD"), blocksize=2
    ),
    "Split, Slice, Concat, Transpose of six axes": lambda g: g.window_attention(2),
    "Softmax, MatMul": lambda g: g.op("MatMul", g.op("Softmax", "x"), "x"),
}
