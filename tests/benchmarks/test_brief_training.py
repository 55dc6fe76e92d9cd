"""Brief training: features are learned through the schedule, and medians are those of `z`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.brief_training import start_prior, train
from fcmrt.export.context import ContextConfig
from fcmrt.export.deployment import Deployment
from fcmrt.export.layers import initialise
from fcmrt.export.lmsfc_v2 import LmsfcV2Config
from fcmrt.export.lmsfc_v2_engine import deploy_lmsfc_v2
from fcmrt.export.lmsfc_v2_published import PublishedLmsfcV2
from fcmrt.export.reference import TorchReference

NAMES = ["p3", "p4", "p5"]


def pictures() -> list[dict[str, np.ndarray]]:
    """The same in all cells of a channel, but for noise: easily learned."""
    rng = np.random.default_rng(0)
    values = 3 * rng.standard_normal((4, 1, 1))
    return [
        {
            name: (values + 0.1 * rng.standard_normal((4, 64 >> k, 96 >> k))).astype(np.float32)
            for k, name in enumerate(NAMES)
        }
        for _ in range(3)
    ]


def error(deployment: Deployment, picture: dict[str, np.ndarray]) -> float:
    reference = TorchReference(deployment)
    levels = [level[None] for level in picture.values()]
    walk = reference.encode(levels, deployment.quality.shift(deployment.quality.default))
    decoded = reference.decode(walk).tensors
    return sum(
        float(np.square(decoded[f"{name}_hat"] - level).mean() / level.var())
        for name, level in picture.items()
    )


@pytest.fixture(scope="module")
def codec() -> PublishedLmsfcV2:
    torch.manual_seed(0)
    config = LmsfcV2Config(
        feature_channels=(4, 4, 4),
        width=8,
        latent_stride=8,
        hyper_widths=(5, 6),
        hyper_out=7,
        kernel=3,
        attention_levels=(0, 2),
        context=ContextConfig(groups=(2, 4), channel_widths=(6, 5), aggregation_widths=(8, 7)),
    )
    codec = PublishedLmsfcV2(config, 6)
    codec.apply(initialise)
    start_prior(codec.prior)
    return codec


def test_what_is_trained_serves_the_codec(codec: PublishedLmsfcV2) -> None:
    examples = pictures()
    before = error(deploy_lmsfc_v2(codec, NAMES), examples[0])
    deployment = deploy_lmsfc_v2(codec, NAMES)
    train(deployment, codec.prior, examples, steps=40, side=32, batch=2)
    after = deploy_lmsfc_v2(codec, NAMES)
    assert error(after, examples[0]) < 0.7 * before
    medians = codec.prior.medians.detach()
    assert medians.abs().min() > 0
    z = deployment.networks["analysis"](
        *(torch.from_numpy(level)[None, :, :32, :32][..., : 32 >> k, : 32 >> k]
          for k, level in enumerate(examples[0].values())),
        torch.full((1, 1, 1, 1), 2.0),
    )[-1]  # fmt: skip
    assert (z - medians).abs().mean() < z.abs().mean()


def test_a_new_prior_is_as_broad_as_compressais(codec: PublishedLmsfcV2) -> None:
    start_prior(codec.prior)
    shares = codec.prior.probabilities(-40, 40)
    assert shares.sum(1).min() > 0.9
    assert shares.max() < 0.2
