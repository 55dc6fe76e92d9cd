"""The layers of a float network that the exact form knows, each on named tensors.

Channels are axis 1 of every tensor (`[N, C, H, W]`, or `[N, C]` for linear layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from fcmrt.errors import EngineError

from ..scale_index import ScaleIndex


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Shapes `[C]` so that it goes with axis 1 of a tensor of that many axes, in its type."""
    return values.to(like).reshape(1, -1, *[1] * (like.ndim - 2))


@dataclass(frozen=True)
class Layer:
    """A layer: reads the tensors `sources`, writes the tensor `name`."""

    name: str
    sources: tuple[str, ...]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Computes the layer in floats."""
        raise NotImplementedError


@dataclass(frozen=True)
class Input(Layer):
    """An input of the network; its tensor is given."""

    channels: int


@dataclass(frozen=True)
class Form:
    """What kind of weighted sum a layer is, and its geometry."""

    kind: str
    """"conv", "transposed" or "linear"."""
    groups: int = 1
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Computes the sums; weight as PyTorch lays it out for the kind."""
        if self.kind == "linear":
            return functional.linear(x, weight, bias)
        if self.kind == "transposed":
            return functional.conv_transpose2d(
                x,
                weight,
                bias,
                self.stride,
                self.padding,
                self.output_padding,
                self.groups,
                self.dilation,
            )
        return functional.conv2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups
        )

    def rows(self, weight: Tensor) -> Tensor:
        """Lays the weights out as `[groups, C_out / groups, C_in / groups, taps]`."""
        grouped = weight.reshape(self.groups, -1, *weight.shape[1:])
        grouped = grouped.reshape(*grouped.shape[:3], -1)
        return grouped.transpose(1, 2) if self.kind == "transposed" else grouped

    def phases(self, weight: Tensor) -> list[list[int]]:
        """The taps that meet in one sum: all, or those of one phase of a transposed convolution."""
        rows, columns = weight.shape[2:] if weight.ndim == 4 else (1, 1)
        if self.kind != "transposed":
            return [list(range(rows * columns))]
        found: dict[tuple[int, ...], list[int]] = {}
        for tap in range(rows * columns):
            places = zip(divmod(tap, columns), self.dilation, self.stride, strict=True)
            phase = tuple(place * spread % stride for place, spread, stride in places)
            found.setdefault(phase, []).append(tap)
        return list(found.values())

    def reach(self, rows: Tensor, limits: Tensor, phases: list[list[int]]) -> Tensor:
        """The largest `sum |w| * limit` of every output channel, over the phases: `[C_out]`.

        Args:
            rows: Weights as `rows` lays them out.
            limits: Largest magnitude of each input channel, `[C_in]`.
            phases: As `phases` returns them.
        """
        taps = rows.abs() * limits.reshape(self.groups, 1, -1, 1)
        return torch.stack([taps[..., met].sum((2, 3)) for met in phases]).amax(0).reshape(-1)

    def scaled(self, weight: Tensor, outputs: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Multiplies the weights by a factor per output channel, and per input channel."""
        rows = self.rows(weight) * outputs.reshape(self.groups, -1, 1, 1)
        if inputs is not None:
            rows = rows * inputs.reshape(self.groups, 1, -1, 1)
        if self.kind == "transposed":
            rows = rows.transpose(1, 2)
        return rows.reshape(weight.shape)


@dataclass(frozen=True)
class Sum(Layer):
    """A convolution, transposed convolution or linear layer."""

    form: Form
    weight: Tensor
    """float64, as PyTorch lays it out; a mask is already in it."""
    bias: Tensor
    """float64 `[C_out]`."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return self.form.apply(x, self.weight.to(x), self.bias.to(x))


@dataclass(frozen=True)
class Limit(Layer):
    """`min(max(x, low), high)`: ReLU, ReLU6, hard tanh, clamp."""

    low: float
    high: float

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0].clamp(self.low, self.high)


@dataclass(frozen=True)
class Leaky(Layer):
    """`x` where positive, else `slope * x`: LeakyReLU, PReLU."""

    slope: Tensor
    """float64 `[C]`."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return torch.where(x > 0, x, x * per_channel(self.slope, x))


@dataclass(frozen=True)
class Shuffle(Layer):
    """Depth to space, as `nn.PixelShuffle`."""

    factor: int

    def __call__(self, *inputs: Tensor) -> Tensor:
        return functional.pixel_shuffle(inputs[0], self.factor)


@dataclass(frozen=True)
class Channels(Layer):
    """Channels `start` to `stop - 1`."""

    start: int
    stop: int

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0][:, self.start : self.stop]


@dataclass(frozen=True)
class Crop(Layer):
    """Rows and columns between constant bounds, which count from the end where negative."""

    starts: tuple[int, int]
    stops: tuple[int, int]

    def __call__(self, *inputs: Tensor) -> Tensor:
        rows, columns = (slice(*ends) for ends in zip(self.starts, self.stops, strict=True))
        return inputs[0][..., rows, columns]


@dataclass(frozen=True)
class Concat(Layer):
    """Several tensors, one after the other along the channels."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1)


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two tensors of one shape."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        return inputs[0] + inputs[1]


@dataclass(frozen=True)
class Affine(Layer):
    """`factor * x + offset`, channel by channel."""

    factor: Tensor
    """float64 `[C]`."""
    offset: Tensor
    """Likewise."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return x * per_channel(self.factor, x) + per_channel(self.offset, x)


@dataclass(frozen=True)
class Lookup(Layer):
    """Deviations to table indexes."""

    scale: ScaleIndex

    def __call__(self, *inputs: Tensor) -> Tensor:
        return cast("Tensor", self.scale(inputs[0]))


def evaluate(layers: Sequence[Layer], inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Computes every layer, in order; returns all tensors by name."""
    tensors: dict[str, Tensor] = dict(inputs)
    for layer in layers:
        if not isinstance(layer, Input):
            tensors[layer.name] = layer(*(tensors[name] for name in layer.sources))
    return tensors


def refused(name: str, what: str) -> EngineError:
    """The error for a layer that the exact form does not know."""
    return EngineError(
        f"layer {name!r} ({what}) has no exact form: use convolutions, linear layers, the ReLU "
        "family, pixel shuffle and concatenation, or write the engine as same-engine "
        "(fcmrt export --profile same-engine)"
    )
