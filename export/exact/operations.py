"""The operations of an integer network: integers carried in floats, in PyTorch and in ONNX.

A tensor of the network holds values `n * 2^-e`, n an integer with |n| < 2^24 and e its channel's
exponent, so that float32 and float64 hold it exactly. Weighted sums fold the power of two by which
they are rescaled into their weights: that costs no operator, and changes no mantissa.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn

from ..entropy import round_through
from .floatlayers import Channels, Concat, Crop, Form, Layer, Shuffle, per_channel
from .writer import GraphWriter, Operation

LARGEST_FACTOR = 2**11
"""Of activations and of weights: TF32 multiplies factors of up to 11 bits exactly."""


class Quantiser(Operation):
    """An input's floats to integers: `clip(round(x / unit), -limit, limit)`.

    Args:
        unit: Powers of two, float64 `[C]`.
        limit: The largest integer.
    """

    power: Tensor

    def __init__(self, unit: Tensor, limit: int) -> None:
        super().__init__()
        self.register_buffer("power", 1 / unit)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return round_through(x * per_channel(self.power, x)).clamp(-self.limit, self.limit)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        (x,) = inputs
        if (self.power != 1).any():
            power = graph.channels(f"{name}/power", self.power, axes)
            x = graph.add("Mul", f"{name}/scale", [x, power], f"{name}/scaled")
        x = graph.add("Round", f"{name}/round", [x], f"{name}/rounded")
        low = graph.constant(f"{name}/low", float(-self.limit))
        high = graph.constant(f"{name}/high", float(self.limit))
        graph.add("Clip", f"{name}/clip", [x, low, high], name)


class WeightedSum(Operation):
    """A convolution or linear layer with integer weights, rescaled per channel by 2^-exponent.

    Weights and biases are kept as real numbers in integer units and rounded where they are used,
    so that they can be trained; weights are limited to +-2^11.

    Args:
        form: Kind and geometry.
        weight: float64, laid out as PyTorch does, in integer units.
        bias: float64 `[C_out]`, in integer units.
        exponent: int64 `[C_out]`.
    """

    exponent: Tensor

    def __init__(self, form: Form, weight: Tensor, bias: Tensor, exponent: Tensor) -> None:
        super().__init__()
        self.form = form
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.register_buffer("exponent", exponent)

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weights and biases, rounded; gradients pass."""
        weight = round_through(self.weight.clamp(-LARGEST_FACTOR, LARGEST_FACTOR))
        return weight, round_through(self.bias)

    def bounds(self, limits: Tensor) -> Tensor:
        """`sum |w| * limit + |b|` of every output channel: float64 `[C_out]`.

        Args:
            limits: Largest magnitude of each input channel, float64 `[C_in]`.
        """
        weight, bias = (part.detach().double() for part in self.integers())
        rows, phases = self.form.rows(weight), self.form.phases(weight)
        return self.form.reach(rows, limits.double(), phases) + bias.abs()

    def settle(self, limits: Tensor) -> None:
        """Rounds weights and biases for good; channels over 2^24 are shrunk until they fit."""
        weight, bias = self.integers()
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        while (over := self.bounds(limits) >= 2**24).any():
            shrink = torch.where(over, 1 - 2.0**-8, 1.0)
            # Towards 0, so that every round makes the bound smaller.
            self.weight.copy_(self.form.scaled(self.weight, shrink).trunc())
            self.bias.copy_((self.bias * shrink).trunc())

    def _scaled(self) -> tuple[Tensor, Tensor]:
        weight, bias = self.integers()
        power = torch.exp2(-self.exponent.to(weight))
        return self.form.scaled(weight, power), bias * power

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._scaled()
        return self.form.apply(x, weight.to(x), bias.to(x))

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        weight, bias = (part.detach().cpu().numpy() for part in self._scaled())
        constants = [
            graph.constant(f"{name}.weight", weight),
            graph.constant(f"{name}.bias", bias),
        ]
        form = self.form
        if form.kind == "linear":
            graph.add("Gemm", name, [*inputs, *constants], name, transB=1)
            return
        attributes: dict[str, Any] = {
            "kernel_shape": weight.shape[2:],
            "strides": form.stride,
            "pads": form.padding * 2,
            "dilations": form.dilation,
            "group": form.groups,
        }
        if form.kind == "transposed":
            attributes["output_padding"] = form.output_padding
        operator = "ConvTranspose" if form.kind == "transposed" else "Conv"
        graph.add(operator, name, [*inputs, *constants], name, **attributes)


