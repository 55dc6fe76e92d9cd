"""LIC-TCM as its authors lay it out: keys and shapes of a checkpoint, and what it computes.

Written from the paper and the names in the public code, and apart from the codec that it is
compared with: windows are cut cell by cell here, and a mask is a question about two cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    n: int = 64
    m: int = 320
    z: int = 192
    slices: int = 5
    squeezed: int = 128
    widths: tuple[int, int] = (224, 128)


WINDOW, HYPER_WINDOW = 8, 4
HEADS = (8, 16, 32)
SLICE_HEAD, HYPER_HEAD = 16, 32


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}.{key}": shape for key, shape in shapes.items()}


def _conv(a: int, b: int, side: int = 3) -> Shapes:
    return {"weight": (b, a, side, side), "bias": (b,)}


def _linear(a: int, b: int) -> Shapes:
    return {"weight": (b, a), "bias": (b,)}


def _gdn(channels: int) -> Shapes:
    constants = {
        f"{name}_reparam.{part}": (1,)
        for name in ("beta", "gamma")
        for part in ("pedestal", "lower_bound.bound")
    }
    return {"beta": (channels,), "gamma": (channels, channels), **constants}


def _down(a: int, b: int) -> Shapes:
    return {
        **_under("conv1", _conv(a, b)),
        **_under("conv2", _conv(b, b)),
        **_under("gdn", _gdn(b)),
        **_under("skip", _conv(a, b, 1)),
    }


def _up(a: int, b: int) -> Shapes:
    return {
        **_under("subpel_conv.0", _conv(a, 4 * b)),
        **_under("conv", _conv(b, b)),
        **_under("igdn", _gdn(b)),
        **_under("upsample.0", _conv(a, 4 * b)),
    }


def _swin(c: int, head: int, window: int) -> Shapes:
    span = 2 * window - 1
    return {
        **_under("ln1", {"weight": (c,), "bias": (c,)}),
        "msa.relative_position_params": (c // head, span, span),
        **_under("msa.embedding_layer", _linear(c, 3 * c)),
        **_under("msa.linear", _linear(c, c)),
        **_under("ln2", {"weight": (c,), "bias": (c,)}),
        **_under("mlp.0", _linear(c, 4 * c)),
        **_under("mlp.2", _linear(4 * c, c)),
    }


def _mixed(n: int, head: int, window: int) -> Shapes:
    return {
        **_under("trans_block", _swin(n, head, window)),
        **_under("conv1_1", _conv(2 * n, 2 * n, 1)),
        **_under("conv1_2", _conv(2 * n, 2 * n, 1)),
        **_under("conv_block.conv1", _conv(n, n)),
        **_under("conv_block.conv2", _conv(n, n)),
    }


def _unit(c: int) -> Shapes:
    return {
        **_under("conv.0", _conv(c, c // 2, 1)),
        **_under("conv.2", _conv(c // 2, c // 2)),
        **_under("conv.4", _conv(c // 2, c, 1)),
    }


def _gate(channels: int, c: int) -> Shapes:
    return {
        **{k: v for i in range(3) for k, v in _under(f"conv_a.{i}", _unit(c)).items()},
        **{k: v for i in range(3) for k, v in _under(f"conv_b.{i}", _unit(c)).items()},
        **_under("conv_b.3", _conv(c, c, 1)),
        **_under("non_local_block.block_1", _swin(c, SLICE_HEAD, WINDOW)),
        **_under("non_local_block.block_2", _swin(c, SLICE_HEAD, WINDOW)),
        **_under("in_conv", _conv(channels, c, 1)),
        **_under("out_conv", _conv(c, channels, 1)),
    }


def _branch(a: int, widths: tuple[int, int], b: int) -> Shapes:
    first, second = widths
    return {
        **_under("0", _conv(a, first)),
        **_under("2", _conv(first, second)),
        **_under("4", _conv(second, b)),
    }


def _chain(prefix: str, parts: list[Shapes]) -> Shapes:
    return {k: v for i, p in enumerate(parts) for k, v in _under(f"{prefix}.{i}", p).items()}


def layout(sizes: Sizes) -> Shapes:
    """Keys and shapes of a checkpoint whose tables were never made."""
    n, m, wide = sizes.n, sizes.m, 2 * sizes.n
    stages = [[_mixed(n, head, WINDOW)] * 2 for head in HEADS]
    hyper = [_mixed(n, HYPER_HEAD, HYPER_WINDOW)] * 2
    pixels = {"0.weight": (12, wide, 3, 3), "0.bias": (12,)}
    shapes = {
        **_chain("g_a", [_down(3, wide), *stages[0], _down(wide, wide), *stages[1],
                         _down(wide, wide), *stages[2], _conv(wide, m)]),
        **_chain("g_s", [_up(m, wide), *stages[2], _up(wide, wide), *stages[1],
                         _up(wide, wide), *stages[0], pixels]),
        **_chain("h_a", [_down(m, wide), *hyper, _conv(wide, sizes.z)]),
    }  # fmt: skip
    for name in ("h_mean_s", "h_scale_s"):
        shapes |= _chain(name, [_up(sizes.z, wide), *hyper, _under("0", _conv(wide, 4 * m))])
    own = m // sizes.slices
    for k in range(sizes.slices):
        support = m + k * own
        for name in ("mean", "scale"):
            shapes |= _under(f"atten_{name}.{k}.0", _gate(support, sizes.squeezed))
            shapes |= _under(f"cc_{name}_transforms.{k}", _branch(support, sizes.widths, own))
        shapes |= _under(f"lrp_transforms.{k}", _branch(support + own, sizes.widths, own))
    prior: Shapes = {"quantiles": (sizes.z, 1, 3), "target": (3,)}
    for i, (a, b) in enumerate([(1, 3), (3, 3), (3, 3), (3, 3), (3, 1)]):
        prior |= {f"_matrix{i}": (sizes.z, b, a), f"_bias{i}": (sizes.z, b, 1)}
        prior |= {f"_factor{i}": (sizes.z, b, 1)} if i < 4 else {}
    coder: Shapes = {"_offset": (0,), "_quantized_cdf": (0,), "_cdf_length": (0,)}
    bound: Shapes = {"likelihood_lower_bound.bound": (1,)}
    shapes |= _under("entropy_bottleneck", {**prior, **coder, **bound})
    scales: Shapes = {"scale_table": (0,), "scale_bound": (1,), "lower_bound_scale.bound": (1,)}
    return shapes | _under("gaussian_conditional", {**coder, **bound, **scales})


def random_state(sizes: Sizes) -> dict[str, Tensor]:
    """Seeded weights of that layout, of sizes that keep maps about as large as they come."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, shape in layout(sizes).items():
        values = torch.randn(shape, generator=generator)
        if key.endswith("weight") and len(shape) > 1:
            values = values / math.sqrt(math.prod(shape[1:]))
        elif key.endswith((".beta", ".gamma")):
            values = 0.5 + 0.1 * values
        elif ".ln" in key and key.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values = 0.3 * values
        state[key] = values
    return state


