"""How a codec with a space-channel context is run: ELIC on one level, L-MSFC v2.

Each group of channels `k` has three graphs: `channel_k`, what earlier groups say (except for the
first); `anchor_k`, means and indexes of the anchors; `other_k`, those of the other cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fcmrt.spec import LatentSpec, Padding, Parity

from .codecs import family_of
from .coding import (
    DEFAULT_LEVELS,
    SKIP,
    gaussians,
    hyper_latent,
    prior_tables,
    quality_of,
    step_table,
)
from .context import CheckerboardConv, SpaceChannelContext
from .context_codec import ContextCodec
from .deployment import Deployment, DeploymentBuilder
from .elic import Elic
from .entropy import MEAN_GRID, OctaveIndex
from .lmsfc_engine import pyramid_features
from .lmsfc_v2 import LmsfcV2

_HALVES = ("anchor", "other")


class _Analysis(nn.Module):
    """Features to the groups of `y`, and `z`."""

    def __init__(self, codec: ContextCodec) -> None:
        super().__init__()
        self.analysis = codec.analysis
        self.hyper_analysis = codec.hyper_analysis
        self.groups = codec.config.context.groups

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        y = self.analysis(*features)
        return (*y.split(self.groups, 1), self.hyper_analysis(y))


class OfGroups(nn.Module):
    """A network of whole groups, which come in two halves each, the anchors first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *halves: Tensor) -> Tensor | tuple[Tensor, ...]:
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return self.network(_stacked([anchors + others for anchors, others in pairs]))


class _Parameters(nn.Module):
    """Sources to the mean and index of a group.

    Args:
        index: Raw scales to table indexes.
        aggregation: Of all sources.
        spatial: What the first of them passes before; None: nothing.
    """

    def __init__(
        self, index: nn.Module, aggregation: nn.Module, spatial: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.index = index
        self.aggregation = aggregation
        self.spatial = spatial

    def forward(self, *sources: Tensor) -> tuple[Tensor, Tensor]:
        if self.spatial is not None:
            sources = (self.spatial(sources[0]), *sources[1:])
        mean, scale = self.aggregation(_stacked(sources)).chunk(2, 1)
        return mean, self.index(scale)


def _stacked(maps: Sequence[Tensor]) -> Tensor:
    return maps[0] if len(maps) == 1 else torch.cat(list(maps), 1)


def _without_zeros(aggregation: nn.Sequential, zeros: int) -> nn.Sequential:
    """An aggregation whose first `zeros` inputs are 0, for the other inputs alone."""
    first, *rest = aggregation
    short = nn.Conv2d(first.in_channels - zeros, first.out_channels, 1)
    with torch.no_grad():
        short.weight.copy_(first.weight[:, zeros:])
        short.bias.copy_(first.bias)
    return nn.Sequential(short, *rest)


def _masked(checkerboard: CheckerboardConv) -> nn.Conv2d:
    """A plain convolution that has the taps of a checkerboard's."""
    plain = nn.Conv2d(
        checkerboard.in_channels,
        checkerboard.out_channels,
        checkerboard.kernel_size,
        padding=checkerboard.padding,
    )
    with torch.no_grad():
        plain.weight.copy_(checkerboard.weight * checkerboard.mask)
        plain.bias.copy_(checkerboard.bias)
    return plain


def deploy_context(
    codec: LmsfcV2 | Elic,
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
    features = pyramid_features(level_names, config.feature_channels)
    stride = config.latent_stride
    # Levels that are mixed must fit each other; one alone is cropped to what is wanted.
    multiple = max(features[-1].stride, stride) if len(features) > 1 else 1
    build = DeploymentBuilder(features, Padding(multiple, "reflect", "start"))
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.tensor("hyper", config.hyper_out, stride)
    groups = group_names(codec.context)
    build.encoder("analysis", _Analysis(codec), level_names, [*groups, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("hyper_synthesis", codec.hyper_synthesis, ["z_hat"], ["hyper"])
    y = LatentSpec("", "gaussian", None, None, step=True, skip=SKIP)
    halves = add_context(build, codec.context, stride, OctaveIndex(), y)
    decoded = {feature.name: f"{feature.name}_hat" for feature in features}
    for feature in features:
        build.tensor(decoded[feature.name], feature.channels, feature.stride)
    build.decoder("synthesis", OfGroups(codec.synthesis), halves, list(decoded.values()))
    return build.finish(
        family=family_of(config),
        outputs=decoded,
        tables={"gaussian": gaussians(), "hyper": prior_tables(codec.prior)},
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=quality_of(levels, default_quality),
    )


def _halves(k: int) -> list[str]:
    """Names of the decoded anchors and of the other decoded cells of a group."""
    return [f"y{k}_{half}_hat" for half in _HALVES]


def group_names(context: SpaceChannelContext) -> list[str]:
    """Names of the groups of `y`, which are tensors of their own."""
    return [f"y{k}" for k in range(len(context.config.groups))]


def add_context(
    build: DeploymentBuilder,
    context: SpaceChannelContext,
    stride: int,
    index: nn.Module,
    y: LatentSpec,
) -> list[str]:
    """Adds what both sides do between hyper-synthesis and synthesis, group by group.

    Args:
        build: Has a tensor "hyper", the output of hyper-synthesis.
        context: Its networks are borrowed, or copied where they are simplified.
        stride: Side of a cell of `y` in cells of the finest level.
        index: Raw scales to table indexes.
        y: What all halves of groups have in common: tables, step and skip.

    Returns:
        Names of the decoded halves, in the order in which `OfGroups` takes them.
    """
    for k, channels in enumerate(context.config.groups):
        build.tensor(f"y{k}", channels, stride)
        for name in (f"y{k}_{half}_{role}" for half in _HALVES for role in ("mean", "index")):
            build.tensor(name, channels, stride, "int32")
    for k in range(len(context.config.groups)):
        _add_group(build, context, k, stride, index, y)
    return [half for k in range(len(context.config.groups)) for half in _halves(k)]


def _add_group(
    build: DeploymentBuilder,
    context: SpaceChannelContext,
    k: int,
    stride: int,
    index: nn.Module,
    y: LatentSpec,
) -> None:
    """Adds what both sides do about one group."""
    group = context.config.groups[k]
    anchors, _ = _halves(k)
    sources = ["hyper"]
    if k:
        earlier = [half for j in context.config.earlier(k) for half in _halves(j)]
        build.tensor(f"said_{k}", 2 * group, stride)
        build.both(f"channel_{k}", OfGroups(context.channel[k - 1]), earlier, [f"said_{k}"])
        sources = [f"said_{k}", "hyper"]
    aggregation = context.aggregation[k]
    short = _Parameters(index, _without_zeros(aggregation, 2 * group))
    whole = _Parameters(index, aggregation, _masked(context.spatial[k]))
    _add_half(build, f"y{k}", "anchor", "even", short, sources, y)
    _add_half(build, f"y{k}", "other", "odd", whole, [anchors, *sources], y)


def _add_half(
    build: DeploymentBuilder,
    source: str,
    half: str,
    parity: Parity,
    network: nn.Module,
    inputs: Sequence[str],
    y: LatentSpec,
) -> None:
    name = f"{source}_{half}"
    mean, index = f"{name}_mean", f"{name}_index"
    build.both(f"{half}_{source[1:]}", network, inputs, [mean, index])
    latent = replace(y, source=source, means=mean, indexes=index, parity=parity)
    build.coded(name, latent, f"{name}_hat")
