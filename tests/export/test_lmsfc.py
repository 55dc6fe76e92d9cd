"""The codec's networks for published, light and odd sizes, and its entropy model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export import entropy, layers, lmsfc  # noqa: E402
from fcmrt.export.lmsfc import LMSFC_NANODET_LIGHT, LMSFC_V1_PUBLISHED, Lmsfc  # noqa: E402

SMALL = replace(
    LMSFC_NANODET_LIGHT,
    feature_channels=(4, 6, 8),
    width=8,
    latent_channels=10,
    hyper_channels=6,
)


def pyramid(config: lmsfc.LmsfcConfig, side: int, batch: int = 1) -> list[torch.Tensor]:
    """Random features whose finest level has the given side."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, channels, side >> level, side >> level, generator=generator)
        for level, channels in enumerate(config.feature_channels)
    ]


@pytest.mark.parametrize(
    ("config", "side", "latent", "hyper"),
    [
        (LMSFC_NANODET_LIGHT, 52, 26, 7),
        (LMSFC_V1_PUBLISHED, 32, 2, 1),
        (SMALL, 52, 26, 7),
        (replace(SMALL, latent_stride=1), 16, 16, 4),
        (replace(SMALL, latent_stride=4, hyper_stride=2), 20, 5, 3),
        (replace(SMALL, latent_stride=16), 48, 3, 1),
        (replace(SMALL, feature_channels=(4,), latent_stride=2), 10, 5, 2),
        (replace(SMALL, feature_channels=(4, 5, 6, 7), latent_stride=32), 64, 2, 1),
        (replace(SMALL, feature_channels=(4, 5, 6, 7), gdn=True, latent_stride=2), 16, 8, 2),
    ],
)
def test_sizes(config: lmsfc.LmsfcConfig, side: int, latent: int, hyper: int) -> None:
    model = Lmsfc(config).eval()
    features = pyramid(config, side)
    with torch.no_grad():
        y = model.analysis(*features)
        z = model.hyper_analysis(y)
        mean, index = model.hyper_synthesis(torch.round(z))
        decoded = model.synthesis(y)
    assert y.shape == (1, config.latent_channels, latent, latent)
    assert z.shape == (1, config.hyper_channels, hyper, hyper)
    grown = hyper * config.hyper_stride
    assert mean.shape == index.shape == (1, config.latent_channels, grown, grown)
    assert grown >= latent
    assert [f.shape for f in decoded] == [f.shape for f in features]


def test_published_tables() -> None:
    model = Lmsfc(LMSFC_V1_PUBLISHED)
    kinds = [[type(block).__name__ for block in stage] for stage in model.analysis.stages]
    assert kinds == [
        ["ResidualBlockWithStride", "ResidualBlock"],
        ["ResidualBlockWithStride", "AttentionBlock", "ResidualBlock"],
        ["ResidualBlockWithStride", "ResidualBlock"],
        ["Conv2d", "AttentionBlock"],
    ]
    rb, rbu, attention = "ResidualBlock", "ResidualBlockUpsample", "AttentionBlock"
    branches = [[type(block).__name__ for block in b] for b in model.synthesis.branches]
    assert branches == [
        [rb, rbu, rb, rbu, attention, rb, rbu, rb, "Sequential"],
        [rb, rbu, rb, rbu, attention, rb, rbu],
        [rb, rbu, rb, rbu],
        [rb, rbu],
    ]
    millions = {n: sum(p.numel() for p in m.parameters()) / 1e6 for n, m in model.named_children()}
    assert millions["analysis"] == pytest.approx(3.81, abs=0.02)
    assert millions["synthesis"] == pytest.approx(30.7, abs=0.1)
    assert millions["hyper_analysis"] == pytest.approx(0.74, abs=0.01)
    assert millions["hyper_synthesis"] == pytest.approx(2.73, abs=0.01)


def test_normalisation_is_undone() -> None:
    norm = layers.FeatureNorm(3)
    norm.set(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 2.0, 0.0]))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(norm.inverse(norm(x)), x)


@pytest.mark.parametrize("index", [-5.0, 0.0, 24.0, 63.0, 80.0])
def test_bits_are_those_of_the_clipped_gaussian(index: float) -> None:
    symbols = torch.arange(-3.0, 4.0).reshape(1, 1, 1, -1)
    sigma = entropy.SIGMA_0 * 2 ** (min(max(index, 0), 63) / 8)

    def cdf(x: float) -> float:
        return 0.5 * math.erfc(-x / sigma / math.sqrt(2))

    expected = sum(
        -math.log2(max(cdf(s + 0.5) - cdf(s - 0.5), entropy.MIN_LIKELIHOOD)) for s in range(-3, 4)
    )
    actual = entropy.estimate_bits(symbols, torch.full_like(symbols, index))
    assert actual.item() == pytest.approx(expected, rel=1e-4)


def test_prior_is_a_distribution() -> None:
    prior = entropy.ChannelPrior(5)
    with torch.no_grad():
        prior.centre.normal_()
        prior.log_scale.uniform_(-3, 1)
    table = prior.probabilities(-60, 60)
    assert table.shape == (5, 121)
    torch.testing.assert_close(table.sum(1), torch.ones(5, dtype=torch.float64))
    z = torch.tensor([-1.0, 0.0, 2.0]).reshape(1, 1, 1, 3).repeat(1, 5, 1, 1)
    with torch.no_grad():
        direct = prior.likelihood(z)[0, :, 0]
    torch.testing.assert_close(direct, table[:, [59, 60, 62]].float(), rtol=1e-3, atol=1e-5)


def test_quantise_follows_the_shared_rules() -> None:
    torch.manual_seed(0)
    model = Lmsfc(SMALL).eval()
    features = pyramid(SMALL, 52, batch=2)
    d = torch.tensor([-6, 9])
    with torch.no_grad():
        y = model.analysis(*features)
        y_hat, y_bits, z_bits = model.quantise(y, d)
        mean, index = model.hyper_synthesis(torch.round(model.hyper_analysis(y)))
    mean = torch.round(mean[..., :26, :26] * 64) / 64
    step = 2.0 ** (d.reshape(2, 1, 1, 1) / 8)
    torch.testing.assert_close(y_hat, mean + step * torch.round((y - mean) / step))
    assert float((y_hat - y).abs().amax((1, 2, 3)).div(step.flatten()).max()) <= 0.5001
    assert (y_bits[0] > y_bits[1]).item()
    assert (z_bits > 0).all()
    assert index.min() > -1000  # continuous and unclipped: no table was applied


def test_training_pass_reaches_every_parameter() -> None:
    model = Lmsfc(SMALL)
    features = pyramid(SMALL, 16, batch=2)
    result = model(features, torch.tensor([-20, 20]), torch.Generator().manual_seed(1))
    (result.bits.sum() + sum(f.square().mean() for f in result.features)).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_configuration_round_trips_and_refuses() -> None:
    assert lmsfc.LmsfcConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(ValueError, match="power of two"):
        replace(SMALL, latent_stride=3)
    with pytest.raises(ValueError, match="at least one level"):
        replace(SMALL, feature_channels=())
