"""ELIC of one level: its layers, odd sizes, and what predicts what."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export import codecs  # noqa: E402
from fcmrt.export.context import ContextConfig  # noqa: E402
from fcmrt.export.elic import Elic, ElicConfig  # noqa: E402

SMALL = ElicConfig(
    feature_channels=(6,),
    width=8,
    strides=(2, 1),
    attention_stages=(1,),
    hyper_widths=(5, 6),
    hyper_out=7,
    kernel=3,
    context=ContextConfig(
        groups=(2, 3, 4), channel_widths=(5, 4), aggregation_widths=(6, 5), all_earlier=True
    ),
)


def codec(config: ElicConfig = SMALL) -> Elic:
    torch.manual_seed(1)
    return Elic(config).eval()


def layers(blocks: torch.nn.Module) -> list[str]:
    short = {"ResidualBottleneck": "rbb", "AttentionBlock": "attention"}
    names = [type(block).__name__ for block in blocks]
    return [short.get(name, name) for name in names]


def test_published_layers() -> None:
    with torch.device("meta"):
        model = Elic(ElicConfig(feature_channels=(3,)))
    rbb, conv, deconv, attention = ["rbb"] * 3, ["Conv2d"], ["ConvTranspose2d"], ["attention"]
    assert layers(model.analysis.blocks) == (
        conv + rbb + conv + rbb + attention + conv + rbb + conv + attention
    )
    assert layers(model.synthesis.blocks) == (
        attention + deconv + rbb + deconv + attention + rbb + deconv + rbb + deconv
    )
    sizes = [b.out_channels for b in model.analysis.blocks if isinstance(b, torch.nn.Conv2d)]
    assert sizes == [192, 192, 192, 320]


@pytest.mark.parametrize("size", [(13, 13), (8, 8), (7, 1), (1, 1), (12, 20)])
@pytest.mark.parametrize("strides", [(2, 1), (2, 2), (1,), (2, 2, 2, 2)])
def test_any_size(size: tuple[int, int], strides: tuple[int, ...]) -> None:
    model = codec(replace(SMALL, strides=strides))
    x = torch.randn(2, 6, *size)
    (y,) = model.latents([x])
    stride = model.config.latent_stride
    assert y.shape == (2, 9, *(-(-side // stride) for side in size))
    assert model.hyper_analysis(y).shape == (2, 5, *(-(-side // (4 * stride)) for side in size))
    real = model.round_trip([x], torch.tensor([-4, 4]))
    trained = model([x], torch.tensor([-4, 4]), torch.Generator().manual_seed(0))
    assert real.features[0].shape == trained.features[0].shape == x.shape
    assert (real.bits > 0).all()


def test_a_cell_is_predicted_from_what_was_coded_before() -> None:
    """And a group from all the groups before it."""
    model = codec()
    y = 3 * torch.randn(1, 9, 6, 4)
    z_hat = torch.round(model.hyper_analysis(y))
    step = torch.ones(1, 1, 1, 1)

    def order(channel: int, row: int, column: int) -> tuple[int, int]:
        return ((channel >= 2) + (channel >= 5), (row + column) % 2)

    def same(value: torch.Tensor) -> torch.Tensor:
        return value

    with torch.no_grad():
        before = model.code(y, z_hat, step, torch.round, same)
        for place in [(0, 2, 2), (1, 2, 1), (2, 3, 1), (4, 2, 3), (5, 0, 0), (8, 0, 1)]:
            changed = y.clone()
            changed[0][place] += 7
            after = model.code(changed, z_hat, step, torch.round, same)
            differs = (before.mean != after.mean) | (before.index != after.index)
            found = {order(*at) for at in differs[0].nonzero().tolist()}
            group, half = order(*place)
            later = {(g, h) for g in range(group + 1, 3) for h in (0, 1)}
            assert found == later | ({(group, 1)} if half == 0 else set())


def test_training_reaches_every_parameter() -> None:
    model, x = codec(), torch.randn(2, 6, 9, 7)
    result = model([x], torch.tensor([-8, 8]), torch.Generator().manual_seed(0))
    (result.bits.sum() + result.features[0].square().mean()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize("preset", ["elic-nanodet-light", "elic-movenet-light"])
def test_light_presets_are_light(preset: str) -> None:
    with torch.device("meta"):
        model = codecs.make_codec(codecs.PRESETS[preset])
    assert sum(p.numel() for p in model.parameters()) < 4.1e6


def test_configuration_round_trips_and_refuses() -> None:
    assert ElicConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(ValueError, match="one level"):
        replace(SMALL, feature_channels=(6, 5))
    with pytest.raises(ValueError, match="1 or 2"):
        replace(SMALL, strides=(3,))
