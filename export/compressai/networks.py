"""What stands between CompressAI's transforms and a schedule: medians, splits and parameters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..medians import LessMedians
from ..scale_index import ScaleIndex
from .folding import folded


class Analysis(nn.Module):
    """A picture to `y`, in groups of channels, and to `z`, less its medians.

    Args:
        g_a: Analysis of the picture.
        h_a: Analysis of `y`.
        medians: Of `z`, `[1, C, 1, 1]`.
        groups: Channels of each group of `y`.
        of_magnitudes: `h_a` sees the magnitudes of `y`.
        gain: What `y` is multiplied by, after `h_a` has seen it.
        hyper_step: What `z` is divided by, after its medians are off.
    """

    def __init__(
        self,
        g_a: nn.Module,
        h_a: nn.Module,
        medians: Tensor,
        groups: Sequence[int],
        *,
        of_magnitudes: bool = False,
        gain: float = 1.0,
        hyper_step: float = 1.0,
    ) -> None:
        super().__init__()
        self.g_a, self.h_a = folded(g_a), LessMedians(folded(h_a), medians, hyper_step)
        self.groups = list(groups)
        self.of_magnitudes = of_magnitudes
        self.gain = gain

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Groups of `y` in order, then `z`."""
        y = self.g_a(x)
        z = self.h_a(y.abs() if self.of_magnitudes else y)
        if self.gain != 1:
            y = y * self.gain
        return (*y.split(self.groups, 1), z)


class MeanAndIndex(nn.Module):
    """The two halves of a network's output channels, as means and as table indexes.

    Args:
        channels: Of either half.
        means_first: The first half are the means, the second the deviations; else the reverse.
        gain: What means and deviations are multiplied by.
    """

    def __init__(self, channels: int, *, means_first: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.channels = channels
        self.means_first = means_first
        self.gain = gain
        self.index = ScaleIndex()

    def forward(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Means and continuous indexes, each with half of the channels."""
        if self.gain != 1:
            parameters = parameters * self.gain
        first, second = parameters.split([self.channels, self.channels], 1)
        means, scales = (first, second) if self.means_first else (second, first)
        return means, self.index(scales)


class Synthesis(nn.Module):
    """`y` to a picture, limited to 0..1 as CompressAI's `decompress` limits it.

    Args:
        g_s: Synthesis.
    """

    def __init__(self, g_s: nn.Module) -> None:
        super().__init__()
        self.g_s = folded(g_s)

    def forward(self, y: Tensor) -> Tensor:
        """The picture of `y`."""
        return self.g_s(y).clamp(0.0, 1.0)
