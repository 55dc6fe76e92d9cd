"""A small codec of two levels, as training leaves it."""

from __future__ import annotations

from pathlib import Path

import torch

from fcmrt.export.codecs import family_of, make_codec
from fcmrt.export.lmsfc import LmsfcConfig

TWO_LEVELS = LmsfcConfig(
    feature_channels=(6, 8),
    width=8,
    latent_channels=6,
    latent_stride=2,
    hyper_channels=6,
    gdn=False,
    hyper_relu=True,
    mixing_kernel=3,
)


def save_two_levels(path: Path) -> Path:
    """Writes a checkpoint of drawn weights, the same ones each time."""
    torch.manual_seed(0)
    average = make_codec(TWO_LEVELS).state_dict()
    held = {"family": family_of(TWO_LEVELS), "config": TWO_LEVELS.to_dict(), "average": average}
    torch.save(held, path)
    return path
