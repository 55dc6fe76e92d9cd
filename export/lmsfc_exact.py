"""Fine-tuning of the exact hyper-synthesis of an L-MSFC codec."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .entropy import MEAN_GRID, STEPS_PER_OCTAVE
from .exact import IntegerNetwork
from .exact.tuning import tune
from .lmsfc import Lmsfc

QUALITIES = (-20, 20)
"""Steps `d` that fine-tuning draws, as training does."""

HOLD = 1.0
"""Bits that a mean's shift by one quantiser step counts as in fine-tuning, squared."""


@dataclass(frozen=True, slots=True)
class Latents:
    """Latents of pictures, as the codec's analysis gives them."""

    y: Tensor
    """float32 `[N, M, H, W]`."""
    z: Tensor
    """float32 `[N, C, h, w]`, not rounded."""


@torch.no_grad()
def latents_of(codec: Lmsfc, features: Iterable[Sequence[Tensor]]) -> Latents:
    """Runs the codec's analysis on batches of features.

    Args:
        codec: Trained.
        features: Batches of feature maps, finest first, each float32 `[N, C_i, H_i, W_i]`; all of
            one size.
    """
    batches = [codec.analysis(*maps).float() for maps in features]
    y = torch.cat(batches)
    return Latents(y, torch.cat([codec.hyper_analysis(batch).float() for batch in batches]))


class _Exact(nn.Module):
    """An exact network where a codec has its hyper-synthesis."""

    def __init__(self, network: IntegerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        mean, index = self.network(z_hat)
        return mean / MEAN_GRID, index


def with_exact(codec: Lmsfc, network: IntegerNetwork) -> Lmsfc:
    """Returns a codec with the same weights, and the network (not a copy) as hyper-synthesis."""
    same = copy.copy(codec)
    same._modules = {**codec._modules, "hyper_synthesis": _Exact(network)}
    return same


def tune_hyper_synthesis(
    codec: Lmsfc,
    network: IntegerNetwork,
    latents: Latents,
    *,
    steps: int,
    batch: int = 8,
    seed: int = 0,
) -> list[float]:
    """Trains the integers for the rate of really rounded symbols, and holds the means in place.

    Args:
        codec: With the float hyper-synthesis, whose means are held; not changed.
        network: Its exact form, as `convert_path` gives it; changed.
        latents: Of pictures as they occur in use, never of those the codec is judged by.
        steps: Steps of training.
        batch: Pictures per step.
        seed: Of the pictures and qualities drawn.

    Returns:
        The loss of every step: bits per picture, weighted, and the price of moved means.
    """
    exact = with_exact(codec, network)
    rng = np.random.default_rng(seed)

    def loss(step: int) -> Tensor:
        drawn = torch.from_numpy(rng.integers(0, len(latents.y), batch))
        y = latents.y[drawn]
        d = torch.from_numpy(rng.integers(QUALITIES[0], QUALITIES[1] + 1, batch))
        size = (y.shape[-2], y.shape[-1])
        with torch.no_grad():
            z_hat = torch.round(latents.z[drawn])
            held, _ = codec.hyper(z_hat, size)
        mean, _ = exact.hyper(z_hat, size)
        width = torch.exp2(d.float() / STEPS_PER_OCTAVE).reshape(-1, 1, 1, 1)
        moved = ((mean - held) / width).square().flatten(1).sum(1)
        # Balanced over the qualities as in training: bits weigh width^1.5.
        weight = width.flatten() ** 1.5
        return (weight * (exact.entropy_forward([y], d) + HOLD * moved)).mean()

    return tune(network, loss, steps=steps)
