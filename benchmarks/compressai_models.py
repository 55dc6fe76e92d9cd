"""Models of CompressAI with weights that have been trained for some seconds.

Long enough that bits are spent where there is information, and few elsewhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fcmrt.export.compressai.families import MODELS

from .compressai_alone import import_compressai

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDE = 64  # of the crops trained on
LEARNING_RATE = 1e-3
WIDE_VARIABLE_LEARNING_RATE = 1e-4
"""At which the variable-rate models at their published width stay finite."""
RATE_WEIGHT = 0.0067  # lambda: bits per pixel for a squared error of 1, in 8-bit samples


def make(name: str, sizes: dict[str, Any]) -> Any:
    """Make a model with seeded weights.

    Args:
        name: CompressAI's.
        sizes: Arguments of its class.
    """
    models = import_compressai().models
    torch.manual_seed(1)
    return getattr(models, MODELS[name].kind)(**sizes)


def planes(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give a picture as the models take it: float32 `[3, H, W]`, 0..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)


def train(
    model: Any,
    images: Sequence[NDArray[np.uint8]],
    steps: int,
    batch: int = 8,
    seed: int = 1,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Train a model, and make its tables.

    A variable-rate model is trained at each of its rates in turn; one whose hyper-latent has a step
    (`vr_entbttlnck`) without rates first, since CompressAI learns its prior only so (`stage=1`).

    Args:
        model: Of CompressAI; trained in place, and in evaluation mode afterwards.
        images: uint8 `[H, W, 3]`, at least 64 pixels a side; crops of them are trained on.
        steps: Of Adam.
        batch: Crops of each.
        seed: Of the crops.
        learning_rate: Of Adam.
    """
    pictures = [planes(image) for image in images]
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    rates = getattr(model, "lmbda", None)
    model.train()
    for step in range(steps):
        x = torch.from_numpy(np.stack([_crop(pictures, rng) for _ in range(batch)]))
        rate = step % len(rates) if rates else 0
        stage = 1 if getattr(model, "vr_entbttlnck", False) and step < steps // 2 else 2
        found = model(x, stage=stage, s=rate) if rates else model(x)
        weight = 255**2 * (rates[rate] if rates else RATE_WEIGHT)
        loss = weight * functional.mse_loss(found["x_hat"], x)
        loss = loss + bits(found) / (batch * SIDE * SIDE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    for module in model.modules():
        if hasattr(module, "quantiles"):
            _find_quantiles(module)
    model.update(force=True)


def bits(found: dict[str, Any]) -> Tensor:
    """Give the bits of all latents of a model's `forward`."""
    total = torch.zeros(())
    for likelihoods in found["likelihoods"].values():
        total = total + torch.log(likelihoods).sum() / -math.log(2)
    return total


def _find_quantiles(bottleneck: Any) -> None:
    """Bring a prior's quantiles, the median among them, to where they belong."""
    if hasattr(bottleneck, "_update_quantiles"):
        bottleneck._update_quantiles()
        return
    # That of a variable rate has the same weights by other names, and no such method.
    models = import_compressai().models
    state = {f"prior.{key}": value for key, value in bottleneck.state_dict().items()}
    state = models.utils.remap_old_keys("prior", state)
    plain = import_compressai().entropy_models.EntropyBottleneck(bottleneck.channels)
    names = [name for name, _ in plain.named_parameters()]
    plain.load_state_dict({name: state[f"prior.{name}"] for name in names}, strict=False)
    plain._update_quantiles()
    bottleneck.quantiles.data.copy_(plain.quantiles)


def _crop(pictures: list[NDArray[np.float32]], rng: np.random.Generator) -> NDArray[np.float32]:
    picture = pictures[rng.integers(len(pictures))]
    top, left = (rng.integers(size - SIDE + 1) for size in picture.shape[1:])
    return picture[:, top : top + SIDE, left : left + SIDE]
