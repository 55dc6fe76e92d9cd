"""L-MSFC v1 without context model, as its authors train it.

The transforms are those of `fcmrt.export.lmsfc` at the published widths. What differs is around
them: features enter as they are, hyper-synthesis predicts deviations, and `z` has CompressAI's
prior and is rounded around its medians.

Source: github VML-lambda/L-MSFC, `src/model_no_ar.py` (BSD 3-Clause); arXiv 2306.16670.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .bottleneck import EntropyBottleneck
from .codec import FusedTransform
from .layers import RawFeatures
from .lmsfc import Analysis, HyperAnalysis, HyperSynthesis, LmsfcConfig, Synthesis
from .scale_index import ScaleIndex


class DeviationSynthesis(HyperSynthesis):
    """Hyper-synthesis whose head gives deviations, and then means."""

    def __init__(self, config: LmsfcConfig) -> None:
        super().__init__(config)
        self.index = ScaleIndex()

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Turns `z` into `mean` and `index`, continuous, at hyper stride times its size."""
        sigma, mean = cast("Tensor", self.head(self.layers(z))).chunk(2, 1)
        return mean, cast("Tensor", self.index(sigma))


class PublishedLmsfc(nn.Module):
    """The networks and the prior of `z`.

    Args:
        config: `LMSFC_V1_PUBLISHED`, or other widths.
    """

    def __init__(self, config: LmsfcConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = raw(Analysis(config))
        self.synthesis = raw(Synthesis(config))
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = DeviationSynthesis(config)
        self.prior = EntropyBottleneck(config.hyper_channels)


def raw(transform: FusedTransform) -> FusedTransform:
    """Takes the normalisation of features out of a transform, and returns it."""
    transform.norms = nn.ModuleList(RawFeatures() for _ in transform.norms)
    return transform
