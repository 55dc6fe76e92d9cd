"""What ELIC and L-MSFC v2 share: the hyperprior's networks and coding by space-channel context."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from .codec import Coded, HyperpriorCodec, Rounding, quantised
from .context import ContextConfig, SpaceChannelContext, anchors
from .entropy import ChannelPrior, octave_index
from .layers import conv, deconv


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCodecConfig:
    """Sizes that all codecs with a space-channel context have."""

    feature_channels: tuple[int, ...] = (256, 256, 256, 256)
    """Channels of each level, finest first."""
    width: int = 192
    """Channels inside analysis and synthesis ("N")."""
    hyper_widths: tuple[int, int] = (192, 288)
    """Channels of z and of the map before the last one in hyper-synthesis."""
    hyper_out: int = 640
    """Channels of the hyper-synthesis' output."""
    kernel: int = 5
    """Side of the kernels that change grids."""
    context: ContextConfig = field(default_factory=ContextConfig)

    @property
    def levels(self) -> int:
        """Number of feature maps."""
        return len(self.feature_channels)

    @property
    def latent_channels(self) -> int:
        """Channels of y ("M")."""
        return sum(self.context.groups)

    @property
    def hyper_channels(self) -> int:
        """Channels of z."""
        return self.hyper_widths[0]

    @property
    def latent_stride(self) -> int:
        """Side of a cell of y in cells of the finest level."""
        raise NotImplementedError

    @property
    def hyper_stride(self) -> int:
        """Side of a cell of z in cells of y."""
        return 4

    def to_dict(self) -> dict[str, Any]:
        """JSON form, read back by `from_dict`."""
        return cast("dict[str, Any]", _lists(asdict(self)))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; unknown keys are rejected by the constructor."""
        context = ContextConfig(**_tuples(data["context"]))
        return cls(**{**_tuples(data), "context": context})


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


class HyperSizes(Protocol):
    """What the hyper networks need to know of a codec's sizes."""

    @property
    def latent_channels(self) -> int:
        """Channels of y."""

    @property
    def hyper_channels(self) -> int:
        """Channels of z."""

    @property
    def hyper_widths(self) -> tuple[int, int]:
        """Channels of z and of the map before the last one in hyper-synthesis."""

    @property
    def hyper_out(self) -> int:
        """Channels of the hyper-synthesis' output."""

    @property
    def kernel(self) -> int:
        """Side of the kernels that change grids."""


class HyperAnalysis(nn.Module):
    """conv3x3, then two convolutions with stride 2; ReLU between."""

    def __init__(self, config: HyperSizes) -> None:
        super().__init__()
        width = config.hyper_channels
        self.layers = nn.Sequential(
            conv(config.latent_channels, width),
            nn.ReLU(),
            conv(width, width, config.kernel, 2),
            nn.ReLU(),
            conv(width, width, config.kernel, 2),
        )

    def forward(self, y: Tensor) -> Tensor:
        """Turns `y` (`[N, M, H, W]`) into `z` of ceil(H / 4) rows, likewise columns."""
        return cast("Tensor", self.layers(y))


class HyperSynthesis(nn.Module):
    """Two transposed convolutions, then conv3x3; ReLU between."""

    def __init__(self, config: HyperSizes) -> None:
        super().__init__()
        width, wider = config.hyper_widths
        self.layers = nn.Sequential(
            deconv(width, width, config.kernel),
            nn.ReLU(),
            deconv(width, wider, config.kernel),
            nn.ReLU(),
            conv(wider, config.hyper_out),
        )

    def forward(self, z_hat: Tensor) -> Tensor:
        """Turns rounded `z` into what is known of `y` from it, at 4 times its size.

        The caller crops it to the size of `y`, from the top left.
        """
        return cast("Tensor", self.layers(z_hat))


class ContextCodec(HyperpriorCodec):
    """A codec whose `y` is coded group by group, and each group in two halves.

    Args:
        config: Its sizes; analysis and synthesis are made by the derived class.
    """

    def __init__(self, config: ContextCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.context = SpaceChannelContext(config.context, config.hyper_out)
        self.prior = ChannelPrior(config.hyper_channels)

    def code(
        self, y: Tensor, z_hat: Tensor, step: Tensor, rounding: Rounding, grid: Rounding
    ) -> Coded:
        """See `HyperpriorCodec`."""
        rows, columns = y.shape[-2:]
        hyper = self.hyper_synthesis(z_hat)[..., :rows, :columns]
        mask = anchors(rows, columns, y)
        means: list[Tensor] = []
        indexes: list[Tensor] = []
        known: list[Tensor] = []
        for k, part in enumerate(y.split(self.config.context.groups, 1)):
            said = self.context.from_groups(k, known)
            mean_a, index_a = _floats(self.context.anchor_parameters(k, said, hyper), grid)
            y_a = quantised(part, mean_a, step, rounding) * mask
            mean_o, index_o = _floats(self.context.other_parameters(k, y_a, said, hyper), grid)
            mean = mean_o + (mean_a - mean_o) * mask
            means.append(mean)
            indexes.append(index_o + (index_a - index_o) * mask)
            known.append(quantised(part, mean, step, rounding))
        return Coded(torch.cat(means, 1), torch.cat(indexes, 1), torch.cat(known, 1))


def _floats(parameters: tuple[Tensor, Tensor], grid: Rounding) -> tuple[Tensor, Tensor]:
    mean, octaves = parameters
    return grid(mean.float()), octave_index(octaves.float())
