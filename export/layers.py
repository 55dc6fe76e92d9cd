"""The published blocks of learned codecs, in a form that exports to plain ONNX operators.

All maps are float32 `[N, C, H, W]`. Source of the definitions: Balle et al. 2016 (GDN), Cheng et
al. 2020 (residual blocks, simplified attention), as used by L-MSFC.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn


class _LowerBound(torch.autograd.Function):
    """`max(x, bound)` whose gradient still lets `x` come back above the bound."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ((x >= ctx.bound) | (grad < 0)), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """`max(x, bound)`; the gradient passes below the bound when it would raise `x`."""
    return cast("Tensor", _LowerBound.apply(x, bound))


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution with "same" padding: an output side is ceil(side / stride)."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2)


def subpixel_conv(
    in_channels: int, out_channels: int, factor: int = 2, kernel: int = 3
) -> nn.Sequential:
    """A convolution to `factor**2` times the channels, then depth to space."""
    return nn.Sequential(
        conv(in_channels, out_channels * factor**2, kernel), nn.PixelShuffle(factor)
    )


def deconv(in_channels: int, out_channels: int, kernel: int = 5) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the grid."""
    return nn.ConvTranspose2d(
        in_channels, out_channels, kernel, 2, padding=kernel // 2, output_padding=1
    )


def initialise(module: nn.Module) -> None:
    """Initialises convolutions to keep their inputs' magnitude, which PyTorch's own start loses."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        # In a transposed convolution of stride 2, a quarter of the taps meet in one output cell.
        fan_in = module.weight[0].numel()
        if isinstance(module, nn.ConvTranspose2d):
            fan_in = module.weight[:, 0].numel() // 4
        nn.init.trunc_normal_(module.weight, std=fan_in**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class GDN(nn.Module):
    """Generalised divisive normalisation: `x / sqrt(beta + gamma * x^2)`, or times it (inverse).

    Beta and gamma are kept non-negative by a square of a bounded parameter; `fold_gdn` works that
    out before export.

    Args:
        channels: Channels in and out.
        inverse: Multiply instead of divide.
    """

    pedestal = 2.0**-36
    beta_min = 1e-6

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter((torch.ones(channels) + self.pedestal).sqrt())
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + self.pedestal).sqrt())

    def _bounded(self, parameter: Tensor, minimum: float) -> Tensor:
        bound = (minimum + self.pedestal) ** 0.5
        bounded = lower_bound(parameter, bound) if self.training else parameter.clamp(min=bound)
        return bounded**2 - self.pedestal

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `[N, C, H, W]`; same shape out."""
        norm = torch.sqrt(nn.functional.conv2d(x * x, *self.weights()))
        return x * norm if self.inverse else x / norm

    def weights(self) -> tuple[Tensor, Tensor]:
        """Gamma `[C, C, 1, 1]` and beta `[C]`, as the 1x1 convolution over squares takes them."""
        gamma = self._bounded(self.gamma, 0.0)[..., None, None]
        return gamma, self._bounded(self.beta, self.beta_min)


