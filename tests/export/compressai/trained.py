"""Small models of CompressAI, trained for some seconds, so that their entropies are realistic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.compressai_alone import import_compressai
from benchmarks.evaluation_set import Item, shipped_photos, with_crops
from fcmrt.export.compressai.families import MODELS

BATCH, SIDE = 8, 64
STEPS = {"elic2022-official": 100, "elic2022-chandelier": 100, "bmshj2018-hyperprior-vbr": 350}
LAMBDA = 0.0067  # bits per pixel that a squared error of 1 is worth, in units of 8-bit samples
RATE = 1e-3
CROP = 256  # largest side of the pictures that models are compared on

SIZES: dict[str, dict[str, Any]] = {
    **{name: {"N": 16, "M": 24} for name in MODELS},
    "cheng2020-anchor-checkerboard": {"N": 12},
    "elic2022-official": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
    "elic2022-chandelier": {"N": 12, "M": 20, "groups": [2, 2, 4, 4, 8]},
}


def pictures() -> list[Item]:
    """The four shipped photos and four crops of each: 20 pictures, at most 256 pixels a side."""
    found = [item for name, image in shipped_photos() for item in with_crops(name, image)]
    return [
        Item(item.name, item.group, np.ascontiguousarray(item.image[-CROP:, -CROP:]))
        for item in found
    ]


def planes(image: np.ndarray) -> np.ndarray:
    """A picture as the models take it: float32 `[3, H, W]`, 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)


def untrained(codec: str) -> nn.Module:
    """A model of the small sizes, seeded."""
    models = import_compressai().models
    torch.manual_seed(1)
    return getattr(models, MODELS[codec].kind)(**SIZES[codec])


def trained(codec: str) -> nn.Module:
    """A model trained on crops of the shipped photos, ready to compress."""
    model: Any = untrained(codec)
    _train(model, STEPS.get(codec, 150))
    return ready(model)


def ready(model: Any) -> nn.Module:
    """A model whose tables are made from what it has learned, by CompressAI."""
    model.eval()
    for module in model.modules():
        if hasattr(module, "_update_quantiles"):
            module._update_quantiles()
    model.update(force=True)
    return model


def _train(model: Any, steps: int) -> None:
    images = [planes(image) for _, image in shipped_photos()]
    rng = np.random.default_rng(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    model.train()
    rates = getattr(model, "lmbda", None)  # of a variable-rate model, trained at each in turn
    for step in range(steps):
        x = torch.from_numpy(np.stack([_crop(images, rng) for _ in range(BATCH)]))
        rate = step % len(rates) if rates else 0
        found = model(x, s=rate) if rates else model(x)
        scale = 255**2 * (rates[rate] if rates else LAMBDA)
        loss = scale * F.mse_loss(found["x_hat"], x) + bits(found) / (BATCH * SIDE * SIDE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def bits(found: dict[str, Any]) -> Tensor:
    """Bits of all latents."""
    return sum(
        (torch.log(p).sum() / -math.log(2) for p in found["likelihoods"].values()),
        torch.tensor(0.0),
    )


def _crop(images: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    image = images[rng.integers(len(images))]
    top, left = (rng.integers(size - SIDE + 1) for size in image.shape[1:])
    return image[:, top : top + SIDE, left : left + SIDE]
