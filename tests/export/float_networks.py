"""Small analysis and synthesis networks of the families, with seeded weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fcmrt.export.context import ContextConfig
from fcmrt.export.layers import GDN, AttentionBlock, conv, deconv
from fcmrt.export.lmsfc import Lmsfc, LmsfcConfig
from fcmrt.export.lmsfc_v2 import LmsfcV2, LmsfcV2Config
from fcmrt.export.onnx import export_graph

LIGHT = LmsfcConfig(
    feature_channels=(6, 8, 10),
    width=8,
    latent_channels=12,
    latent_stride=2,
    hyper_channels=6,
    gdn=False,
    mixing_kernel=3,
    lift_kernel=1,
)
WITH_GDN = dataclasses.replace(LIGHT, gdn=True, lift_kernel=3)


V2 = LmsfcV2Config(
    feature_channels=(6, 8, 10),
    width=8,
    latent_stride=2,
    hyper_widths=(6, 8),
    hyper_out=10,
    kernel=3,
    mixing_kernel=3,
    lift_kernel=1,
    context=ContextConfig(groups=(4, 8), channel_widths=(5, 4), aggregation_widths=(6, 5)),
)


class Transformer(nn.Module):
    """A convolution, then attention between all cells, then a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(6, 8, stride=2), deconv(8, 6)
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.first(x)
        n, c, rows, columns = maps.shape
        cells = maps.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(cells)).chunk(3, -1)
        weights = torch.softmax(q @ k.transpose(1, 2) * 8**-0.5, -1)
        cells = cells + nn.functional.gelu(self.out(weights @ v))
        return self.last(cells.transpose(1, 2).reshape(n, c, rows, columns))


@dataclasses.dataclass(frozen=True)
class FloatNetwork:
    """A module, and the sizes of its inputs in cells of the finest level."""

    name: str
    make: Callable[[], nn.Module]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    outputs: int

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def module(self) -> nn.Module:
        torch.manual_seed(3)
        return self.make().eval()

    @property
    def input_names(self) -> list[str]:
        return [f"x{i}" for i in range(len(self.channels))]

    @property
    def output_names(self) -> list[str]:
        return [f"y{i}" for i in range(self.outputs)]

    def inputs(self, seed: int, side: int = 16) -> dict[str, npt.NDArray[np.float32]]:
        """Maps as behind a ReLU-like activation: mostly small, some large."""
        rng = np.random.default_rng(seed)
        shapes = [(1, c, side // s, side // s) for c, s in zip(self.channels, self.strides,
                                                               strict=True)]  # fmt: skip
        maps = [np.maximum(rng.laplace(0, 1, shape), -0.3) for shape in shapes]
        return {
            name: values.astype(np.float32)
            for name, values in zip(self.input_names, maps, strict=True)
        }

    def export(self, **options: Any) -> bytes:
        examples = [torch.from_numpy(values) for values in self.inputs(0).values()]
        return export_graph(self.module, examples, self.input_names, self.output_names, **options)


def _codec(config: LmsfcConfig | LmsfcV2Config, part: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        codec = Lmsfc(config) if isinstance(config, LmsfcConfig) else LmsfcV2(config)
        for norm in codec.analysis.norms:
            norm.mean.uniform_(-1, 1)
            norm.std.uniform_(0.5, 2)
        module: nn.Module = getattr(codec, part)
        return module

    return make


PYRAMID = ((6, 8, 10), (1, 2, 4))
NETWORKS = [
    FloatNetwork("lmsfc analysis", _codec(LIGHT, "analysis"), *PYRAMID, 1),
    FloatNetwork("lmsfc synthesis", _codec(LIGHT, "synthesis"), (12,), (2,), 3),
    FloatNetwork("lmsfc analysis with GDN", _codec(WITH_GDN, "analysis"), *PYRAMID, 1),
    FloatNetwork("lmsfc synthesis with GDN", _codec(WITH_GDN, "synthesis"), (12,), (2,), 3),
    FloatNetwork("lmsfc v2 analysis", _codec(V2, "analysis"), *PYRAMID, 1),
    FloatNetwork("lmsfc v2 synthesis", _codec(V2, "synthesis"), (12,), (2,), 3),
    FloatNetwork("transformer", Transformer, (6,), (1,), 1),
    FloatNetwork(
        "GDN", lambda: nn.Sequential(conv(6, 8), GDN(8), AttentionBlock(8), GDN(8, True)),
        (6,), (1,), 1,
    ),
]  # fmt: skip
