"""The space-channel context sees what a decoder has at that moment, and nothing else."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.context import (  # noqa: E402
    CheckerboardConv,
    ContextConfig,
    SpaceChannelContext,
    anchors,
)

CONFIG = ContextConfig(groups=(2, 3, 4), channel_widths=(5, 6), aggregation_widths=(9, 8))


def test_anchors_are_the_even_cells() -> None:
    mask = anchors(3, 4, torch.zeros(1))
    assert mask.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]


def test_checkerboard_looks_at_the_other_colour_only() -> None:
    torch.manual_seed(0)
    layer = CheckerboardConv(2, 3, 5)
    x = torch.randn(1, 2, 9, 8)
    mask = anchors(9, 8, x)
    changed = x + torch.randn(1, 2, 9, 8) * (1 - mask)
    with torch.no_grad():
        same = layer(x) == layer(changed)
    # Cells of the colour that changed see the others only.
    assert same[..., mask == 0].all()
    assert not same[..., mask == 1].any()


def test_groups_seen() -> None:
    assert [CONFIG.earlier(k) for k in range(3)] == [(), (0,), (0, 1)]
    five = ContextConfig()
    assert five.earlier(4) == (0, 3)
    assert five.earlier_channels(4) == 16 + 64
    everything = ContextConfig(all_earlier=True)
    assert everything.earlier(4) == (0, 1, 2, 3)
    assert everything.earlier_channels(4) == 16 + 16 + 32 + 64


@pytest.mark.parametrize("k", [0, 1, 2])
def test_parameters_of_a_group(k: int) -> None:
    torch.manual_seed(k)
    context = SpaceChannelContext(CONFIG, 7)
    hyper = torch.randn(2, 7, 6, 5)
    known = [torch.randn(2, group, 6, 5) for group in CONFIG.groups[:k]]
    said = context.from_groups(k, known)
    assert len(said) == (k > 0)
    nothing = torch.zeros(2, CONFIG.groups[k], 6, 5)
    mean, scale = context.anchor_parameters(k, said, hyper)
    assert mean.shape == scale.shape == nothing.shape
    # Anchors are told nothing by their own group, not even the bias of the spatial context.
    other, _ = context.other_parameters(k, nothing, said, hyper)
    assert not torch.equal(mean, other)
    with torch.no_grad():
        context.spatial[k].bias.zero_()
    other, _ = context.other_parameters(k, nothing, said, hyper)
    torch.testing.assert_close(mean, other)
