"""Latents that are rounded around the medians of their channels, as CompressAI's are.

Integers count from the median: the networks that give the latent, and those that take it, are moved
by it.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class LessMedians(nn.Module):
    """What a network gives, less the medians of its channels.

    Args:
        network: Gives `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """What is rounded, of the shape of the network's output."""
        return cast("Tensor", self.network(x)) - self.medians


class PlusMedians(nn.Module):
    """A network that is given the medians of its input's channels back.

    Args:
        network: Takes `[N, C, H, W]`.
        medians: `[1, C, 1, 1]`; copied.
    """

    medians: Tensor

    def __init__(self, network: nn.Module, medians: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("medians", medians.detach().clone())

    def forward(self, rounded: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the network makes of the latent."""
        return cast("Tensor | tuple[Tensor, ...]", self.network(rounded + self.medians))
