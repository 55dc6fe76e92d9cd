"""Small models of CompressAI, and over it, with seeded weights that nobody trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.export.compressai.families import MODELS
from fcmrt.export.compressai.jiang import ElicOfTenGroups

from .compressai_alone import import_compressai
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
    _make_loud(model.g_a, getattr(hyper, "h_a", None))
    return model


def loud_elic_of_ten_groups() -> ElicOfTenGroups:
    """Make a small one, in the same way."""
    import_compressai()
    torch.manual_seed(1)
    model = ElicOfTenGroups(12, [2, 2, 2, 2, 2, 2, 2, 2, 4, 4]).eval()
    _make_loud(model.g_a, model.h_a)
    return model


@torch.no_grad()
def _make_loud(g_a: nn.Sequential, h_a: nn.Sequential | None) -> None:
    y = _louder(g_a, torch.randn(1, 3, 2 * SIDE, 2 * SIDE))
    if h_a is not None:
        _louder(h_a, y)


def _louder(network: nn.Sequential, x: Tensor) -> Tensor:
    """Scale the last convolution until the deviation of what a network gives is 3."""
    *_, last = (module for module in network if isinstance(module, nn.Conv2d))
    for _ in range(3):  # an attention block may come after it
        last.weight.mul_(3 / network(x).std(dim=(0, 2, 3)).mean())
    return network(x)