class FoldedGDN(nn.Module):
    """A GDN with its parametrisation worked out: squares, a convolution, a root.

    Args:
        gdn: Whose parameters are copied.
    """

    def __init__(self, gdn: GDN) -> None:
        super().__init__()
        self.inverse = gdn.inverse
        weight, bias = gdn.weights()
        self.norm = nn.Conv2d(len(bias), len(bias), 1)
        with torch.no_grad():
            self.norm.weight.copy_(weight)
            self.norm.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `[N, C, H, W]`; same shape out."""
        norm = torch.sqrt(self.norm(x * x))
        return x * norm if self.inverse else x / norm


def fold_gdn(module: nn.Module) -> nn.Module:
    """Returns a copy of a module whose GDNs are folded, for export."""
    if isinstance(module, GDN):
        return FoldedGDN(module)
    folded = copy.deepcopy(module)
    for name, part in list(folded.named_modules()):
        if isinstance(part, GDN):
            folded.set_submodule(name, FoldedGDN(part))
    return folded


def _activation(channels: int, gdn: bool, inverse: bool) -> nn.Module:
    return GDN(channels, inverse) if gdn else nn.LeakyReLU(0.01)


class ResidualBlockWithStride(nn.Module):
    """conv3x3 (stride), LeakyReLU, conv3x3, GDN; the skip is a conv1x1 with the same stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2, gdn: bool = True):
        super().__init__()
        self.body = nn.Sequential(
            conv(in_channels, out_channels, stride=stride),
            nn.LeakyReLU(0.01),
            conv(out_channels, out_channels),
            _activation(out_channels, gdn, inverse=False),
        )
        same = stride == 1 and in_channels == out_channels
        self.skip = nn.Identity() if same else conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Halves the grid (by the stride, rounded up)."""
        return cast("Tensor", self.body(x) + self.skip(x))


class ResidualBlock(nn.Module):
    """Two conv3x3 with LeakyReLU; the skip is the identity, or a conv1x1 to other channels."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            conv(in_channels, out_channels),
            nn.LeakyReLU(0.01),
            conv(out_channels, out_channels),
            nn.LeakyReLU(0.01),
        )
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Same grid out."""
        return cast("Tensor", self.body(x) + self.skip(x))


class ResidualBlockUpsample(nn.Module):
    """Sub-pixel conv x2, LeakyReLU, conv3x3, inverse GDN; the skip is a sub-pixel conv."""

    def __init__(self, in_channels: int, out_channels: int, gdn: bool = True):
        super().__init__()
        self.body = nn.Sequential(
            subpixel_conv(in_channels, out_channels),
            nn.LeakyReLU(0.01),
            conv(out_channels, out_channels),
            _activation(out_channels, gdn, inverse=True),
        )
        self.skip = subpixel_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Doubles the grid."""
        return cast("Tensor", self.body(x) + self.skip(x))


class ResidualBottleneck(nn.Module):
    """1x1, ReLU, 3x3, ReLU, 1x1, add; half the channels inside, nothing after the sum."""

    def __init__(self, channels: int):
        super().__init__()
        half = max(1, channels // 2)
        self.body = nn.Sequential(
            conv(channels, half, 1),
            nn.ReLU(),
            conv(half, half),
            nn.ReLU(),
            conv(half, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out."""
        return cast("Tensor", x + self.body(x))


class _Bottleneck(ResidualBottleneck):
    """A residual bottleneck with a ReLU after the sum."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out."""
        return torch.relu(super().forward(x))


class TripleBottleneck(nn.Sequential):
    """Three residual bottlenecks, as between the strides of ELIC and L-MSFC v2."""

    def __init__(self, channels: int):
        super().__init__(*(ResidualBottleneck(channels) for _ in range(3)))


class FeatureNorm(nn.Module):
    """Fixed mean and standard deviation per channel, measured on training features."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Sets both, each float `[C]`."""
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.std.copy_(std.reshape(self.std.shape).clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Centres and scales `[N, C, H, W]`."""
        return (x - self.mean) / self.std

    def inverse(self, x: Tensor) -> Tensor:
        """Back to the features' own range."""
        return x * self.std + self.mean


class RawFeatures(nn.Module):
    """Stands in for a `FeatureNorm` in a codec that takes features as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """The same."""
        return x

    def inverse(self, x: Tensor) -> Tensor:
        """The same."""
        return x


class AttentionBlock(nn.Module):
    """Simplified attention: one branch of three bottlenecks gates another; residual add."""

    def __init__(self, channels: int):
        super().__init__()
        self.main = nn.Sequential(*(_Bottleneck(channels) for _ in range(3)))
        self.gate = nn.Sequential(
            *(_Bottleneck(channels) for _ in range(3)), conv(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out."""
        return cast("Tensor", x + self.main(x) * torch.sigmoid(self.gate(x)))
