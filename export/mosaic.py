"""Feature maps as pictures: a level's channels tiled, for codecs of pictures.

The way of MFIBA (arXiv 2503.19278): channels scaled to 0..1, three of them as the planes of a
patch, patches column by column in one picture, rounded to 8 bits. It differs in this:

* the range is measured once, for each channel, and stored in the graphs; the paper measures that of
  each picture and level, over all channels, and does not count the bits to transmit it. Values
  beyond the range are clipped;
* maps are not enlarged to at least 40 cells, which the paper does for its picture codecs' sake;
* a tensor's stride is one number, so a deployed mosaic has as many rows as columns of patches, a
  power of two; the paper has 10 rows and 9 columns for 256 channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from fcmrt.spec import FeatureSpec

from .deployment import Deployment

PLANES = 3
"""Of a picture."""

Range = tuple[Tensor, Tensor]
"""Least and greatest value of each channel of a level, float32 `[C]` each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where channels are in a mosaic. Patches that are left over are 0."""

    channels: int
    rows: int
    """Of patches."""
    columns: int
    replicated: bool = False
    """Whether a channel fills all three planes of a patch; else three channels share one."""

    def __post_init__(self) -> None:
        if self.channels > self.rows * self.columns * self.per_patch:
            raise ValueError(
                f"{self.channels} channels do not fit in {self.rows} x {self.columns} patches"
            )

    @property
    def per_patch(self) -> int:
        """Channels in one patch."""
        return 1 if self.replicated else PLANES

    @classmethod
    def square(cls, channels: int, *, replicated: bool = False) -> Self:
        """The least square of a power of two patches a side that holds so many channels."""
        patches = channels if replicated else math.ceil(channels / PLANES)
        side = 2 ** math.ceil(math.log2(patches) / 2)
        return cls(channels=channels, rows=side, columns=side, replicated=replicated)


class _Scale(nn.Module):
    """The range of each channel that becomes 0..1."""

    low: Tensor
    width: Tensor

    def __init__(self, layout: Layout, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("low", low.reshape(1, -1, 1, 1).clone())
        self.register_buffer("width", (high - low).clamp(min=1e-6).reshape(1, -1, 1, 1))


class Tile(_Scale):
    """Features to a picture.

    Args:
        layout: Where channels lie.
        low: Least value of each channel, float32 `[C]`.
        high: Likewise the greatest.
        bits: The picture has values `n / (2^bits - 1)`; None: any.
    """

    def __init__(self, layout: Layout, low: Tensor, high: Tensor, *, bits: int | None = 8) -> None:
        super().__init__(layout, low, high)
        self.bits = bits

    def forward(self, feature: Tensor) -> Tensor:
        """Turns `[N, C, H, W]` into `[N, 3, rows * H, columns * W]` in 0..1."""
        rows, columns = self.layout.rows, self.layout.columns
        scaled = ((feature - self.low) / self.width).clamp(0.0, 1.0)
        if self.bits is not None:
            top = 2.0**self.bits - 1
            scaled = torch.round(scaled * top) / top
        spare = rows * columns * self.layout.per_patch - self.layout.channels
        scaled = functional.pad(scaled, (0, 0, 0, 0, 0, spare))
        batch, _, height, width = scaled.shape
        patches = scaled.reshape(batch, columns, rows, -1, height, width)
        if self.layout.replicated:
            patches = torch.cat([patches] * PLANES, 3)
        picture = patches.permute(0, 3, 2, 4, 1, 5)
        return picture.reshape(batch, PLANES, rows * height, columns * width)


class Untile(_Scale):
    """A picture to features; what `Tile` does, undone.

    Args:
        layout: As there.
        low: As there.
        high: As there.
    """

    def forward(self, picture: Tensor) -> Tensor:
        """Turns `[N, 3, rows * H, columns * W]` into `[N, C, H, W]`."""
        rows, columns = self.layout.rows, self.layout.columns
        batch, _, height, width = picture.shape
        parts = picture.reshape(batch, PLANES, rows, height // rows, columns, width // columns)
        if self.layout.replicated:
            parts = parts.mean(1, keepdim=True)
        patches = parts.permute(0, 4, 2, 1, 3, 5)
        maps = patches.reshape(batch, -1, height // rows, width // columns)
        return maps[:, : self.layout.channels].clamp(0.0, 1.0) * self.width + self.low


def measured_range(maps: Iterable[Tensor]) -> Range:
    """Least and greatest value of each channel (each float32 `[C]`) over maps `[N, C, H, W]`."""
    limits = [(batch.amin((0, 2, 3)), batch.amax((0, 2, 3))) for batch in maps]
    lows, highs = zip(*limits, strict=True)
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def deploy_mosaic(
    picture: Deployment,
    level_name: str,
    layout: Layout,
    low: Tensor,
    high: Tensor,
    *,
    bits: int | None = 8,
) -> Deployment:
    """Returns how a codec of pictures codes a feature level.

    Args:
        picture: How the codec is run on pictures: one feature of three channels in 0..1.
        level_name: The level's name.
        layout: A square one.
        low: Least value of each channel, float32 `[C]`.
        high: Likewise the greatest.
        bits: As for `Tile`.

    Raises:
        ValueError: The codec is not one of pictures, or its strides and the mosaic do not fit.
    """
    side = layout.rows
    (feature, *others) = picture.features
    if others or feature.channels != PLANES:
        raise ValueError("a mosaic is one picture of three planes, which the codec does not take")
    if layout.columns != side:
        raise ValueError(f"a deployed mosaic is square, not {side} x {layout.columns} patches")
    decoded = picture.outputs[feature.name]
    tensors = {name: spec for name, spec in picture.tensors.items() if name != decoded}
    if any(spec.stride % side for spec in tensors.values()):
        raise ValueError(f"a mosaic of {side} patches a side needs strides that {side} divides")
    runs = picture.runs.values()
    (analysis,) = (run for run in runs if feature.name in run.inputs)
    (synthesis,) = (run for run in runs if decoded in run.outputs)
    level = FeatureSpec(level_name, layout.channels, 1)
    return replace(
        picture.with_networks(
            {
                analysis.graph: _Chain(
                    Tile(layout, low, high, bits=bits), picture.networks[analysis.graph]
                ),
                synthesis.graph: _Chain(
                    picture.networks[synthesis.graph], Untile(layout, low, high)
                ),
            }
        ),
        features=(level,),
        padding=replace(picture.padding, multiple=max(1, picture.padding.multiple // side)),
        tensors={
            **{name: replace(spec, stride=spec.stride // side) for name, spec in tensors.items()},
            decoded: level.tensor,
        },
        encode=tuple(
            replace(step, inputs=(level_name,)) if step == analysis else step
            for step in picture.encode
        ),
        outputs={level_name: decoded},
    )


class _Chain(nn.Module):
    """Two networks one after the other; the first may take several tensors."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.second(self.first(*inputs))
