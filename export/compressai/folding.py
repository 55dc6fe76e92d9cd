"""CompressAI's networks without what only training needs.

What is computed from parameters alone is computed once.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..layers import GDN, FoldedGDN


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """Returns a copy with plain convolutions in place of masked ones, and of folded GDN.

    Args:
        network: A part of one of CompressAI's models; borrowed.

    Returns:
        A copy in evaluation mode, owned by the caller.
    """
    return _fold(copy.deepcopy(network)).eval()


def _fold(network: nn.Module) -> nn.Module:
    from compressai import layers

    if type(network) is layers.GDN:
        ours = GDN(len(network.beta), network.inverse)  # its parameters mean the same
        ours.load_state_dict({"beta": network.beta, "gamma": network.gamma})
        return FoldedGDN(ours)
    if isinstance(network, layers.MaskedConv2d):
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
