"""Further training of an integer network: rounded in the forward pass, real in the backward pass.

Source: straight-through estimation, arXiv 1308.3432; training of the integers that carry an entropy
model, J. Balle et al., "Integer networks for data compression with latent-variable models" (2019).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .network import IntegerNetwork

CLIP = 1.0
"""Largest norm of the gradient of one step."""


def tune(
    network: IntegerNetwork,
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    lr: float = 0.05,
) -> list[float]:
    """Trains the weights of an integer network, in place, and settles them.

    The scales stay; the learning rate falls linearly to 0.

    Args:
        network: Its outputs, integers, let gradients pass.
        loss: Called with the number of the step; runs the network and returns what to minimise.
        steps: How many.
        lr: Of Adam, in units of the integer weights.

    Returns:
        The loss of every step.
    """
    weights = [p for layer in network.sums().values() for p in (layer.weight, layer.bias)]
    optimiser = torch.optim.Adam(weights, lr=lr)
    losses = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * (1 - step / steps)
        optimiser.zero_grad(set_to_none=True)
        value = loss(step)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, CLIP)
        if torch.isfinite(norm):
            optimiser.step()
        losses.append(value.item())
    network.settle()
    return losses
