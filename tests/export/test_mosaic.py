"""Channels side by side in a picture: nothing is lost, and any codec of pictures takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fcmrt import Decoder, Encoder
from fcmrt.export.coding import gaussians, hyper_latent, quality_of, step_table
from fcmrt.export.deployment import Deployment, DeploymentBuilder
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.entropy import ChannelPrior
from fcmrt.export.levels_deploy import side_by_side
from fcmrt.export.mosaic import Layout, Tile, Untile, deploy_mosaic, measured_range
from fcmrt.export.reference import TorchReference
from fcmrt.export.tables import channel_tables
from fcmrt.spec import FeatureSpec, LatentSpec, Padding

from .batches import assert_takes_batches


def limits(channels: int) -> tuple[Tensor, Tensor]:
    low = -torch.arange(1.0, channels + 1)
    return low, low + 3


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 20),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    replicated=st.booleans(),
)
def test_untile_undoes_tile(
    channels: int, rows: int, columns: int, height: int, width: int, replicated: bool
) -> None:
    if channels > rows * columns * (1 if replicated else 3):
        with pytest.raises(ValueError, match="do not fit"):
            Layout(channels=channels, rows=rows, columns=columns, replicated=replicated)
        return
    layout = Layout(channels=channels, rows=rows, columns=columns, replicated=replicated)
    low, high = limits(channels)
    x = low[:, None, None] + 3 * torch.rand(2, channels, height, width)
    picture = Tile(layout, low, high, bits=None)(x)
    assert picture.shape == (2, 3, rows * height, columns * width)
    assert 0 <= picture.min() <= picture.max() <= 1
    torch.testing.assert_close(Untile(layout, low, high)(picture), x, atol=1e-5, rtol=1e-5)
    rounded = Untile(layout, low, high)(Tile(layout, low, high)(x))
    assert (rounded - x).abs().max() <= 0.5001 * 3 / 255


def test_patches_lie_column_by_column_as_published() -> None:
    """Patch i of the 86 of 256 channels is in row i mod 10, column i div 10 of 10 x 9."""
    layout = Layout(channels=256, rows=10, columns=9)
    x = torch.arange(256.0).reshape(1, 256, 1, 1).expand(1, 256, 2, 3) / 255
    picture = Tile(layout, torch.zeros(256), torch.ones(256), bits=None)(x)
    assert picture.shape == (1, 3, 20, 27)
    for channel in (0, 1, 2, 3, 29, 30, 100, 255):
        patch, plane = divmod(channel, 3)
        row, column = patch % 10, patch // 10
        found = picture[0, plane, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        assert torch.equal(found, x[0, channel])
    assert picture.count_nonzero() == 255 * 6  # spare cells are 0, as is channel 0


def test_values_beyond_the_range_are_clipped() -> None:
    layout = Layout.square(2)
    low, high = measured_range(
        [torch.tensor([[-1.0, 4.0]]).reshape(1, 2, 1, 1), torch.ones(1, 2, 2, 1)]
    )
    assert low.tolist() == [-1, 1]
    assert high.tolist() == [1, 4]
    x = torch.tensor([-300.0, 300.0]).reshape(1, 2, 1, 1)
    back = Untile(layout, low, high)(Tile(layout, low, high)(x))
    assert back.flatten().tolist() == [-1, 4]


@pytest.mark.parametrize(
    ("channels", "replicated", "side"),
    [(3, False, 1), (4, False, 2), (128, False, 8), (256, False, 16), (64, True, 8), (1, True, 1)],
)
def test_least_square(channels: int, replicated: bool, side: int) -> None:
    layout = Layout.square(channels, replicated=replicated)
    assert (layout.rows, layout.columns) == (side, side)


class Halving(nn.Module):
    """A codec of pictures that is one convolution: y and z at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        y, z = (8 * self.conv(picture)).split([6, 2], 1)
        return y, z


class Parameters(nn.Module):
    def forward(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([z_hat] * 3, 1) * 0.1, torch.cat([z_hat] * 3, 1) + 30


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(8, 3, 4, stride=4)

    def forward(self, y_hat: Tensor, z_hat: Tensor) -> Tensor:
        return self.conv(torch.cat([y_hat, z_hat], 1))


def of_pictures() -> Deployment:
    torch.manual_seed(0)
    build = DeploymentBuilder([FeatureSpec("picture", 3, 1)], Padding(4, "zero", "center"))
    build.tensor("y", 6, 4)
    build.tensor("z", 2, 4)
    build.tensor("y_mean", 6, 4, "int32")
    build.tensor("y_index", 6, 4, "int32")
    build.tensor("picture_hat", 3, 1)
    build.encoder("analysis", Halving(), ["picture"], ["y", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("parameters", Parameters(), ["z_hat"], ["y_mean", "y_index"])
    build.coded("y", LatentSpec("y", "gaussian", "y_index", "y_mean", True, 0), "y_hat")
    build.decoder("synthesis", Doubling(), ["y_hat", "z_hat"], ["picture_hat"])
    prior = ChannelPrior(2).probabilities(-20, 20).numpy()
    return build.finish(
        family="one-convolution",
        outputs={"picture": "picture_hat"},
        tables={"gaussian": gaussians(), "hyper": channel_tables(prior, -20)},
        mean_bits=6,
        steps=step_table(),
        quality=quality_of((8, 0, -8)),
    )


@pytest.mark.parametrize("size", [(8, 12), (7, 5), (1, 1)])
def test_levels_through_a_codec_of_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    """Two levels of 12 and 40 channels, in squares of 2 and 4 patches a side."""
    channels = {"p3": 12, "p4": 40}
    parts = [
        deploy_mosaic(of_pictures(), name, Layout.square(c), -torch.ones(c), torch.ones(c))
        for name, c in channels.items()
    ]
    assert [part.tensors["y"].stride for part in parts] == [2, 1]
    deployment = with_half_weights(side_by_side(parts, [1, 2]))
    engine = write(tmp_path / "mosaic.fcmrt", deployment, name="mosaic")
    for name in engine.manifest.graphs:
        run = deployment.runs[name]
        shapes = {key: engine.manifest.shape(key, (4, 8)) for key in run.inputs}
        assert_takes_batches(name, engine.graph(name), shapes)
    rng = np.random.default_rng(1)
    features = {
        name: rng.normal(0, 0.5, (c, -(-size[0] // stride), -(-size[1] // stride))).astype(
            np.float32
        )
        for (name, c), stride in zip(channels.items(), (1, 2), strict=True)
    }
    walk = Encoder(engine).walk(features, step=0)
    assert all(np.unique(integers.symbols).size > 1 for integers in walk.integers.values())
    decoded = Decoder(engine).decode(Encoder(engine).code(walk))
    wanted = TorchReference(deployment).decode(walk)
    for name, found in decoded.items():
        whole = wanted.tensors[engine.manifest.outputs[name]][0]
        assert found.shape == features[name].shape
        top, left = (n - m for n, m in zip(whole.shape[1:], found.shape[1:], strict=True))
        top, left = top // 2, left // 2
        rows, columns = found.shape[1:]
        np.testing.assert_allclose(
            found, whole[:, top : top + rows, left : left + columns], atol=1e-4
        )


def test_what_does_not_fit_is_refused() -> None:
    wide = Layout(channels=12, rows=1, columns=4)
    with pytest.raises(ValueError, match="square"):
        deploy_mosaic(of_pictures(), "p3", wide, *limits(12))
    large = Layout.square(192)
    with pytest.raises(ValueError, match="strides that 8 divides"):
        deploy_mosaic(of_pictures(), "p3", large, *limits(192))
