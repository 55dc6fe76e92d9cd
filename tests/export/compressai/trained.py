"""Small models of CompressAI, and pictures to compare them on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.compressai_models import SIDE, make, train
from benchmarks.evaluation_set import Item, shipped_photos, with_crops
from fcmrt.export.compressai.families import MODELS

LARGEST = 256  # side of the pictures that models are compared on, in pixels

SIZES: dict[str, dict[str, Any]] = {
    **{name: {"N": 16, "M": 24} for name in MODELS},
    "cheng2020-anchor-checkerboard": {"N": 12},
    "elic2022-official": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
    "elic2022-chandelier": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
}
STEPS = {"elic2022-official": 100, "elic2022-chandelier": 100, "bmshj2018-hyperprior-vbr": 350}
OTHERS = 150  # steps of training


def pictures(largest: int = LARGEST) -> list[Item]:
    """The four shipped photos and four crops of each: 20 pictures.

    Args:
        largest: Pixels on a side; the bottom right of larger ones is taken.
    """
    found = [item for name, image in shipped_photos() for item in with_crops(name, image)]
    return [
        Item(item.name, item.group, np.ascontiguousarray(item.image[-largest:, -largest:]))
        for item in found
    ]


def untrained(name: str) -> Any:
    """A model of the small sizes, seeded."""
    return make(name, SIZES[name])


def trained(name: str) -> Any:
    """A model trained on crops of the shipped photos, ready to compress."""
    model = untrained(name)
    images = [image for _, image in shipped_photos()]
    train(model, images, STEPS.get(name, OTHERS))
    return model


def loud(name: str) -> Any:
    """A model that is not trained, but whose latents of noise are not all 0."""
    model = untrained(name).eval()
    hyper = model.latent_codec["hyper"] if hasattr(model, "latent_codec") else model
    with torch.no_grad():
        y = _louder(model.g_a, torch.randn(1, 3, 2 * SIDE, 2 * SIDE))
        if hasattr(hyper, "h_a"):
            _louder(hyper.h_a, y)
    return model


def _louder(network: nn.Sequential, x: Tensor) -> Tensor:
    """Scales the last convolution until the deviation of what a network gives is 3."""
    *_, last = (module for module in network if isinstance(module, nn.Conv2d))
    for _ in range(3):  # an attention block may come after it
        last.weight.mul_(3 / network(x).std(dim=(0, 2, 3)).mean())
    return network(x)