class Authors:
    """The networks, from the weights by their keys."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, key: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{key}.weight"]
        bias = self.state[f"{key}.bias"]
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def linear(self, key: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{key}.weight"].T + self.state[f"{key}.bias"]

    def norm(self, key: str, x: Tensor) -> Tensor:
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def gdn(self, key: str, x: Tensor, inverse: bool) -> Tensor:
        pedestal = 2.0**-36
        beta = self.state[f"{key}.beta"].clamp(min=math.sqrt(1e-6 + pedestal)) ** 2 - pedestal
        gamma = self.state[f"{key}.gamma"].clamp(min=math.sqrt(pedestal)) ** 2 - pedestal
        norm = torch.einsum("ij,njhw->nihw", gamma, x * x) + beta[:, None, None]
        return x * norm.sqrt() if inverse else x / norm.sqrt()

    def down(self, key: str, x: Tensor) -> Tensor:
        inside = F.leaky_relu(self.conv(f"{key}.conv1", x, 2), 0.01)
        inside = self.gdn(f"{key}.gdn", self.conv(f"{key}.conv2", inside), False)
        return inside + self.conv(f"{key}.skip", x, 2)

    def subpixel(self, key: str, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(key, x), 2)

    def up(self, key: str, x: Tensor) -> Tensor:
        inside = F.leaky_relu(self.subpixel(f"{key}.subpel_conv.0", x), 0.01)
        inside = self.gdn(f"{key}.igdn", self.conv(f"{key}.conv", inside), True)
        return inside + self.subpixel(f"{key}.upsample.0", x)

    def attention(self, key: str, x: Tensor, head: int, side: int, shift: int) -> Tensor:
        """Of maps `[N, H, W, C]`, window by window and head by head."""
        _, height, width, channels = x.shape
        positions = self.state[f"{key}.relative_position_params"]
        qkv = self.linear(f"{key}.embedding_layer", x)
        seen = torch.empty_like(x)
        for cells in _windows(height, width, side, shift):
            rows, columns = torch.tensor(cells).T
            place = torch.arange(side**2)
            down = place[:, None] // side - place // side + side - 1
            right = place[:, None] % side - place % side + side - 1
            # Neighbours in the window that are none in the map do not see each other.
            near = rows[:, None] - rows == down - side + 1
            near &= columns[:, None] - columns == right - side + 1
            here = qkv[:, rows, columns]
            for h in range(channels // head):
                q, k, v = (here[..., i * channels + h * head :][..., :head] for i in range(3))
                scores = q @ k.mT / math.sqrt(head) + positions[h][down, right]
                scores = scores.masked_fill(~near, -math.inf)
                seen[:, rows, columns, h * head : (h + 1) * head] = torch.softmax(scores, -1) @ v
        return self.linear(f"{key}.linear", seen)

    def swin(self, key: str, x: Tensor, head: int, side: int, shift: int) -> Tensor:
        x = x + self.attention(f"{key}.msa", self.norm(f"{key}.ln1", x), head, side, shift)
        inside = self.linear(f"{key}.mlp.0", self.norm(f"{key}.ln2", x))
        inside = inside * 0.5 * (1 + torch.erf(inside / math.sqrt(2)))
        return x + self.linear(f"{key}.mlp.2", inside)

    def mixed(self, key: str, x: Tensor, head: int, side: int, shift: int) -> Tensor:
        local, window = self.conv(f"{key}.conv1_1", x).chunk(2, 1)
        inside = F.leaky_relu(self.conv(f"{key}.conv_block.conv1", local), 0.01)
        inside = F.leaky_relu(self.conv(f"{key}.conv_block.conv2", inside), 0.01)
        local = inside + local + local  # the residual block's own skip, and one around it
        window = self.swin(f"{key}.trans_block", window.movedim(1, -1), head, side, shift)
        return x + self.conv(f"{key}.conv1_2", torch.cat([local, window.movedim(-1, 1)], 1))

    def pair(self, name: str, at: int, x: Tensor, head: int, side: int) -> Tensor:
        x = self.mixed(f"{name}.{at}", x, head, side, 0)
        return self.mixed(f"{name}.{at + 1}", x, head, side, side // 2)

    def analysis(self, x: Tensor) -> Tensor:
        for i, head in enumerate(HEADS):
            x = self.pair("g_a", 3 * i + 1, self.down(f"g_a.{3 * i}", x), head, WINDOW)
        return self.conv("g_a.9", x, 2)

    def synthesis(self, y: Tensor) -> Tensor:
        for i, head in enumerate(reversed(HEADS)):
            y = self.pair("g_s", 3 * i + 1, self.up(f"g_s.{3 * i}", y), head, WINDOW)
        return self.subpixel("g_s.9.0", y)

    def hyper_analysis(self, y: Tensor) -> Tensor:
        y = self.pair("h_a", 1, self.down("h_a.0", y), HYPER_HEAD, HYPER_WINDOW)
        return self.conv("h_a.3", y, 2)

    def hyper_synthesis(self, name: str, z: Tensor) -> Tensor:
        z = self.pair(name, 1, self.up(f"{name}.0", z), HYPER_HEAD, HYPER_WINDOW)
        return self.subpixel(f"{name}.3.0", z)

    def unit(self, key: str, x: Tensor) -> Tensor:
        inside = self.conv(f"{key}.conv.0", x).relu()
        inside = self.conv(f"{key}.conv.2", inside).relu()
        return (x + self.conv(f"{key}.conv.4", inside)).relu()

    def gate(self, key: str, x: Tensor) -> Tensor:
        x = self.conv(f"{key}.in_conv", x)
        a = x
        b = x.movedim(1, -1)
        b = self.swin(f"{key}.non_local_block.block_1", b, SLICE_HEAD, WINDOW, 0)
        b = self.swin(f"{key}.non_local_block.block_2", b, SLICE_HEAD, WINDOW, WINDOW // 2)
        b = b.movedim(-1, 1)
        for i in range(3):
            a, b = self.unit(f"{key}.conv_a.{i}", a), self.unit(f"{key}.conv_b.{i}", b)
        return self.conv(f"{key}.out_conv", x + a * self.conv(f"{key}.conv_b.3", b).sigmoid())

    def branch(self, key: str, x: Tensor) -> Tensor:
        for i in (0, 2):
            x = F.gelu(self.conv(f"{key}.{i}", x))
        return self.conv(f"{key}.4", x)

    def slice(
        self, k: int, y: Tensor, hyper_mean: Tensor, hyper_scale: Tensor, known: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, scale, and the slice as later ones see it."""
        support = self.gate(f"atten_mean.{k}.0", torch.cat([hyper_mean, *known], 1))
        mean = self.branch(f"cc_mean_transforms.{k}", support)
        scale_support = self.gate(f"atten_scale.{k}.0", torch.cat([hyper_scale, *known], 1))
        scale = self.branch(f"cc_scale_transforms.{k}", scale_support)
        rounded = torch.round(y - mean) + mean
        error = self.branch(f"lrp_transforms.{k}", torch.cat([support, rounded], 1))
        return mean, scale, rounded + 0.5 * torch.tanh(error)


def _windows(height: int, width: int, side: int, shift: int) -> Iterator[list[tuple[int, int]]]:
    """The cells of each window, by row and column of the map."""
    for top in range(shift, height + shift, side):
        for left in range(shift, width + shift, side):
            yield [
                ((top + i) % height, (left + j) % width) for i in range(side) for j in range(side)
            ]
