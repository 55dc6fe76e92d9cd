"""Constants between the last weighted sums and the outputs, folded into the sums' weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fcmrt.errors import EngineError

from .floatlayers import Affine, Channels, Crop, Layer, Shuffle, Sum


@dataclass(frozen=True)
class Folded:
    """Layers without constants before the outputs, and the grids of the sums that end there."""

    layers: list[Layer]
    outputs: list[str]
    """The tensors that the network returns."""
    units: dict[str, Tensor]
    """float64 `[C]`: the value of 1 that a sum must have, by layer; NaN: it is free to choose."""


def fold_outputs(
    layers: Sequence[Layer],
    outputs: Mapping[str, str],
    grids: Mapping[str, float],
    channels: Mapping[str, int],
) -> Folded:
    """Walks from every output back to the weighted sum that it comes from.

    Args:
        layers: Of the network.
        outputs: The tensor that each output is, by name of the output.
        grids: The value of 1 of each output.
        channels: Of every tensor.

    Raises:
        EngineError: An output does not come from a weighted sum by constants and moves alone, or
            the same sum's channels must be on two grids.
    """
    by_name = {layer.name: layer for layer in layers}
    readers = Counter(source for layer in layers for source in layer.sources)
    readers.update(outputs.values())
    units: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for output, tensor in outputs.items():
        layer = by_name[tensor]
        # What the output is of the layer's tensor; NaN in channels that it is not of.
        factor = torch.ones(channels[tensor], dtype=torch.float64)
        offset = torch.zeros_like(factor)
        while not isinstance(layer, Sum):
            if isinstance(layer, Affine) and readers[layer.name] == 1:
                offset, factor = offset + factor * layer.offset, factor * layer.factor
                aliases[layer.name] = layer.sources[0]
            elif isinstance(layer, Shuffle):
                factor, offset = (
                    part.repeat_interleave(layer.factor**2) for part in (factor, offset)
                )
            elif isinstance(layer, Channels):
                whole = torch.full((2, channels[layer.sources[0]]), torch.nan, dtype=torch.float64)
                whole[:, layer.start : layer.stop] = torch.stack([factor, offset])
                factor, offset = whole
            elif not isinstance(layer, Crop):
                raise EngineError(
                    f"output {output!r} comes from {layer.name!r} ({type(layer).__name__}); the "
                    "exact form wants a convolution or linear layer there, then at most constants, "
                    "channels, pixel shuffle and cropping"
                )
            layer = by_name[layer.sources[0]]
        by_name[layer.name] = _scaled(layer, factor, offset)
        known = units.setdefault(layer.name, torch.full_like(factor, torch.nan))
        told = ~factor.isnan()
        if (~known.isnan() & told).any():
            raise EngineError(f"two outputs are of the same channels of {layer.name!r}")
        known[told] = grids[output]
    kept = [by_name[layer.name] for layer in layers if layer.name not in aliases]
    for place, layer in enumerate(kept):
        if isinstance(layer, Affine):
            raise EngineError(
                f"layer {layer.name!r} multiplies by or adds a constant within the network: fold "
                "it into the weights of the layer before or after it"
            )
        sources = tuple(_resolved(name, aliases) for name in layer.sources)
        kept[place] = replace(layer, sources=sources)
    return Folded(kept, [_resolved(name, aliases) for name in outputs.values()], units)


def _resolved(name: str, aliases: Mapping[str, str]) -> str:
    while name in aliases:
        name = aliases[name]
    return name


def _scaled(layer: Sum, factor: Tensor, offset: Tensor) -> Sum:
    factor, offset = factor.nan_to_num(1.0), offset.nan_to_num(0.0)
    weight = layer.form.scaled(layer.weight, factor)
    return replace(layer, weight=weight, bias=layer.bias * factor + offset)
