"""One model for many rates: a gain on `y` before it is rounded (the `-vbr` models).

Source: arXiv 2402.18930. CompressAI rounds y * gain - mean * gain and takes deviations times the
gain: a quantiser of step 1 / gain. So all rates are one engine, whose steps are r^d for the ratio r
of its tables; a gain is then the nearest r^-d.

Two things do not fit into that. *Quantisation offsets*: CompressAI's decoder moves values other
than 0 towards 0, by offsets that a small network computes from deviation and gain. An engine of one
rate does the same, in its synthesis. An engine of all rates has no offsets, like CompressAI with
`no_quantoffset`, since its networks do not know the gain.

The *step of the hyper-latent*, which CompressAI's published models have (`vr_entbttlnck`): a
network computes it from the gain. An engine of one rate has that step, and the prior's tables for
it. In an engine of all rates it could not follow the gain, so there is none for such models.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError
from fcmrt.spec import UNIT_STEP, LatentSpec, Quality, StepTable

from ..coding import hyper_latent
from ..deployment import Deployment
from ..medians import PlusMedians
from ..scale_index import LOG_RATIO, SIGMA_0, ScaleIndex, scale_tables
from .folding import folded
from .hyperprior import deploy_hyperprior, has_means
from .networks import Analysis, MeanAndIndex, Synthesis
from .picture import (
    DECODED,
    HYPER_STRIDE,
    LATENT_STRIDE,
    MEAN_BITS,
    PICTURE,
    PRIOR_RANGE,
    picture_builder,
    prior_of,
)

FAMILY = "compressai-vbr"


def deploy_vbr(
    model: Any, *, rate: int | None = None, quantisation_offsets: bool = True
) -> Deployment:
    """Returns how a variable-rate model is run.

    Args:
        model: `compressai.models.ScaleHyperpriorVbr` or `MeanScaleHyperpriorVbr`; borrowed.
        rate: Number of the gain (CompressAI's `s`, from 0) of an engine of one rate, with the gain
            as it is; None: all of them, each at the nearest step.
        quantisation_offsets: Whether decoded values are moved; checkpoints do not say, and
            CompressAI does so unless its `no_quantoffset` is set.

    Raises:
        ExportError: There is no such rate, or all rates are wanted of a model with quantisation
            offsets, or with a step of its hyper-latent.
    """
    gains = [abs(float(gain)) for gain in model.Gain.detach()]
    if rate is not None:
        if not 0 <= rate < len(gains):
            raise ExportError(f"rate is {rate}; the model has 0 to {len(gains) - 1}")
        return _one_rate(model, gains[rate], offsets=quantisation_offsets)
    if model.vr_entbttlnck:
        raise ExportError(
            "the hyper-latent of this checkpoint has a quantiser step that depends on the gain "
            "(vr_entbttlnck), which an engine of all rates cannot follow; choose one rate with "
            "rate=NUMBER"
        )
    if quantisation_offsets:
        raise ExportError(
            "this model moves decoded values by offsets that depend on the gain (QuantABCD), which "
            "an engine of all rates cannot compute; choose one rate with rate=NUMBER, or do "
            "without them with quantisation_offsets=False"
        )
    levels = sorted({nearest_step(gain) for gain in gains}, reverse=True)
    first, last = min(0, levels[-1]), max(0, levels[0])
    widths = tuple(round(UNIT_STEP * math.exp(d * LOG_RATIO)) for d in range(first, last + 1))
    return deploy_hyperprior(
        model,
        family=FAMILY,
        steps=StepTable(first, widths),
        quality=Quality(tuple(levels), (len(levels) + 1) // 2),
    )


def nearest_step(gain: float) -> int:
    """The step number `d` whose width r^d is nearest to 1 / gain, in logarithm."""
    return round(-math.log(gain) / LOG_RATIO)


@torch.no_grad()
def hyper_step(model: Any, gain: float) -> float:
    """Returns the quantiser step of a model's hyper-latent at a gain.

    Source: CompressAI's `ScaleHyperpriorVbr.compress`; 1 without `vr_entbttlnck`.
    """
    if not model.vr_entbttlnck:
        return 1.0
    step = model.gayn2zqstep(1 / torch.tensor([gain]))
    return float(model.lower_bound_zqstep(step))


class QuantisationOffsets(nn.Module):
    """Divides decoded values by the gain, and moves each as CompressAI's decoder does.

    Args:
        network: CompressAI's `QuantABCD`; borrowed.
        gain: Of the rate.
        channels: Of `y`.
        means: Whether the hyper-synthesis outputs means, after the deviations.
    """

    def __init__(self, network: nn.Sequential, gain: float, channels: int, *, means: bool) -> None:
        super().__init__()
        first, *others = copy.deepcopy(network)
        if not isinstance(first, nn.Linear):
            raise ExportError("QuantABCD of a variable-rate model begins with a linear layer")
        # Its inputs are the deviation and the gain; the gain is known.
        of_deviation = nn.Linear(1, first.out_features)
        bias = first.bias + gain * first.weight[:, 1]
        of_deviation.load_state_dict({"weight": first.weight[:, :1], "bias": bias})
        self.network = nn.Sequential(of_deviation, *others)
        self.gain = gain
        self.parts = [channels, channels] if means else [channels]

    def forward(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Turns decoded `y`, in units of the step, into values of the same shape."""
        deviations, *means = parameters.split(self.parts, 1)
        mean = means[0] if means else None
        symbols = torch.round(y if mean is None else y - mean * self.gain)
        stdev = (deviations * self.gain).clamp(min=SIGMA_0)
        offset = self.network(stdev[..., None])[..., 0]
        magnitudes = symbols.abs()
        # Only values other than 0 are moved. Clamped to 1, symbols are their signs, by an operator
        # that every runner has.
        values = symbols.clamp(-1, 1) * (magnitudes - offset * magnitudes.clamp(max=1)) / self.gain
        return values if mean is None else values + mean


class ScaledSynthesis(nn.Module):
    """Decoded values times the gain to a picture.

    Args:
        g_s: Synthesis; borrowed.
        gain: Of the rate.
        offsets: Moves values; None: they are not moved, and are the only input.
    """

    def __init__(self, g_s: nn.Module, gain: float, offsets: QuantisationOffsets | None) -> None:
        super().__init__()
        self.synthesis = Synthesis(g_s)
        self.gain = gain
        self.offsets = offsets

    def forward(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Returns the picture of `y`, given the hyper-synthesis' parameters if values are moved."""
        values = y / self.gain if self.offsets is None else self.offsets(y, *parameters)
        return self.synthesis(values)


class ScaledIndex(nn.Module):
    """Deviations times the gain, as table indexes.

    Args:
        gain: Of the rate.
    """

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.index = ScaleIndex()

    def forward(self, deviations: Tensor) -> Tensor:
        """Continuous indexes, same shape."""
        return self.index(deviations * self.gain)


def _one_rate(model: Any, gain: float, *, offsets: bool) -> Deployment:
    """An engine of one rate: `y`, means and deviations leave the networks times the gain."""
    prior = prior_of(model.entropy_bottleneck)
    means = has_means(model)
    z_step = hyper_step(model, gain)
    build = picture_builder(HYPER_STRIDE)
    build.tensor("y", model.M, LATENT_STRIDE)
    build.tensor("z", model.N, HYPER_STRIDE)
    build.tensor("hyper", model.M * (2 if means else 1), LATENT_STRIDE)
    build.tensor("y_index", model.M, LATENT_STRIDE, "int32")
    analysis = Analysis(
        model.g_a,
        model.h_a,
        prior.medians,
        [model.M],
        of_magnitudes=not means,
        gain=gain,
        hyper_step=z_step,
    )
    build.encoder("analysis", analysis, [PICTURE], ["y", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    hyper_synthesis = PlusMedians(folded(model.h_s), prior.medians, z_step)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["hyper"])
    mean = None
    if means:
        mean = "y_mean"
        build.tensor(mean, model.M, LATENT_STRIDE, "int32")
        build.both("parameters", MeanAndIndex(model.M, gain=gain), ["hyper"], [mean, "y_index"])
    else:
        build.both("parameters", ScaledIndex(gain), ["hyper"], ["y_index"])
    build.coded("y", LatentSpec("y", "gaussian", "y_index", mean, step=False, skip=0), "y_hat")
    moved = QuantisationOffsets(model.QuantABCD, gain, model.M, means=means) if offsets else None
    known = ["y_hat", "hyper"] if offsets else ["y_hat"]
    build.decoder("synthesis", ScaledSynthesis(model.g_s, gain, moved), known, [DECODED])
    return build.finish(
        family=FAMILY,
        outputs={PICTURE: DECODED},
        tables={"gaussian": scale_tables(), "hyper": prior.tables(PRIOR_RANGE, z_step)},
        mean_bits=MEAN_BITS,
    )
