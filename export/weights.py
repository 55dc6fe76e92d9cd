"""Weights as a trained codec has them."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from fcmrt.errors import ExportError


def check_weights(name: str, network: nn.Module) -> None:
    """Refuses a network without the weights of a trained codec.

    Args:
        name: Of its graph.
        network: Any.

    Raises:
        ExportError: A weight is on the device "meta", not float32, or NaN or infinite.
    """
    for key, weight in itertools.chain(network.named_parameters(), network.named_buffers()):
        place = f"graph {name!r}: the weight {key!r}"
        if weight.is_meta:
            raise ExportError(f"{place} has no values (device 'meta'); load the checkpoint into it")
        if not weight.is_floating_point():
            continue
        if weight.dtype != torch.float32:
            raise ExportError(
                f"{place} is {str(weight.dtype).removeprefix('torch.')}; networks are exported "
                "from float32: call .float() on the model"
            )
        # A buffer may be a mask, which is infinite by intent.
        parameter = isinstance(weight, nn.Parameter)
        if weight.isnan().any() or (parameter and weight.isinf().any()):
            raise ExportError(f"{place} is not finite: its training diverged, or it is damaged")
