"""LIC-TCM of feature levels: sizes, padding, what predicts what, and the levels together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fcmrt import Decoder, Encoder
from fcmrt.export import codecs
from fcmrt.export.codec import unchanged
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.entropy import round_through
from fcmrt.export.levels import LevelCodecs
from fcmrt.export.levels_deploy import deploy_levels
from fcmrt.export.lictcm_features import (
    LICTCM_MOVENET_LIGHT,
    LICTCM_NANODET_LIGHT,
    LicTcmFeatures,
    LicTcmFeaturesConfig,
    padded,
)
from fcmrt.export.lictcm_features_deploy import deploy_lictcm_features
from fcmrt.export.reference import TorchReference
from fcmrt.spec import padded_size

SMALL = LicTcmFeaturesConfig(
    feature_channels=(5,),
    width=4,
    slices=(2, 3, 4),
    window=2,
    head_channels=2,
    hyper_widths=(4, 5),
    hyper_out=6,
    squeezed=4,
    slice_widths=(5, 4),
)


def codec(config: LicTcmFeaturesConfig = SMALL) -> LicTcmFeatures:
    torch.manual_seed(1)
    return LicTcmFeatures(config).eval()


def level(rows: int, columns: int, channels: int = 5, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return 3 * torch.randn(batch, channels, rows, columns, generator=generator)


@pytest.mark.parametrize(("halvings", "window"), [(1, 2), (1, 3), (2, 2)])
def test_sizes(halvings: int, window: int) -> None:
    config = replace(SMALL, halvings=halvings, window=window)
    model = codec(config)
    assert config.multiple == 2**halvings * window
    feature = level(config.multiple + 1, config.multiple)
    (y,) = model.latents([feature])
    assert y.shape == (1, 9, 2 * window, window)
    decoded = model.round_trip([feature], torch.zeros(1)).features
    assert decoded[0].shape == feature.shape


def test_levels_are_padded_as_the_runtime_pads_them() -> None:
    x = level(3, 6)
    assert torch.equal(padded(x, 4)[..., 3, :6], x[..., 1, :])
    assert torch.equal(padded(x, 4)[..., :3, 6:], x[..., [4, 3]])
    one = level(1, 1)
    assert torch.equal(padded(one, 4), one.expand(1, 5, 4, 4))
    assert padded(level(4, 8), 4).shape == (1, 5, 4, 8)


def test_a_slice_is_predicted_from_the_slices_before() -> None:
    model = codec()
    y = 3 * torch.randn(1, 9, 4, 6)
    z_hat = torch.round(model.hyper_analysis(y))
    step = torch.ones(1, 1, 1, 1)
    ends = [2, 5, 9]
    with torch.no_grad():
        before = model.code(y, z_hat, step, torch.round, unchanged)
        for k, channel in enumerate([0, 3, 8]):
            changed = y.clone()
            changed[0, channel] += 5
            after = model.code(changed, z_hat, step, torch.round, unchanged)
            differs = (before.mean != after.mean) | (before.index != after.index)
            found = differs.any((0, 2, 3))
            assert not found[: ends[k]].any()
            assert bool(found[ends[k] :].any()) == (k < 2)


def test_what_rounding_took_away_is_predicted_within_bounds() -> None:
    model = codec()
    y = 3 * torch.randn(1, 9, 4, 6)
    z_hat = torch.round(model.hyper_analysis(y))
    with torch.no_grad():
        coded = model.code(y, z_hat, torch.ones(1, 1, 1, 1), torch.round, unchanged)
    rounded = coded.mean + torch.round(y - coded.mean)
    moved = (coded.y_hat - rounded).abs()
    assert 0 < moved.max() <= 0.5


def test_gradients_reach_every_weight() -> None:
    model = codec().train()
    features = [level(9, 8, batch=2)]
    trained = model(features, torch.tensor([-8, 8]), torch.Generator().manual_seed(0))
    (trained.bits.sum() + trained.features[0].square().sum()).backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None]
    assert not lacking
    y = (3 * torch.randn(1, 9, 4, 4)).requires_grad_()
    z_hat = torch.zeros(1, 4, 1, 1)
    model.code(y, z_hat, torch.ones(1, 1, 1, 1), round_through, unchanged).y_hat.sum().backward()
    assert y.grad is not None


@pytest.mark.parametrize(
    ("presets", "side", "canonical"),
    [(LICTCM_NANODET_LIGHT, 52, 56), (LICTCM_MOVENET_LIGHT, 64, 64)],
    ids=["nanodet", "movenet"],
)
def test_light_presets_are_light_and_pad_little(
    presets: tuple[LicTcmFeaturesConfig, ...], side: int, canonical: int
) -> None:
    with torch.device("meta"):
        models = [LicTcmFeatures(config) for config in presets]
    assert sum(p.numel() for model in models for p in model.parameters()) < 3.2e6
    with torch.no_grad():
        container = LevelCodecs(LicTcmFeatures(config).eval() for config in presets)
        names = [f"l{i}" for i in range(len(presets))]
        deployment = deploy_levels(
            container, names, lambda one, name: deploy_lictcm_features(one, [name])
        )
    sizes = [(side >> i, side >> i) for i in range(len(presets))]
    found = padded_size(deployment.features, sizes, deployment.padding)
    assert found == (canonical, canonical)
    for i, config in enumerate(presets):
        assert -(side >> i) % config.multiple == (canonical - side) >> i


def test_configurations_survive_json() -> None:
    assert LicTcmFeaturesConfig.from_dict(SMALL.to_dict()) == SMALL
    assert isinstance(codecs.make_codec(SMALL), LicTcmFeatures)
    assert codecs.config_from("lic-tcm", SMALL.to_dict()) == SMALL


@pytest.mark.parametrize(
    "change", [{"feature_channels": (3, 3)}, {"halvings": 0}, {"window": 1}, {"squeezed": 3}]
)
def test_sizes_that_do_not_work_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"one level|at least|multiples"):
        replace(SMALL, **change)


def test_the_runtime_decodes_what_the_torch_networks_decode(tmp_path: Path) -> None:
    model = codec()
    deployment = with_half_weights(deploy_lictcm_features(model, ["p3"], levels=[8, 0, -8]))
    engine = write(tmp_path / "small.fcmrt", deployment, name="small")
    reference = TorchReference(deployment)
    for rows, columns in [(8, 12), (9, 5), (1, 1)]:
        x = level(rows, columns).numpy()
        walk = Encoder(engine).walk(x[0], step=0)
        wanted = reference.encode([x], 0)
        for name, integers in wanted.integers.items():
            assert (integers.symbols != walk.integers[name].symbols).mean() < 0.02, name
        assert any(integers.symbols.any() for integers in wanted.integers.values())
        decoded = Decoder(engine).decode(Encoder(engine).code(walk))["p3"]
        whole = reference.decode(walk).tensors["p3_hat"][0, :, :rows, :columns]
        np.testing.assert_allclose(decoded, whole, atol=1e-4 * np.abs(whole).max())
