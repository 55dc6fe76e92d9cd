"""How an L-MSFC v1 codec is run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fcmrt.spec import FeatureSpec, LatentSpec, Padding

from .coding import (
    DEFAULT_LEVELS,
    SKIP,
    gaussians,
    hyper_latent,
    prior_tables,
    quality_of,
    step_table,
)
from .deployment import Deployment, DeploymentBuilder
from .entropy import MEAN_GRID
from .lmsfc import Lmsfc


class _Analysis(nn.Module):
    """Features to `y` and `z`."""

    def __init__(self, codec: Lmsfc) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.hyper_analysis = codec.hyper_analysis

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        y = self.analysis(*features)
        return y, self.hyper_analysis(y)


def deploy_lmsfc(
    codec: Lmsfc,
    level_names: Sequence[str],
    *,
    levels: Sequence[int] = DEFAULT_LEVELS,
    default_quality: int | None = None,
) -> Deployment:
    """Returns how a codec is run.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.
        default_quality: Level used when none is asked for; None: the middle one.
    """
    config = codec.config
    features = tuple(
        FeatureSpec(name, channels, 2**i)
        for i, (name, channels) in enumerate(zip(level_names, config.feature_channels, strict=True))
    )
    stride = config.latent_stride
    build = DeploymentBuilder(
        features, Padding(max(features[-1].stride, stride), "reflect", "start")
    )
    build.tensor("y", config.latent_channels, stride)
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.tensor("y_mean", config.latent_channels, stride, "int32")
    build.tensor("y_index", config.latent_channels, stride, "int32")
    build.encoder("analysis", _Analysis(codec), level_names, ["y", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("hyper_synthesis", codec.hyper_synthesis, ["z_hat"], ["y_mean", "y_index"])
    y = LatentSpec("y", "gaussian", "y_index", "y_mean", step=True, skip=SKIP)
    build.coded("y", y, "y_hat")
    decoded = {feature.name: f"{feature.name}_hat" for feature in features}
    for feature in features:
        build.tensor(decoded[feature.name], feature.channels, feature.stride)
    build.decoder("synthesis", codec.synthesis, ["y_hat"], list(decoded.values()))
    return build.finish(
        family="lmsfc-v1",
        outputs=decoded,
        tables={"gaussian": gaussians(), "hyper": prior_tables(codec.prior)},
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=quality_of(levels, default_quality),
    )
