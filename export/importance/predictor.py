"""The network that predicts what a picture's levels are worth (MFIP in MFIBA), and its training.

MFIBA's own layers are not published. This one looks at each cell of the coarsest level: a
projection of every level, brought to that grid, and what the neighbours have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fcmrt.export.layers import FeatureNorm
from fcmrt.export.train.source import Features

CLIP = 6.0
"""Normalised features are clipped to this: outliers say nothing more than that they are."""


class ImportancePredictor(nn.Module):
    """All levels to logarithms of importances, cell by cell of the coarsest level.

    Args:
        channels: Of each level, finest first.
        strides: Of each level, in cells of the finest.
        width: Channels of a level's projection.
        mixed: Channels between the last two convolutions.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], width: int = 16, mixed: int = 32
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(FeatureNorm(count) for count in channels)
        self.projections = nn.ModuleList()
        for count, stride in zip(channels, strides, strict=True):
            side = strides[-1] // stride
            self.projections.append(
                nn.Sequential(
                    nn.Conv2d(count, width, 1), nn.ReLU(), nn.Conv2d(width, width, side, side)
                )
            )
        self.mix = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width * len(channels), mixed, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(mixed, len(channels), 1),
        )

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level, finest first."""
        return tuple(norm.mean.numel() for norm in self.norms)

    def forward(self, *features: Tensor) -> Tensor:
        """Features (`[N, C, H, W]`) to logarithms, `[N, levels, h, w]`."""
        levels = [
            projection(norm(feature).clamp(-CLIP, CLIP))
            for projection, norm, feature in zip(
                self.projections, self.norms, features, strict=True
            )
        ]
        out: Tensor = self.mix(torch.cat(levels, 1))
        return out


def deviance(predicted: Tensor, measured: Tensor) -> Tensor:
    """Poisson deviance, a scalar: least where the mean is right, also of rare large values."""
    least = 1e-6
    found = predicted.clamp(min=least)
    wanted = measured.clamp(min=least)
    return 2 * (wanted * (wanted / found).log() - (wanted - found)).mean()


def train(
    network: ImportancePredictor,
    features: Callable[[NDArray[np.int64]], Features],
    measured: NDArray[np.float64],
    *,
    epochs: int,
    batch: int = 16,
    rate: float = 2e-3,
    seed: int = 0,
) -> list[float]:
    """Trains a predictor on pictures whose importances were measured, and on their mirror images.

    The loss is the deviance of whole levels, and that of their parts.

    Args:
        network: Normalisation set; trained in place.
        features: Gives the features of pictures, by number.
        measured: Importances of parts, `[pictures, levels, h, w]`.
        epochs: Passes over all pictures.
        batch: Pictures per step.
        rate: Of learning, at the beginning; falls to 0 along a cosine.
        seed: Of the order, and of the mirroring.

    Returns:
        The mean deviance of each epoch.
    """
    rng = np.random.default_rng([seed, 4])
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    steps = epochs * -(-len(measured) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    history = []
    network.train()
    for _ in range(epochs):
        order = rng.permutation(len(measured))
        parts = []
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            flips = torch.from_numpy(rng.random(len(chosen)) < 0.5)[:, None, None, None]
            levels = [torch.from_numpy(level).float() for level in features(chosen)]
            levels = [torch.where(flips, level.flip(3), level) for level in levels]
            wanted = torch.from_numpy(measured[chosen]).float()
            wanted = torch.where(flips, wanted.flip(3), wanted)
            found = network(*levels).exp()
            loss = deviance(found.mean((2, 3)), wanted.mean((2, 3))) + deviance(found, wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            parts.append(float(loss.detach()))
        history.append(float(np.mean(parts)))
    network.eval()
    return history
