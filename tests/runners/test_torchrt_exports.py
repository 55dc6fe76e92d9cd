"""Blocks of published codecs, as our exporter writes them, at sizes other than the traced one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt.config import RuntimeOptions
from fcmrt.runner import make_runner

torch = pytest.importorskip("torch")
layers = pytest.importorskip("fcmrt.export.layers")
export = pytest.importorskip("fcmrt.export.onnx")


class WindowAttention(torch.nn.Module):  # type: ignore[misc]
    """Shifted windows, as in Swin blocks: what LIC-TCM is made of beside convolutions."""

    def __init__(self, channels: int, side: int, shift: int) -> None:
        super().__init__()
        self.side, self.shift = side, shift
        self.norm = torch.nn.LayerNorm(channels)
        self.lift = torch.nn.Linear(channels, 3 * channels)
        self.bias = torch.nn.Parameter(torch.randn(side**2, side**2))
        self.mix = torch.nn.Sequential(
            torch.nn.Linear(channels, channels), torch.nn.GELU(), torch.nn.Linear(channels, 1)
        )

    def forward(self, x: Any) -> Any:
        n, channels, rows, columns = x.shape
        side = self.side
        down, right = (-rows) % side, (-columns) % side
        x = torch.nn.functional.pad(x, (0, right, 0, down)).permute(0, 2, 3, 1)
        x = torch.roll(self.norm(x), (-self.shift, -self.shift), (1, 2))
        high, wide = x.shape[1] // side, x.shape[2] // side
        windows = x.reshape(n, high, side, wide, side, channels).permute(0, 1, 3, 2, 4, 5)
        windows = windows.reshape(-1, side * side, channels)
        q, k, v = self.lift(windows).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(-1, -2) / channels**0.5 + self.bias, -1)
        out = (weights @ v).reshape(n, high, wide, side, side, channels)
        out = out.permute(0, 1, 3, 2, 4, 5).reshape(n, high * side, wide * side, channels)
        out = torch.roll(out, (self.shift, self.shift), (1, 2))
        return self.mix(out).permute(0, 3, 1, 2)[:, :, :rows, :columns]


class Checkerboard(torch.nn.Module):  # type: ignore[misc]
    """Keeps every other cell of a latent, and squeezes its channels as ELIC's context does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.context = torch.nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.squeeze = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Conv2d(channels, channels, 1),
            torch.nn.Sigmoid(),
        )

    def forward(self, x: Any) -> Any:
        rows = torch.arange(x.shape[2])[:, None]
        columns = torch.arange(x.shape[3])[None, :]
        kept = torch.where((rows + columns) % 2 == 0, x, 0.0)
        context = self.context(kept)
        return torch.cat([context * self.squeeze(context), context.clamp(-1, 0.5)], 1)


BLOCKS = {
    "down": lambda: layers.ResidualBlockWithStride(6, 8),
    "up": lambda: layers.ResidualBlockUpsample(6, 8),
    "attention": lambda: layers.AttentionBlock(6),
    "transposed": lambda: torch.nn.Sequential(
        torch.nn.ConvTranspose2d(6, 8, 5, 2, padding=2, output_padding=1),
        layers.GDN(8, inverse=True),
        torch.nn.PReLU(8),
    ),
    "windows": lambda: WindowAttention(6, 4, 2),
    "checkerboard": lambda: Checkerboard(6),
    "nearest": lambda: torch.nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": lambda: torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_exported_blocks_compute_what_the_modules_compute(name: str) -> None:
    torch.manual_seed(0)
    module = BLOCKS[name]().eval()
    graph = export.export_graph(module, [torch.randn(1, 6, 8, 8)], ["x"], ["y"], half_weights=False)
    for precision, tolerance in (("float32", 1e-4), ("float64", 1e-4), ("float16", 2e-2)):
        options = RuntimeOptions(runner="torch", threads=1, precision=precision)
        runner = make_runner(options)
        network = runner.load(name, graph, exact=False)
        for rows, columns in ((8, 8), (10, 14), (5, 7)):
            x = torch.randn(1, 6, rows, columns)
            (found,) = network.run({"x": x.numpy()}, ["y"])
            with torch.inference_mode():
                expected = module(x).numpy()
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
