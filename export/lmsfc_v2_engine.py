"""How L-MSFC v2 is run as its authors train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from fcmrt.spec import LatentSpec, Padding

from .coding import FINE_MEAN_BITS, hyper_latent
from .context_deploy import OfGroups, add_context, group_names
from .deployment import Deployment, DeploymentBuilder
from .families import names_of_levels
from .gains import POSITION, gain_quality
from .lmsfc_engine import pyramid_features
from .lmsfc_v2_published import PublishedLmsfcV2
from .lmsfc_v2_state import LEVELS, load_lmsfc_v2
from .medians import LessMedians, PlusMedians
from .scale_index import ScaleIndex, scale_tables


class _Analysis(nn.Module):
    """Features and the position to the groups of `y`, scaled, and `z` less its medians."""

    def __init__(self, codec: PublishedLmsfcV2) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.gain = codec.gain.interpolation()
        self.hyper_analysis = LessMedians(codec.hyper_analysis, codec.prior.medians)
        self.groups = codec.config.context.groups

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *features, position = inputs
        y = self.analysis(*features) * self.gain(position)
        return (*y.split(self.groups, 1), self.hyper_analysis(y))


class _Synthesis(nn.Module):
    """The halves of all groups, and the position, to features."""

    def __init__(self, codec: PublishedLmsfcV2) -> None:
        super().__init__()
        self.join = OfGroups(nn.Identity())
        self.gain = codec.inverse_gain.interpolation()
        self.synthesis = codec.synthesis

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *halves, position = inputs
        y_hat = self.join(*halves) * self.gain(position)
        return cast("tuple[Tensor, ...]", self.synthesis(y_hat))


def deploy_lmsfc_v2(codec: PublishedLmsfcV2, level_names: Sequence[str]) -> Deployment:
    """Returns how a codec is run: `z`, then group after group of `y`, each in two halves.

    Quality follows the trained gains, and what lies between two of them. All elements are coded,
    however narrow their distribution, as in the authors' code.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first.
    """
    config = codec.config
    features = pyramid_features(level_names, config.feature_channels)
    stride = config.latent_stride
    multiple = stride * config.hyper_stride
    build = DeploymentBuilder(features, Padding(multiple, "reflect", "center"))
    build.tensor("z", config.hyper_channels, multiple)
    build.tensor("hyper", config.hyper_out, stride)
    groups = group_names(codec.context)
    build.encoder("analysis", _Analysis(codec), [*level_names, POSITION], [*groups, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    hyper_synthesis = PlusMedians(codec.hyper_synthesis, codec.prior.medians)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["hyper"])
    y = LatentSpec("", "gaussian", None, None, step=False, skip=0)
    halves = add_context(build, codec.context, stride, ScaleIndex(), y)
    decoded = {feature.name: f"{feature.name}_hat" for feature in features}
    for feature in features:
        build.tensor(decoded[feature.name], feature.channels, feature.stride)
    build.decoder("synthesis", _Synthesis(codec), [*halves, POSITION], list(decoded.values()))
    return build.finish(
        family="lmsfc-v2",
        outputs=decoded,
        tables={"gaussian": scale_tables(), "hyper": codec.prior.tables()},
        mean_bits=FINE_MEAN_BITS,
        quality=gain_quality(codec.gain_levels),
    )


def deploy(
    checkpoint: Mapping[str, Any], /, *, level_names: Sequence[str] | None = None
) -> Deployment:
    """Returns how the codec of a checkpoint of the authors' code is run.

    Args:
        checkpoint: As `read_checkpoint` gives it.
        level_names: Names of the feature levels, finest first; None: p2 to p5, or p3 to p5 where
            there are three.

    Raises:
        ExportError: As `load_lmsfc_v2` and `names_of_levels`.
    """
    codec = load_lmsfc_v2(checkpoint)
    known = [f"p{number}" for number in LEVELS[codec.config.levels]]
    return deploy_lmsfc_v2(codec, names_of_levels(level_names, known))