class Rounding(Operation):
    """`clip(round(x), low, high)`; a low end of 0 is the ReLU.

    Args:
        low: Integers, float64 `[C]`.
        high: Likewise.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        rounded = round_through(x)
        return torch.minimum(
            torch.maximum(rounded, per_channel(self.low, x)), per_channel(self.high, x)
        )

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        rounded = graph.add("Round", f"{name}/round", inputs, f"{name}/rounded")
        low = graph.channels(f"{name}/low", self.low, axes)
        high = graph.channels(f"{name}/high", self.high, axes)
        if (self.low == self.low[0]).all() and (self.high == self.high[0]).all():
            graph.add("Clip", f"{name}/clip", [rounded, low, high], name)
            return
        above = graph.add("Max", f"{name}/max", [rounded, low], f"{name}/above")
        graph.add("Min", f"{name}/min", [above, high], name)


class Positive(Operation):
    """`max(x, 0)`, of values that are integers already."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        graph.add("Relu", name, inputs, name)


class RoundOnly(Operation):
    """Rounds, without limits: for the network's outputs, which the sums bound already."""

    def forward(self, x: Tensor) -> Tensor:
        return round_through(x)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        graph.add("Round", f"{name}/round", inputs, name)


class Combine(Operation):
    """`sum_i x_i * factor_i + offset`, all `p * 2^-e` per channel: sums, leaky slopes, parts.

    Args:
        factors: float64 `[C]` for each input.
        offset: Likewise; None: 0.
    """

    offset: Tensor | None

    def __init__(self, factors: Sequence[Tensor], offset: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("offset", offset)
        for i, factor in enumerate(factors):
            self.register_buffer(f"factor{i}", factor)
        self._count = len(factors)

    def factors(self) -> list[Tensor]:
        """The factors, as given."""
        return [cast("Tensor", getattr(self, f"factor{i}")) for i in range(self._count)]

    def forward(self, *inputs: Tensor) -> Tensor:
        total = torch.zeros_like(inputs[0])
        for x, factor in zip(inputs, self.factors(), strict=True):
            total = total + x * per_channel(factor, x)
        return total if self.offset is None else total + per_channel(self.offset, x)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        nodes, terms = [], []
        for i, (x, factor) in enumerate(zip(inputs, self.factors(), strict=True)):
            term = x
            if not bool((factor == 1).all()):
                constant = graph.channels(f"{name}/factor{i}", factor, axes)
                term = f"{name}/term{i}"
                nodes.append(("Mul", f"{name}/mul{i}", [x, constant], term))
            terms.append(term)
        if self.offset is not None:
            terms.append(graph.channels(f"{name}/offset", self.offset, axes))
        total = terms[0]
        for i, term in enumerate(terms[1:], start=1):
            nodes.append(("Add", f"{name}/add{i}", [total, term], f"{name}/sum{i}"))
            total = f"{name}/sum{i}"
        *before, last = nodes or [("Identity", name, [total], name)]
        for node in before:
            graph.add(*node)
        graph.add(*last[:3], name)


class Move(Operation):
    """A layer that only moves values: depth to space, channels, crop, concatenation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(*inputs)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        layer = self.layer
        if isinstance(layer, Shuffle):
            attributes = {"blocksize": layer.factor, "mode": "CRD"}
            graph.add("DepthToSpace", name, inputs, name, **attributes)
        elif isinstance(layer, Concat):
            graph.add("Concat", name, inputs, name, axis=1)
        elif isinstance(layer, Channels):
            self._slice(graph, name, inputs, ([layer.start], [layer.stop], [1]))
        elif isinstance(layer, Crop):
            self._slice(graph, name, inputs, (list(layer.starts), list(layer.stops), [2, 3]))
        else:
            raise TypeError(f"{type(layer).__name__} does more than move values")

    @staticmethod
    def _slice(
        graph: GraphWriter, name: str, inputs: Sequence[str], ends: tuple[list[int], ...]
    ) -> None:
        constants = [
            graph.constant(f"{name}/{what}", np.array(values, np.int64))
            for what, values in zip(("starts", "ends", "axes"), ends, strict=True)
        ]
        graph.add("Slice", name, [*inputs, *constants], name)


class Scale(Operation):
    """The last step of a float output: integers times a power of two.

    Args:
        unit: Powers of two, float64 `[C]`.
    """

    unit: Tensor

    def __init__(self, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("unit", unit)

    def forward(self, x: Tensor) -> Tensor:
        return x * per_channel(self.unit, x)

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        power = graph.channels(f"{name}/power", self.unit, axes)
        graph.add("Mul", f"{name}/scale", [*inputs, power], name)


class CastOutput(Operation):
    """The last step of an integer output: floats that hold integers to int32."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def emit(self, graph: GraphWriter, name: str, inputs: Sequence[str], axes: int) -> None:
        graph.add("Cast", f"{name}/cast", inputs, name, to=TensorProto.INT32)
