"""Latents that are rounded around the medians of their channels, as CompressAI's are.

Integers count from the median, in steps that are 1 where nothing else is told: the networks that
give the latent, and those that take it, are moved by the one and scaled by the other.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class LessMedians(nn.Module):
    """What a network gives, less the medians of its channels, in steps.

    Args:
        network: Gives `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
        step: Of the quantiser, in units of what the network gives.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor, step: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.step = step
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """What is rounded, of the shape of the network's output."""
        moved = cast("Tensor", self.network(x)) - self.medians
        return moved if self.step == 1 else moved / self.step


class PlusMedians(nn.Module):
    """A network that is given the steps and the medians of its input's channels back.

    Args:
        network: Takes `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
        step: Of the quantiser, in units of what the network takes.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor, step: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.step = step
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, rounded: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the network makes of the latent."""
        values = rounded if self.step == 1 else rounded * self.step
        return cast("Tensor | tuple[Tensor, ...]", self.network(values + self.medians))
