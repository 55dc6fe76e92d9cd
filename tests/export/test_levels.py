"""Codecs side by side: what each level costs, its own quality, and shared parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export import codecs  # noqa: E402
from fcmrt.export.codec import FeatureCodec  # noqa: E402
from fcmrt.export.codecs import LevelsConfig  # noqa: E402
from fcmrt.export.lmsfc import LMSFC_NANODET_LIGHT, LmsfcConfig  # noqa: E402

SIZES = [(13, 9), (7, 5), (4, 3)]


def level(channels: int) -> LmsfcConfig:
    return replace(
        LMSFC_NANODET_LIGHT,
        feature_channels=(channels,),
        width=6,
        latent_channels=5,
        hyper_channels=4,
    )


OWN = LevelsConfig(levels=3, codecs=(level(4), level(6), level(3)))
SHARED = LevelsConfig(levels=3, codecs=(level(4),))


def codec(config: LevelsConfig) -> FeatureCodec:
    torch.manual_seed(3)
    return codecs.make_codec(config).eval()


def maps(config: LevelsConfig, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        3 * torch.randn(batch, channels, *size, generator=generator)
        for channels, size in zip(config.feature_channels, SIZES, strict=True)
    ]


@pytest.mark.parametrize("config", [OWN, SHARED], ids=["own", "shared"])
def test_levels_add_up(config: LevelsConfig) -> None:
    model, features = codec(config), maps(config)
    whole = model.round_trip(features, torch.tensor([-4, 4]))
    assert [decoded.shape for decoded in whole.features] == [f.shape for f in features]
    assert len(whole.parts) == 3
    torch.testing.assert_close(sum(part.bits for part in whole.parts), whole.bits)
    assert (whole.y_bits[0] > whole.y_bits[1]).item()


@pytest.mark.parametrize("moved", range(3))
def test_quality_of_a_level_moves_that_level_only(moved: int) -> None:
    model, features = codec(OWN), maps(OWN)
    d = torch.zeros(2, 3, dtype=torch.int64)
    before = model.round_trip(features, d)
    as_one = model.round_trip(features, d[:, 0])
    torch.testing.assert_close(before.bits, as_one.bits, rtol=0, atol=0)
    d[:, moved] = 16
    after = model.round_trip(features, d)
    for i, (one, other) in enumerate(zip(before.parts, after.parts, strict=True)):
        assert torch.equal(one.bits, other.bits) == (i != moved)
        assert torch.equal(one.features[0], other.features[0]) == (i != moved)


@pytest.mark.parametrize("config", [OWN, SHARED], ids=["own", "shared"])
def test_training_reaches_every_parameter(config: LevelsConfig) -> None:
    model, features = codec(config), maps(config)
    d = torch.tensor([[-9, 0, 9], [3, 3, 3]])
    result = model(features, d, torch.Generator().manual_seed(0))
    (result.bits.sum() + sum(f.square().mean() for f in result.features)).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_polish_trains_the_entropy_model_only() -> None:
    model, features = codec(OWN), maps(OWN)
    for transform in model.transforms():
        transform.requires_grad_(False)
    latents = model.latents(features)
    assert len(latents) == 3
    bits = model.entropy_forward(latents, torch.tensor([0, 8]))
    bits.sum().backward()
    trained = {name.split(".")[2] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"hyper_analysis", "hyper_synthesis", "prior"}
    # Real rounding, but for the grid of means and integer indexes.
    real = model.round_trip(features, torch.tensor([0, 8]))
    torch.testing.assert_close(bits.detach(), real.bits, rtol=0.02, atol=2.0)


def test_shared_parameters_have_a_normalisation_for_each_level() -> None:
    model = codec(SHARED)
    one = sum(p.numel() for p in codecs.make_codec(level(4)).parameters())
    assert sum(p.numel() for p in model.parameters()) == one
    means = [torch.full((4,), float(i)) for i in range(3)]
    model.set_feature_statistics(means, [torch.ones(4)] * 3)
    assert [float(one.analysis.norms[0].mean[0, 0]) for one in model.codecs] == [0, 1, 2]
    assert [float(one.synthesis.norms[0].mean[0, 0]) for one in model.codecs] == [0, 1, 2]
    with torch.no_grad():
        next(iter(model.codecs[2].analysis.parameters())).fill_(7)
    assert next(iter(model.codecs[0].analysis.parameters())).unique().tolist() == [7]
    again = codec(SHARED)
    again.load_state_dict(model.state_dict())
    features = maps(SHARED)
    d = torch.tensor([1, 2])
    torch.testing.assert_close(
        again.round_trip(features, d).bits, model.round_trip(features, d).bits
    )


def test_configurations_survive_json_and_refuse() -> None:
    for config in (OWN, SHARED):
        assert codecs.config_from("levels", config.to_dict()) == config
        assert codecs.family_of(config) == "levels"
    assert SHARED.feature_channels == (4, 4, 4)
    with pytest.raises(ValueError, match="as many codecs or one"):
        replace(OWN, levels=4)
    with pytest.raises(ValueError, match="one feature map"):
        LevelsConfig(levels=1, codecs=(LMSFC_NANODET_LIGHT,))


def test_levels_that_are_not_trained_stay_uncoded_and_as_they_are() -> None:
    model, features = codec(OWN), maps(OWN)
    model.train_only([1])
    coded = model(features, torch.tensor([-4, 4]))
    for number, (part, decoded, feature) in enumerate(
        zip(coded.parts, coded.features, features, strict=True)
    ):
        assert torch.equal(decoded, feature) == (number != 1)
        assert bool(part.bits.any()) == (number == 1)
    coded.bits.sum().backward()
    moved = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"1"}
    polished = model.entropy_forward(model.latents(features), torch.tensor([-4, 4]))
    alone = model.round_trip(features, torch.tensor([-4, 4])).parts[1].bits
    torch.testing.assert_close(polished, alone, rtol=0.05, atol=1.0)


@pytest.mark.parametrize(
    ("config", "levels", "message"), [(OWN, [3], "levels are 0 to 2"), (SHARED, [0], "one codec")]
)
def test_only_levels_with_a_codec_of_their_own(
    config: LevelsConfig, levels: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        codec(config).train_only(levels)
