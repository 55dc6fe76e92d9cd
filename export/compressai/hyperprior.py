"""A latent whose deviations, and perhaps means, are predicted from a second one.

The models bmshj2018-hyperprior (arXiv 1802.01436) and mbt2018-mean (arXiv 1809.02736).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from fcmrt.spec import ONE_STEP, LatentSpec, Quality, StepTable

from ..coding import hyper_latent
from ..deployment import ONE_QUALITY, Deployment
from ..medians import PlusMedians
from ..scale_index import ScaleIndex, scale_tables
from .folding import folded
from .networks import Analysis, MeanAndIndex, Synthesis
from .picture import (
    DECODED,
    HYPER_STRIDE,
    LATENT_STRIDE,
    MEAN_BITS,
    PICTURE,
    PRIOR_RANGE,
    picture_builder,
    prior_of,
)


def deploy_hyperprior(
    model: Any,
    *,
    family: str = "compressai-hyperprior",
    steps: StepTable = ONE_STEP,
    quality: Quality = ONE_QUALITY,
) -> Deployment:
    """Returns how a hyperprior model is run.

    Args:
        model: `compressai.models.ScaleHyperprior`, `MeanScaleHyperprior`, or what has their
            networks; borrowed.
        family: Which kind of codec it is.
        steps: Of the quantiser of `y`, if it has more than one.
        quality: Of the codec.
    """
    prior = prior_of(model.entropy_bottleneck)
    means = has_means(model)
    build = picture_builder(HYPER_STRIDE)
    build.tensor("y", model.M, LATENT_STRIDE)
    build.tensor("z", model.N, HYPER_STRIDE)
    build.tensor("y_index", model.M, LATENT_STRIDE, "int32")
    analysis = Analysis(model.g_a, model.h_a, prior.medians, [model.M], of_magnitudes=not means)
    build.encoder("analysis", analysis, [PICTURE], ["y", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    outputs = ["y_index"]
    if means:
        build.tensor("y_mean", model.M, LATENT_STRIDE, "int32")
        outputs = ["y_mean", "y_index"]
    known = MeanAndIndex(model.M) if means else ScaleIndex()
    hyper_synthesis = PlusMedians(nn.Sequential(folded(model.h_s), known), prior.medians)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], outputs)
    step = len(steps.values) > 1
    mean = "y_mean" if means else None
    build.coded("y", LatentSpec("y", "gaussian", "y_index", mean, step=step, skip=0), "y_hat")
    build.decoder("synthesis", Synthesis(model.g_s), ["y_hat"], [DECODED])
    return build.finish(
        family=family,
        outputs={PICTURE: DECODED},
        tables={"gaussian": scale_tables(), "hyper": prior.tables(PRIOR_RANGE)},
        mean_bits=MEAN_BITS,
        steps=steps,
        quality=quality,
    )


def has_means(model: Any) -> bool:
    """Returns whether a hyperprior model predicts means, or deviations alone."""
    from compressai.models import MeanScaleHyperprior

    return isinstance(model, MeanScaleHyperprior)
