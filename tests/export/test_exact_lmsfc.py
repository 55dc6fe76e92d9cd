"""L-MSFC with an exact hyper-synthesis: the engine, fine-tuning, and what settling promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fcmrt import Decoder, Encoder
from fcmrt.errors import EngineError
from fcmrt.export.engine import write
from fcmrt.export.entropy import Z_RANGE
from fcmrt.export.exact import IntegerNetwork
from fcmrt.export.exact.path import convert_path
from fcmrt.export.lmsfc import Lmsfc, LmsfcConfig
from fcmrt.export.lmsfc_engine import deploy_lmsfc
from fcmrt.export.lmsfc_exact import Latents, latents_of, tune_hyper_synthesis, with_exact

LIGHT = LmsfcConfig(
    feature_channels=(6, 8),
    width=8,
    latent_channels=6,
    latent_stride=2,
    hyper_channels=6,
    hyper_stride=4,
    gdn=False,
    hyper_relu=True,
)
LEAKY = LmsfcConfig(
    feature_channels=(4, 4), width=8, latent_channels=6, latent_stride=2, hyper_channels=6
)

NAMES = ["p3", "p4"]

Made = tuple[Lmsfc, Latents, IntegerNetwork]


def features_of(config: LmsfcConfig, count: int, side: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, channels, side >> level, side >> level, generator=generator) * 4
        for level, channels in enumerate(config.feature_channels)
    ]


def batches_of(codec: Lmsfc) -> list[list[Tensor]]:
    return [features_of(codec.config, 4, 32, seed) for seed in range(3)]


def exact_network(codec: Lmsfc) -> IntegerNetwork:
    pictures = [
        [level[k : k + 1].numpy() for level in batch]
        for batch in batches_of(codec)
        for k in range(4)
    ]
    return convert_path(deploy_lmsfc(codec, NAMES), pictures)["hyper_synthesis"]


@pytest.fixture(scope="module", params=[LIGHT, LEAKY], ids=["relu", "leaky"])
def made(request: pytest.FixtureRequest) -> Made:
    torch.manual_seed(0)
    codec = Lmsfc(request.param).eval()
    with torch.no_grad():
        codec.hyper_analysis.layers[-1].weight.mul_(8)  # so that z is not all 0
    return codec, latents_of(codec, batches_of(codec)), exact_network(codec)


def test_the_codec_stays_what_it_was(made: Made) -> None:
    codec, latents, network = made
    assert latents.z.round().unique().numel() > 4
    exact = with_exact(codec, network)
    d = torch.tensor([-10, 0, 10, 20] * 3)
    y_hat, y_bits, _ = codec.quantise(latents.y, d)
    other_hat, other_bits, _ = exact.quantise(latents.y, d)
    assert abs(other_bits.sum() / y_bits.sum() - 1) < 0.01
    error, other = ((hat - latents.y).square().mean() for hat in (y_hat, other_hat))
    assert abs(other / error - 1) < 0.01


def test_an_exact_engine_decodes_what_the_network_says(made: Made, tmp_path: Path) -> None:
    codec, _, network = made
    path = tmp_path / "exact.fcmrt"
    deployment = deploy_lmsfc(codec, NAMES).with_networks({"hyper_synthesis": network})
    engine = write(path, deployment, name="small")
    assert engine.manifest.profile == "exact"
    assert dict(engine.manifest.exact["hyper_synthesis"]) == dict(network.proof().layers)
    # A size that is no multiple of anything: the networks' outputs are cropped.
    features = {
        name: level[0, :, : 27 >> n, : 21 >> n].numpy()
        for n, (name, level) in enumerate(
            zip(NAMES, features_of(codec.config, 1, 32, 9), strict=True)
        )
    }
    features = {
        name: np.pad(
            x, ((0, 0), (0, -(-27 // 2**n) - x.shape[1]), (0, -(-21 // 2**n) - x.shape[2]))
        )
        for n, (name, x) in enumerate(features.items())
    }
    packet = Encoder(engine, quality=6).encode(features)
    integers = Decoder(engine).integers(packet)
    latent = engine.manifest.tensors["y"]
    rows, columns = (-(-side // latent.stride) for side in (28, 22))
    z = integers["z"].symbols.reshape(1, codec.config.hyper_channels, -(-rows // 4), -1)
    assert np.abs(z).max() <= Z_RANGE
    with torch.no_grad():
        mean, index = network(torch.from_numpy(z).double())
    d = engine.manifest.quality.levels[5]
    wanted = mean[..., :rows, :columns].reshape(-1).numpy()
    np.testing.assert_array_equal(integers["y"].means, wanted)
    wanted = np.clip(index[..., :rows, :columns].reshape(-1).numpy() - d, 0, 63)
    np.testing.assert_array_equal(integers["y"].indexes, wanted)


def test_tuning_lowers_the_rate_and_keeps_the_proof(made: Made) -> None:
    codec, latents, _ = made
    d = torch.arange(-18, 18, 3)

    def bits(network: IntegerNetwork) -> float:
        with torch.no_grad():
            return float(with_exact(codec, network).entropy_forward([latents.y], d).sum())

    network = exact_network(codec)
    before = bits(network)
    losses = tune_hyper_synthesis(codec, network, latents, steps=15)
    assert len(losses) == 15
    assert bits(network) < before
    for layer in network.sums().values():
        assert (layer.weight == layer.weight.round()).all()
    network.proof()


def test_weights_over_the_bound_are_refused_until_they_are_settled(made: Made) -> None:
    codec, _, _ = made
    network = exact_network(codec)
    head = network.sums()["head"]
    with torch.no_grad():
        head.bias += 2.0**24
    with pytest.raises(EngineError, match="head"):
        network.proof()
    network.settle()
    assert network.proof().layers["head"] < 2**24
