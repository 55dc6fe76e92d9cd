"""The tensors of an integer network, and what their integers mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .floatlayers import Add, Layer, Limit, Lookup, Shuffle, Sum


@dataclass(frozen=True)
class Signal:
    """A tensor of the integer network and what its integers mean."""

    name: str
    unit: Tensor
    """The value of 1, float64 `[C]`."""
    limit: Tensor
    """Largest magnitude, float64 `[C]`: what it is clipped to, or is to be."""
    narrow: bool
    """Whether it is rounded and clipped, as the input of a weighted sum must be."""
    ends: bool = False
    """Whether it is in the unit of an output or a lookup, which needs all the bits of a sum."""


@dataclass(frozen=True)
class Use:
    """What becomes of a layer's output before the next layer that chooses a scale."""

    ties: int = 1
    """How many neighbouring channels must share a scale, since they become one channel."""
    low: float = -math.inf
    high: float = math.inf

    def joined(self, other: Use) -> Use:
        ties = math.lcm(self.ties, other.ties)
        return Use(ties, min(self.low, other.low), max(self.high, other.high))


def use_of(layers: Sequence[Layer], name: str) -> Use:
    """What becomes of a tensor, over all layers that read it."""
    found: Use | None = None
    for layer in layers:
        if name not in layer.sources:
            continue
        use = Use()
        if isinstance(layer, Limit):
            use = replace(use_of(layers, layer.name), low=layer.low, high=layer.high)
        elif isinstance(layer, Shuffle):
            within = use_of(layers, layer.name)
            use = replace(within, ties=within.ties * layer.factor**2)
        elif not isinstance(layer, (Sum, Add, Lookup)):
            use = replace(use_of(layers, layer.name), low=-math.inf, high=math.inf)
        found = use if found is None else found.joined(use)
    return found or Use()


def part_of(layer: Sum, source: Signal, start: int, stop: int) -> tuple[Sum, Signal]:
    """A weighted sum of some input channels only; the first has the bias."""
    if start == 0 and stop >= len(source.limit):
        return layer, source
    axis = 0 if layer.form.kind == "transposed" else 1
    stop = min(stop, len(source.limit))
    weight = layer.weight.narrow(axis, start, stop - start).contiguous()
    bias = layer.bias if start == 0 else torch.zeros_like(layer.bias)
    cut = replace(layer, name=f"{layer.name}/{start}-{stop - 1}", weight=weight, bias=bias)
    return cut, replace(source, unit=source.unit[start:stop], limit=source.limit[start:stop])


def in_units(layer: Sum, source: Signal, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and biases in units of the output per unit of the input."""
    return layer.form.scaled(layer.weight, 1 / unit, source.unit), layer.bias / unit
