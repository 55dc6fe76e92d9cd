"""Latents that are rounded around the medians of their channels, as CompressAI's are.

Integers count from the median, in steps of 1 by default: networks that output the latent subtract
medians and divide by the step, and networks that read it undo this.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class LessMedians(nn.Module):
    """A network's output, less the medians of its channels, in steps.

    Args:
        network: Returns `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
        step: Of the quantiser, in units of the network's output.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor, step: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.step = step
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Returns what is to be rounded, of the shape of the network's output."""
        moved = cast("Tensor", self.network(x)) - self.medians
        return moved if self.step == 1 else moved / self.step


class PlusMedians(nn.Module):
    """A network whose input is multiplied by the step, and has its medians added, again.

    Args:
        network: Takes `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
        step: Of the quantiser, in units of the network's input.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor, step: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.step = step
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, rounded: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Runs the network on the latent."""
        values = rounded if self.step == 1 else rounded * self.step
        return cast("Tensor | tuple[Tensor, ...]", self.network(values + self.medians))
