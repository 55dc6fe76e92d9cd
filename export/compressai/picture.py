"""How CompressAI's models take and give pictures, and what is the same in all their schedules."""

from __future__ import annotations

from typing import Any, Literal

from fcmrt.spec import FeatureSpec, Padding

from ..bottleneck import EntropyBottleneck
from ..deployment import DeploymentBuilder

LATENT_STRIDE = 16
"""Side of a cell of `y`, in pixels."""

HYPER_STRIDE = 64
"""Side of a cell of `z`, in pixels."""

MEAN_BITS = 16
"""Means are rounded to 2^-16, so that few symbols depend on it, and those at a tie."""

PICTURE, DECODED = "x", "x_hat"
"""The picture, float32 0..1 in RGB, and what is decoded of it."""

PRIOR_RANGE = 2047
"""Integers of a factorised prior that have a place in tables, to either side of the median."""


def picture_builder(
    multiple: int, align: Literal["start", "center"] = "center"
) -> DeploymentBuilder:
    """Begins a schedule from picture to picture.

    Args:
        multiple: What height and width are brought to a multiple of, with zeros.
        align: Where the picture lies; in the middle where CompressAI evaluates its models
            (`compressai.utils.eval_model`).
    """
    build = DeploymentBuilder([FeatureSpec(PICTURE, 3, 1)], Padding(multiple, "zero", align))
    build.tensor(DECODED, 3, 1)
    return build


def prior_of(bottleneck: Any) -> EntropyBottleneck:
    """Returns the prior that a `compressai.entropy_models.EntropyBottleneck` has learned.

    That of its variable-rate models, `EntropyBottleneckVbr`, has names of an older version.
    """
    from compressai.models.utils import remap_old_keys

    prior = EntropyBottleneck(bottleneck.channels)
    state = {f"prior.{key}": value for key, value in bottleneck.state_dict().items()}
    state = remap_old_keys("prior", state)
    prior.load_state_dict({key: state[f"prior.{key}"] for key in prior.state_dict()})
    return prior
