"""How a training goes: its options, the learning rate, and the qualities that are drawn.

Everything depends on the share of the training that is done, by steps or by time, so that a run
with a time limit has its decay and its polish within it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

QUALITIES = (-20, 20)
LEVEL_SPREAD = 10
"""Qualities of a picture's levels differ from the picture's by at most this, where they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything that decides the result, besides the features."""

    steps: int
    minutes: float | None = None
    """Of training, pauses not counted; the run ends at whichever limit comes first."""
    batch: int = 8
    lr: float = 8e-4
    prior_lr_factor: float = 10.0
    """The tables of z learn so many times faster than the networks."""
    seed: int = 0
    only: tuple[int, ...] = ()
    """Levels that are trained, by number, the finest is 0; none named: all."""
    distortion_weight: float = 3.0
    """Weight of the distortion at step 1 ("lambda")."""
    features_first: float = 0.0
    """Share of the training, at its beginning, whose distortion is the features' errors alone."""
    warmup: int = 200
    """Steps of linear warm-up."""
    decay: float = 0.4
    """Share of the training, at the end, over which the learning rate falls to 2 %."""
    polish: float = 0.05
    """Share of the training, at its end, that trains the entropy model alone, on real rounding."""
    clip: float = 1.0
    """Gradient norm."""
    ema: float = 0.998
    """Decay of the averaged weights."""
    validate_every: int = 500
    validation_crops: int = 16
    statistics_crops: int = 64
    checkpoint_s: float = 300.0
    """Seconds between checkpoints."""


def share_done(options: TrainOptions, step: int, seconds: float) -> float:
    """Share of the training that is done after so many steps and seconds; 1 or more at its end."""
    by_steps = step / options.steps
    return by_steps if options.minutes is None else max(by_steps, seconds / (60 * options.minutes))


def is_polish(options: TrainOptions, share: float) -> bool:
    """Whether only the entropy model is trained from this share on."""
    return share >= 1 - options.polish - 1e-9  # 2 / 3 is less than 1 - 1 / 3


def learning_rate(options: TrainOptions, step: int, share: float) -> float:
    """Warm-up by steps, constant, cosine decay to 2 %; the polish has a decay of its own."""
    if is_polish(options, share):
        return 0.25 * options.lr * max(0.0, 1 - share) / options.polish
    start, end = 1 - options.decay, 1 - options.polish
    if share < start:
        return options.lr * min(1.0, (step + 1) / options.warmup)
    done = (share - start) / (end - start)
    return options.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def draw_qualities(seed: int, step: int, batch: int, levels: int | None = None) -> Tensor:
    """Integer qualities, spread evenly over the range.

    Args:
        seed: Of the training.
        step: Of the training.
        batch: Pictures.
        levels: Levels that have a quality each, around the picture's; None: the picture has one.

    Returns:
        int64 `[batch]` or `[batch, levels]`.
    """
    rng = np.random.default_rng([seed, step, 1])
    low, high = QUALITIES
    spread = (np.arange(batch) + rng.random(batch)) / batch
    drawn = rng.permutation(low + (spread * (high - low + 1)).astype(np.int64))
    if levels is not None:
        around = rng.integers(-LEVEL_SPREAD, LEVEL_SPREAD + 1, (batch, levels))
        drawn = np.clip(drawn[:, None] + around, low, high)
    return torch.from_numpy(drawn)
