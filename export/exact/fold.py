"""Constants between weighted sums and what has a grid of its own, folded into the sums' weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .floatlayers import Affine, Channels, Crop, Layer, Limit, Lookup, Shuffle, Sum
from .lookup import unit_of


@dataclass(frozen=True)
class Folded:
    """Layers without constants before the ends, and the grids of the sums that end there."""

    layers: list[Layer]
    outputs: list[str]
    """The tensors that the network returns."""
    units: dict[str, Tensor]
    """float64 `[C]`: the value of 1 that a sum must have, by layer; NaN: it is free to choose."""


def fold(
    layers: Sequence[Layer],
    outputs: Sequence[tuple[str, Tensor]],
    channels: Mapping[str, int],
) -> Folded:
    """Folds constants between every output or lookup and the weighted sum that it comes from.

    What does not come from a sum through constants, moves and limits alone stays as it is.

    Args:
        layers: Of the network.
        outputs: The tensor that each output is, and the value of 1 in its channels, float64 `[C]`.
        channels: Of every tensor.
    """
    folding = _Folding(layers, [tensor for tensor, _ in outputs], channels)
    for tensor, unit in outputs:
        folding.walk(tensor, unit, "")
    for layer in layers:
        if isinstance(layer, Lookup):
            source = layer.sources[0]
            unit = torch.full([channels[source]], unit_of(layer.scale), dtype=torch.float64)
            folding.walk(source, unit, layer.name)
    return folding.done()


class _Folding:
    def __init__(
        self, layers: Sequence[Layer], outputs: Sequence[str], channels: Mapping[str, int]
    ) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._outputs = outputs
        self._channels = channels
        self._units: dict[str, Tensor] = {}
        self._aliases: dict[str, str] = {}

    def walk(self, tensor: str, unit: Tensor, reader: str) -> None:
        """Folds what lies between a tensor and its weighted sum, if there is one.

        Args:
            tensor: The one with a grid of its own.
            unit: Its value of 1, float64 `[C]`.
            reader: The layer that needs this grid; "": an output.
        """
        layer = self._layers[tensor]
        # The tensor as factor and offset of the layer's output, and its unit, by channel of the
        # layer; NaN in channels that are not in the tensor.
        state = torch.stack([torch.ones_like(unit), torch.zeros_like(unit), unit])
        aliases: dict[str, str] = {}
        while not isinstance(layer, Sum):
            if (aliases or isinstance(layer, Affine)) and not self._alone(layer, reader, state):
                return
            if isinstance(layer, Affine):
                state[1] = state[1] + state[0] * layer.offset
                state[0] = state[0] * layer.factor
                aliases[layer.name] = layer.sources[0]
            elif isinstance(layer, Shuffle):
                state = state.repeat_interleave(layer.factor**2, 1)
            elif isinstance(layer, Channels):
                whole = torch.full((3, self._channels[layer.sources[0]]), torch.nan).double()
                whole[:, layer.start : layer.stop] = state
                state = whole
            elif not isinstance(layer, Crop) and (aliases or not isinstance(layer, Limit)):
                return
            reader = layer.name
            layer = self._layers[layer.sources[0]]
        if not aliases or self._alone(layer, reader, state):
            self._settle(layer, state, aliases)

    def _alone(self, layer: Layer, reader: str, state: Tensor) -> bool:
        """Whether only `reader` reads the channels that the walk is about."""
        if self._outputs.count(layer.name) > (reader == ""):
            return False
        fixed = ~state[0].isnan()
        for other in self._layers.values():
            if other.name != reader and layer.name in other.sources:
                apart = isinstance(other, Channels) and not fixed[other.start : other.stop].any()
                if not apart:
                    return False
        return True

    def _settle(self, layer: Sum, state: Tensor, aliases: Mapping[str, str]) -> None:
        factor, offset, unit = state
        known = self._units.get(layer.name, torch.full_like(unit, torch.nan))
        if (~known.isnan() & ~unit.isnan()).any():
            return  # another end has fixed the unit
        self._units[layer.name] = torch.where(unit.isnan(), known, unit)
        self._aliases.update(aliases)
        factor, offset = factor.nan_to_num(1.0), offset.nan_to_num(0.0)
        weight = layer.form.scaled(layer.weight, factor)
        bias = layer.bias * factor + offset
        self._layers[layer.name] = replace(layer, weight=weight, bias=bias)

    def done(self) -> Folded:
        kept = [
            replace(layer, sources=tuple(self._resolved(name) for name in layer.sources))
            for layer in self._layers.values()
            if layer.name not in self._aliases
        ]
        return Folded(kept, [self._resolved(name) for name in self._outputs], self._units)

    def _resolved(self, name: str) -> str:
        while name in self._aliases:
            name = self._aliases[name]
        return name
