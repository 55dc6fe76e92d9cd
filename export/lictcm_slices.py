"""The entropy model of LIC-TCM: slice after slice of channels, each predicted from those before.

Source: LIC-TCM (arXiv 2303.14978); the slices and the prediction of what rounding took away are
Minnen and Singh's (arXiv 2007.08739).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .layers import conv
from .swin import SwinGate

REACH = 0.5
"""Of what is predicted of the rounding's error, to either side."""


def _transform(in_channels: int, widths: tuple[int, int], out_channels: int) -> nn.Sequential:
    first, second = widths
    return nn.Sequential(
        conv(in_channels, first),
        nn.GELU(),
        conv(first, second),
        nn.GELU(),
        conv(second, out_channels),
    )


class SliceSupport(SwinGate):
    """What the mean of a slice, and later the rounding's error, is predicted from."""

    def forward(self, *known: Tensor) -> Tensor:
        """Attends to all that is known: same grid, the channels of all.

        Args:
            known: What the hyper-latent says of means, then the slices before, as the decoder has
                them.
        """
        return super().forward(torch.cat(known, 1))


class SliceParameters(nn.Module):
    """What is known of a slice before it is coded.

    Args:
        support_channels: Of what the mean, likewise the scale, is predicted from.
        channels: Of the slice.
        squeezed: Channels in which windows are attended to.
        head_channels: Of each head; divides `squeezed`.
        side: Of a window, in cells.
        widths: Channels between the three convolutions of a branch.
    """

    def __init__(
        self,
        support_channels: int,
        channels: int,
        squeezed: int,
        head_channels: int,
        side: int,
        widths: tuple[int, int],
    ) -> None:
        super().__init__()
        self.mean = _transform(support_channels, widths, channels)
        self.scale_gate = SwinGate(support_channels, squeezed, head_channels, side)
        self.scale = _transform(support_channels, widths, channels)

    def forward(self, support: Tensor, *known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw scale of a slice.

        Args:
            support: What `SliceSupport` gave.
            known: What the hyper-latent says of scales, then the slices before.
        """
        return self.mean(support), self.scale(self.scale_gate(torch.cat(known, 1)))


class SliceResidual(nn.Module):
    """Latent residual prediction: what rounding took away from a slice, bounded by `REACH`.

    Args:
        support_channels: Of what the mean was predicted from.
        channels: Of the slice.
        widths: Channels between the three convolutions.
    """

    def __init__(self, support_channels: int, channels: int, widths: tuple[int, int]) -> None:
        super().__init__()
        self.transform = _transform(support_channels + channels, widths, channels)

    def forward(self, support: Tensor, dequantised: Tensor) -> Tensor:
        """The slice as later slices and synthesis see it; shapes as for `SliceParameters`."""
        error = self.transform(torch.cat([support, dequantised], 1))
        return cast("Tensor", dequantised + REACH * torch.tanh(error))


class Slices(nn.Module):
    """The networks of all slices.

    Args:
        hyper_channels: Of what the hyper-latent says of means, likewise of scales.
        channels: Of each slice.
        squeezed: Channels in which windows are attended to.
        head_channels: Of each head; divides `squeezed`.
        side: Of a window, in cells.
        widths: Channels between the three convolutions of a branch.
    """

    def __init__(
        self,
        hyper_channels: int,
        channels: Sequence[int],
        squeezed: int,
        head_channels: int,
        side: int,
        widths: tuple[int, int],
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        supports = list(itertools.accumulate(channels[:-1], initial=hyper_channels))
        windows = (squeezed, head_channels, side)
        self.supports = nn.ModuleList(SliceSupport(known, *windows) for known in supports)
        self.parameters_of = nn.ModuleList(
            SliceParameters(known, own, *windows, widths)
            for known, own in zip(supports, channels, strict=True)
        )
        self.residuals = nn.ModuleList(
            SliceResidual(known, own, widths) for known, own in zip(supports, channels, strict=True)
        )
