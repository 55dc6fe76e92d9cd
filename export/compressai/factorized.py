"""One latent with a prior per channel: bmshj2018-factorized, with GDN or ReLU.

Source: arXiv 1802.01436.
"""

from __future__ import annotations

from typing import Any

from ..coding import hyper_latent
from ..deployment import Deployment
from ..medians import LessMedians, PlusMedians
from .folding import folded
from .networks import Synthesis
from .picture import (
    DECODED,
    LATENT_STRIDE,
    MEAN_BITS,
    PICTURE,
    PRIOR_RANGE,
    picture_builder,
    prior_of,
)


def deploy_factorized(model: Any) -> Deployment:
    """Returns how a factorised-prior model is run; nothing on its entropy path is a network.

    Args:
        model: `compressai.models.FactorizedPrior` or `FactorizedPriorReLU`; borrowed.
    """
    prior = prior_of(model.entropy_bottleneck)
    build = picture_builder(LATENT_STRIDE)
    build.tensor("y", model.M, LATENT_STRIDE)
    analysis = LessMedians(folded(model.g_a), prior.medians)
    build.encoder("analysis", analysis, [PICTURE], ["y"])
    build.coded("y", hyper_latent("y", "prior"), "y_hat")
    synthesis = PlusMedians(Synthesis(model.g_s), prior.medians)
    build.decoder("synthesis", synthesis, ["y_hat"], [DECODED])
    return build.finish(
        family="compressai-factorized",
        outputs={PICTURE: DECODED},
        tables={"prior": prior.tables(PRIOR_RANGE)},
        mean_bits=MEAN_BITS,
    )
