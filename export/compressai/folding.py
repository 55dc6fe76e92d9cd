"""Networks without what only training needs: what is computed from parameters alone is computed once.

Generalised divisive normalisation (GDN): arXiv 1511.06281, in CompressAI's parametrisation.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class FoldedGdn(nn.Module):
    """GDN, or its inverse, with the non-negative weights that it trained others for.

    Args:
        gdn: CompressAI's; borrowed.
    """

    def __init__(self, gdn: Any) -> None:
        super().__init__()
        beta, gamma = gdn.beta_reparam(gdn.beta), gdn.gamma_reparam(gdn.gamma)
        channels = len(beta)
        self.inverse = gdn.inverse
        self.energy = nn.Conv2d(channels, channels, 1)
        self.energy.load_state_dict({"weight": gamma[:, :, None, None], "bias": beta})

    def forward(self, x: Tensor) -> Tensor:
        """Divides by the root of the neighbours' energy, or multiplies: same shape."""
        norm = torch.sqrt(self.energy(x * x))
        return x * norm if self.inverse else x / norm


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """Returns a copy with plain convolutions in place of masked ones, and `FoldedGdn` of GDN.

    Args:
        network: A part of one of CompressAI's models; borrowed.

    Returns:
        A copy in evaluation mode, owned by the caller.
    """
    return _fold(copy.deepcopy(network)).eval()


def _fold(network: nn.Module) -> nn.Module:
    from compressai.layers import GDN, MaskedConv2d

    if type(network) is GDN:
        return FoldedGdn(network)
    if isinstance(network, MaskedConv2d):
        return with_weight(network, network.weight * network.mask)
    for name, child in network.named_children():
        setattr(network, name, _fold(child))
    return network


@torch.no_grad()
def without_first_inputs(conv: nn.Conv2d, count: int) -> nn.Conv2d:
    """Returns a convolution for inputs whose first `count` channels are zero, and left out."""
    return with_weight(conv, conv.weight[:, count:])


def with_weight(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    """Returns a plain convolution like another, but for its weight `[out, in, rows, columns]`."""
    made = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        conv.stride,
        conv.padding,
    )
    made.load_state_dict({"weight": weight, "bias": conv.bias})
    return made
