"""Space-channel context in uneven groups (SCCTX): which part of `y` predicts which.

Channels are coded group by group, and in each group first the *anchors*, the cells of the
checkerboard with an even row + column, then the others. Means and indexes are aggregated from three
sources: the hyperprior; except for the first group, groups that are known already; and, for cells
other than anchors, the anchors of their group.

Source: ELIC (arXiv 2203.10886); in the form of L-MSFC v2, a group sees the first and the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextConfig:
    """Sizes of a space-channel context."""

    groups: tuple[int, ...] = (16, 16, 32, 64, 192)
    """Channels of each group of y."""
    channel_widths: tuple[int, int] = (224, 128)
    """Channels between the three convolutions that look at earlier groups."""
    channel_kernel: int = 5
    spatial_kernel: int = 5
    aggregation_widths: tuple[int, int] = (640, 512)
    """Channels between the three 1x1 convolutions that put all sources together."""
    all_earlier: bool = False
    """Whether a group sees all earlier groups; else only the first and the latest."""

    def earlier(self, k: int) -> tuple[int, ...]:
        """Numbers of the groups that group `k` sees."""
        return tuple(range(k)) if self.all_earlier else tuple(sorted({0, k - 1})) if k else ()

    def earlier_channels(self, k: int) -> int:
        """Channels of the groups that group `k` sees."""
        return sum(self.groups[j] for j in self.earlier(k))


class CheckerboardConv(nn.Conv2d):
    """A convolution whose kernel has only the taps of odd row + column distance."""

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        places = torch.arange(kernel)
        odd = (places[:, None] + places + kernel // 2 * 2) % 2
        self.register_buffer("mask", odd.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """What each cell's neighbours of the other colour say: same grid."""
        return self._conv_forward(x, self.weight * self.mask, self.bias)


def anchors(height: int, width: int, like: Tensor) -> Tensor:
    """1 at the anchors, 0 elsewhere: `[height, width]`, dtype and device of `like`."""
    rows = torch.arange(height, device=like.device)[:, None]
    columns = torch.arange(width, device=like.device)
    return ((rows + columns) % 2 == 0).to(like.dtype)


class SpaceChannelContext(nn.Module):
    """The three sources of every group, and their aggregation.

    Args:
        config: Groups and widths.
        hyper_channels: Channels of the hyper-synthesis' output.
    """

    def __init__(self, config: ContextConfig, hyper_channels: int) -> None:
        super().__init__()
        self.config = config
        self.channel = nn.ModuleList()
        self.spatial = nn.ModuleList()
        self.aggregation = nn.ModuleList()
        first, second = config.channel_widths
        side = config.channel_kernel
        for k, group in enumerate(config.groups):
            sources = hyper_channels + 2 * group
            if k:
                self.channel.append(
                    nn.Sequential(
                        nn.Conv2d(config.earlier_channels(k), first, side, padding=side // 2),
                        nn.ReLU(),
                        nn.Conv2d(first, second, side, padding=side // 2),
                        nn.ReLU(),
                        nn.Conv2d(second, 2 * group, side, padding=side // 2),
                    )
                )
                sources += 2 * group
            self.spatial.append(CheckerboardConv(group, 2 * group, config.spatial_kernel))
            wide, narrow = config.aggregation_widths
            self.aggregation.append(
                nn.Sequential(
                    nn.Conv2d(sources, wide, 1),
                    nn.ReLU(),
                    nn.Conv2d(wide, narrow, 1),
                    nn.ReLU(),
                    nn.Conv2d(narrow, 2 * group, 1),
                )
            )

    def from_groups(self, k: int, known: list[Tensor]) -> list[Tensor]:
        """What earlier groups say about group `k`: nothing for the first, else one tensor."""
        if k == 0:
            return []
        seen = torch.cat([known[j] for j in self.config.earlier(k)], 1)
        return [self.channel[k - 1](seen)]

    def anchor_parameters(self, k: int, said: list[Tensor], hyper: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw scale of group `k`, to be used at its anchors."""
        nothing = hyper.new_zeros(
            hyper.shape[0], 2 * self.config.groups[k], hyper.shape[2], hyper.shape[3]
        )
        return self._aggregate(k, [nothing, *said, hyper])

    def other_parameters(
        self, k: int, known_anchors: Tensor, said: list[Tensor], hyper: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and raw scale of group `k`, to be used at all cells but the anchors.

        Args:
            k: Number of the group.
            known_anchors: The group's decoded anchors, 0 at the other cells.
            said: What `from_groups` gave.
            hyper: What hyper-synthesis gave.
        """
        return self._aggregate(k, [self.spatial[k](known_anchors), *said, hyper])

    def _aggregate(self, k: int, sources: list[Tensor]) -> tuple[Tensor, Tensor]:
        out = cast("Tensor", self.aggregation[k](torch.cat(sources, 1)))
        mean, scale = out.chunk(2, 1)
        return mean, scale
