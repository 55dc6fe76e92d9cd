"""Checkpoints of the public ELIC that CompressAI's `Elic2022Chandelier` was made of.

The networks are the same; the names are of before CompressAI put its latents into codecs.
Source of the names: github VincentChandelier/ELiC-ReImplemetation, `Network.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_GROUP = "latent_codec.y.latent_codec.y"
_RENAMED = (
    (re.compile(r"^(h_a|h_s|entropy_bottleneck)\."), lambda m: f"latent_codec.hyper.{m[1]}."),
    (
        re.compile(r"^cc_transforms\.(\d+)\."),
        lambda m: f"latent_codec.y.channel_context.y{int(m[1]) + 1}.",
    ),
    (
        re.compile(r"^context_prediction\.(\d+)\."),
        lambda m: f"{_GROUP}{m[1]}.context_prediction.",
    ),
    (re.compile(r"^ParamAggregation\.(\d+)\."), lambda m: f"{_GROUP}{m[1]}.entropy_parameters."),
)


def with_names_of_compressai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights by CompressAI's names; those that have them already stay as they are."""
    return {_renamed(key): value for key, value in state.items()}


def _renamed(key: str) -> str:
    for pattern, name in _RENAMED:
        key = pattern.sub(name, key)
    return key
