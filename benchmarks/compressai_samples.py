"""Small models of CompressAI, with seeded weights that nobody trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.export.compressai.families import MODELS

from .compressai_models import SIDE, make

SIZES: dict[str, dict[str, Any]] = {
    **{name: {"N": 16, "M": 24} for name in MODELS},
    "cheng2020-anchor-checkerboard": {"N": 12},
    "elic2022-official": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
    "elic2022-chandelier": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
}


def untrained(name: str, **options: Any) -> Any:
    """Make a model of the small sizes, seeded.

    Args:
        name: CompressAI's.
        options: Arguments of its class, besides the sizes.
    """
    return make(name, SIZES[name] | options)


def loud(name: str) -> Any:
    """Make a model that is not trained, but whose latents of noise are not all 0."""
    model = untrained(name).eval()
    hyper = model.latent_codec["hyper"] if hasattr(model, "latent_codec") else model
    with torch.no_grad():
        y = _louder(model.g_a, torch.randn(1, 3, 2 * SIDE, 2 * SIDE))
        if hasattr(hyper, "h_a"):
            _louder(hyper.h_a, y)
    return model


def _louder(network: nn.Sequential, x: Tensor) -> Tensor:
    """Scale the last convolution until the deviation of what a network gives is 3."""
    *_, last = (module for module in network if isinstance(module, nn.Conv2d))
    for _ in range(3):  # an attention block may come after it
        last.weight.mul_(3 / network(x).std(dim=(0, 2, 3)).mean())
    return network(x)
