"""The networks of a deployed context give what the training form gives, and engines of them too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fcmrt import Decoder, Encoder
from fcmrt.export.codec import FeatureCodec
from fcmrt.export.codecs import LevelsConfig, make_codec
from fcmrt.export.context import ContextConfig, anchors
from fcmrt.export.deployment import Deployment
from fcmrt.export.elic import ElicConfig
from fcmrt.export.engine import write
from fcmrt.export.entropy import INDEX_START, INDEXES_PER_OCTAVE
from fcmrt.export.lictcm_features import LicTcmFeaturesConfig
from fcmrt.export.lmsfc_v2 import LmsfcV2Config
from fcmrt.export.trained import deploy_codec
from fcmrt.groups import quality_groups
from fcmrt.kernels.api import StepMap

CONTEXT = ContextConfig(
    groups=(2, 3, 4), channel_widths=(6, 5), channel_kernel=3, aggregation_widths=(8, 7)
)
V2 = LmsfcV2Config(
    feature_channels=(6, 5), width=8, latent_stride=2, hyper_widths=(5, 6), hyper_out=7,
    kernel=3, context=CONTEXT,
)  # fmt: skip
ELIC = ElicConfig(
    feature_channels=(6,), width=8, strides=(2, 1), attention_stages=(1,), hyper_widths=(5, 6),
    hyper_out=7, kernel=3, context=replace(CONTEXT, all_earlier=True),
)  # fmt: skip
LEVELS = LevelsConfig(levels=2, codecs=(ELIC, replace(ELIC, feature_channels=(4,))))
SHARED = LevelsConfig(levels=2, codecs=(ELIC,))
TCM = LicTcmFeaturesConfig(
    feature_channels=(6,), width=4, slices=(3, 5), window=2, head_channels=2, hyper_widths=(4, 5),
    hyper_out=6, squeezed=4, slice_widths=(5, 4),
)  # fmt: skip
SHARED_TCM = LevelsConfig(levels=2, codecs=(TCM,))
NAMES = ["p3", "p4"]


def codec_of(config: V2 | ELIC | LEVELS) -> FeatureCodec:
    """A codec with seeded weights, rounded to float16 as engines store them."""
    torch.manual_seed(5)
    codec = make_codec(config).eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.copy_(parameter.half().float())
    means = [torch.linspace(-1, 1, channels) for channels in config.feature_channels]
    codec.set_feature_statistics(means, [torch.full_like(mean, 0.5) for mean in means])
    return codec


def run(network: nn.Module, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        found = network(*inputs)
    return (found,) if isinstance(found, torch.Tensor) else found


@pytest.mark.parametrize("config", [V2, ELIC], ids=["lmsfc-v2", "elic"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_networks_of_a_group_are_the_training_form(config: V2 | ELIC, k: int) -> None:
    codec = codec_of(config)
    networks = deploy_codec(codec, NAMES[: config.levels]).networks
    context, groups = codec.context, config.context.groups
    hyper = torch.randn(1, 7, 6, 5)
    even = anchors(6, 5, hyper)
    known = [torch.randn(1, group, 6, 5) for group in groups]
    earlier = [part * half for j in config.context.earlier(k) for part in [known[j]]
               for half in (even, 1 - even)]  # fmt: skip
    with torch.no_grad():
        said = context.from_groups(k, known)
        anchor = context.anchor_parameters(k, said, hyper)
        other = context.other_parameters(k, known[k] * even, said, hyper)
    if k:
        (channel,) = run(networks[f"channel_{k}"], *earlier)
        torch.testing.assert_close(channel, said[0], atol=1e-5, rtol=1e-5)
    sources = [*said, hyper]
    for found, (mean, octaves) in (
        (run(networks[f"anchor_{k}"], *sources), anchor),
        (run(networks[f"other_{k}"], known[k] * even, *sources), other),
    ):
        torch.testing.assert_close(found[0], mean, atol=1e-5, rtol=1e-5)
        index = octaves * INDEXES_PER_OCTAVE + INDEX_START
        torch.testing.assert_close(found[1], index, atol=1e-4, rtol=1e-5)


def test_anchors_are_not_computed_from_zeros() -> None:
    """The deployed anchor networks have no inputs for the spatial source, which says nothing."""
    codec = codec_of(ELIC)
    for k, group in enumerate(ELIC.context.groups):
        network = deploy_codec(codec, ["p3"]).networks[f"anchor_{k}"]
        (first, *_) = (m for m in network.modules() if isinstance(m, nn.Conv2d))
        assert first.in_channels == 7 + (2 * group if k else 0)


def without_skipping(deployment: Deployment) -> Deployment:
    """Training counts on all elements being coded."""
    latents = {name: replace(latent, skip=0) for name, latent in deployment.latents.items()}
    return replace(deployment, latents=latents)


ODD = 10, 18
"""The coarsest level has an odd number of rows and columns, and is cropped."""

WINDOWS = 16, 24
"""No level needs padding, which the training form codes no bits for."""


@pytest.mark.parametrize(
    ("config", "size"),
    [(V2, ODD), (LEVELS, ODD), (SHARED, ODD), (SHARED_TCM, WINDOWS)],
    ids=["lmsfc-v2", "elic", "elic-shared", "lic-tcm-shared"],
)
def test_engine_gives_what_the_codec_gives(
    config: V2 | LEVELS, size: tuple[int, int], tmp_path
) -> None:
    codec = codec_of(config)
    channels = config.feature_channels
    deployment = without_skipping(deploy_codec(codec, NAMES[: len(channels)]))
    engine = write(tmp_path / "small.fcmrt", deployment, name="small")
    rows, columns = size
    rng = np.random.default_rng(0)
    features = {
        name: rng.normal(0, 1, (c, rows >> i, columns >> i)).astype(np.float32)
        for i, (name, c) in enumerate(zip(NAMES, channels, strict=False))
    }
    for d in (13, 1):
        packet = Encoder(engine).code(Encoder(engine).walk(features, step=d))
        decoded = Decoder(engine).decode(packet)
        expected = codec.round_trip(
            [torch.from_numpy(level)[None] for level in features.values()], torch.tensor([d])
        )
        # A packet has a head and the final states of its lanes, here of some 50 bytes.
        ideal = float(expected.bits) / 8
        assert 0.95 * ideal < len(bytes(packet)) < 1.1 * ideal + 64
        for (name, level), wanted in zip(decoded.items(), expected.features, strict=True):
            error = np.abs(level - wanted[0].numpy())
            assert level.shape == features[name].shape
            # A value at a tie moves what is predicted from it.
            assert (error > 1e-3 * np.abs(wanted.numpy()).max()).mean() < 0.02, name


def test_levels_apart_take_steps_apart(tmp_path) -> None:
    """A same-engine codec with contexts: the groups of its schedule, and packets that use them."""
    engine = write(tmp_path / "small.fcmrt", deploy_codec(codec_of(LEVELS), NAMES), name="small")
    groups = quality_groups(engine.manifest)
    assert [group.name for group in groups] == NAMES
    assert groups[1].sources == {"p4_y0": 0, "p4_y1": 2, "p4_y2": 5}
    assert groups[1].channels == 9
    rng = np.random.default_rng(0)
    features = {
        "p3": rng.normal(0, 1, (6, 10, 18)).astype(np.float32),
        "p4": rng.normal(0, 1, (4, 5, 9)).astype(np.float32),
    }
    encoder = Encoder(engine)
    importance = encoder.importance(features, level_offsets={"p4": -6}, roi=[(0, 0, 0.4, 0.6)])
    importance = replace(importance, mix=(3, 4))
    walk = encoder.requantise(encoder.walk(features, step=12), step=4, importance=importance)
    packet = encoder.code(walk)
    assert packet == encoder.encode(features, step=4, importance=importance)
    found = Decoder(engine).integers(packet)
    for latent, integers in walk.integers.items():
        assert np.array_equal(found[latent].symbols, integers.symbols)
    numbers, _ = walk.steps("p4_y1_anchor")
    assert isinstance(numbers, StepMap)
    assert set(numbers.numbers.tolist()) == {-2, -1, -10, -9}  # two of its three channels are mixed
