"""L-MSFC v2 as its authors train it.

The networks are those of `fcmrt.export.lmsfc_v2` at the published widths. What differs is around
them: features enter as they are, gains do what quantiser steps do elsewhere, the context predicts
deviations, and `z` has CompressAI's prior and is rounded around its medians.

Source: github herok97/L-MSFC-V2-Training, `train/src` and, for gains between levels, `train/quant`
(BSD 3-Clause Clear).
"""

from __future__ import annotations

from torch import nn

from .bottleneck import EntropyBottleneck
from .context import SpaceChannelContext
from .context_codec import HyperAnalysis, HyperSynthesis
from .gains import Gains
from .lmsfc_published import raw
from .lmsfc_v2 import Analysis, LmsfcV2Config, Synthesis


class PublishedLmsfcV2(nn.Module):
    """The networks, the gains and the prior of `z`.

    Args:
        config: Of three or four levels.
        gain_levels: Number of trained gains; published are 8 for four levels, 6 for three.
    """

    def __init__(self, config: LmsfcV2Config, gain_levels: int) -> None:
        super().__init__()
        self.config = config
        self.gain_levels = gain_levels
        self.analysis = raw(Analysis(config))
        self.synthesis = raw(Synthesis(config))
        self.gain = Gains(gain_levels, config.latent_channels)
        self.inverse_gain = Gains(gain_levels, config.latent_channels)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.context = SpaceChannelContext(config.context, config.hyper_out)
        self.prior = EntropyBottleneck(config.hyper_channels)
