"""L-MSFC v2: sizes, what predicts what, and that real rounding decodes what was encoded."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export import codecs  # noqa: E402
from fcmrt.export.codec import FeatureCodec  # noqa: E402
from fcmrt.export.context import ContextConfig  # noqa: E402
from fcmrt.export.lmsfc import LmsfcConfig  # noqa: E402
from fcmrt.export.lmsfc_v2 import (  # noqa: E402
    LMSFC_V2_NANODET_LIGHT,
    LMSFC_V2_PUBLISHED,
    LmsfcV2,
    LmsfcV2Config,
)

SMALL = replace(
    LMSFC_V2_NANODET_LIGHT,
    feature_channels=(6, 5, 4),
    width=8,
    hyper_widths=(5, 6),
    hyper_out=7,
    context=ContextConfig(groups=(2, 4), channel_widths=(5, 4), aggregation_widths=(6, 5)),
)


def pyramid(config: LmsfcV2Config, rows: int, columns: int, batch: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    return [
        torch.randn(batch, c, -(-rows // 2**i), -(-columns // 2**i), generator=generator)
        for i, c in enumerate(config.feature_channels)
    ]


def codec(config: LmsfcV2Config = SMALL) -> LmsfcV2:
    torch.manual_seed(1)
    return LmsfcV2(config).eval()


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (SMALL, (8, 12)),
        (replace(SMALL, latent_stride=8), (16, 8)),
        (replace(SMALL, latent_stride=4, kernel=5), (16, 24)),
        (replace(SMALL, feature_channels=(6, 5, 4, 3), latent_stride=16), (32, 16)),
    ],
)
def test_sizes(config: LmsfcV2Config, size: tuple[int, int]) -> None:
    model, features = codec(config), pyramid(config, *size, batch=2)
    y = model.analysis(*features)
    latent = tuple(side // config.latent_stride for side in size)
    assert y.shape == (2, config.latent_channels, *latent)
    assert model.hyper_analysis(y).shape == (2, 5, *(-(-side // 4) for side in latent))
    decoded = model.synthesis(y)
    assert [level.shape for level in decoded] == [level.shape for level in features]


def test_published_widths_have_the_published_numbers_of_weights() -> None:
    """Counted from the layers of the public training code, in millions."""
    with torch.device("meta"):
        model = LmsfcV2(LMSFC_V2_PUBLISHED)
    millions = {
        name: sum(p.numel() for p in part.parameters()) * 1e-6
        for name, part in model.named_children()
    }
    assert millions["analysis"] == pytest.approx(13.06, abs=0.01)
    assert millions["hyper_analysis"] == pytest.approx(2.40, abs=0.01)
    assert millions["hyper_synthesis"] == pytest.approx(3.96, abs=0.01)
    assert millions["context"] == pytest.approx(5.80 + 2.13 + 4.82, abs=0.02)
    assert millions["synthesis"] == pytest.approx(27.55, abs=0.05)


def test_a_cell_is_predicted_from_what_was_coded_before() -> None:
    """Changing an element of y changes no parameter of what is coded before it, nor its own."""
    model = codec()
    y = 3 * torch.randn(1, 6, 6, 4)
    z_hat = torch.round(model.hyper_analysis(y))
    step = torch.ones(1, 1, 1, 1)

    def order(channel: int, row: int, column: int) -> tuple[int, int]:
        return (channel >= 2, (row + column) % 2)

    def same(value: torch.Tensor) -> torch.Tensor:
        return value

    with torch.no_grad():
        before = model.code(y, z_hat, step, torch.round, same)
        for place in [(0, 2, 2), (0, 2, 1), (3, 3, 1), (5, 0, 1)]:
            changed = y.clone()
            changed[0][place] += 7
            after = model.code(changed, z_hat, step, torch.round, same)
            differs = (before.mean != after.mean) | (before.index != after.index)
            found = {order(*at) for at in differs[0].nonzero().tolist()}
            assert all(coded > order(*place) for coded in found)
            assert bool(found) == (order(*place) != (True, 1))


def test_training_pass_and_round_trip_agree_in_kind() -> None:
    model, features = codec(), pyramid(SMALL, 16, 16, batch=2)
    d = torch.tensor([-8, 8])
    trained = model(features, d, torch.Generator().manual_seed(0))
    trained.bits.sum().backward()
    used = [p.grad is not None for name, p in model.named_parameters() if "synthesis." not in name]
    assert all(used)
    real = model.round_trip(features, d)
    assert [f.shape for f in real.features] == [f.shape for f in features]
    assert 0.3 < float(real.bits[0].detach() / trained.bits[0].detach()) < 3
    assert real.y_bits[1] < real.y_bits[0]


def test_configurations_survive_json() -> None:
    assert LmsfcV2Config.from_dict(SMALL.to_dict()) == SMALL
    for config in codecs.PRESETS.values():
        family = codecs.family_of(config)
        assert codecs.config_from(family, config.to_dict()) == config


def test_families() -> None:
    assert isinstance(codecs.make_codec(SMALL), LmsfcV2)
    assert codecs.family_of(LmsfcConfig()) == "lmsfc-v1"
    assert isinstance(codecs.make_codec(codecs.PRESETS["lmsfc-nanodet-light"]), FeatureCodec)
    with pytest.raises(ValueError, match="not known"):
        codecs.config_from("nobody", {})
