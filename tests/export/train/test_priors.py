"""Priors fitted to what is rounded."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.codecs import make_codec  # noqa: E402
from fcmrt.export.entropy import ChannelPrior  # noqa: E402
from fcmrt.export.train.priors import fit_prior, fit_priors  # noqa: E402

from .conftest import TINY  # noqa: E402


def test_a_prior_comes_near_the_entropy_of_its_integers() -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.binomial(6, 0.5, 4000) - 3, np.full(4000, 2), rng.integers(0, 2, 4000)]
    z = torch.tensor(np.stack(drawn, 1), dtype=torch.float32)[..., None, None]
    prior = ChannelPrior(3).requires_grad_(False)
    fit_prior(prior, z)
    found = -torch.log2(prior.likelihood(z)).mean((0, 2, 3))
    for channel, values in enumerate(drawn):
        shares = np.unique(values, return_counts=True)[1] / len(values)
        assert float(found[channel]) <= -(shares * np.log2(shares)).sum() + 0.05
    assert not any(parameter.requires_grad for parameter in prior.parameters())


def test_all_priors_of_a_codec_are_fitted_and_nothing_else() -> None:
    torch.manual_seed(0)
    codec = make_codec(TINY).eval()
    features = [
        torch.randn(3, count, side, side)
        for count, side in zip(TINY.feature_channels, (16, 8, 4), strict=True)
    ]
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    bits = codec.round_trip(features, torch.zeros(3)).z_bits.sum()
    fit_priors(codec, features)
    assert codec.round_trip(features, torch.zeros(3)).z_bits.sum() < 0.5 * bits
    changed = {n for n, value in codec.state_dict().items() if not torch.equal(value, before[n])}
    assert changed
    assert all("prior" in name for name in changed)
