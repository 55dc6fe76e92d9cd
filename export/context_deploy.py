"""How a codec with a space-channel context is run: ELIC on one level, L-MSFC v2.

Of each group of channels `k` three graphs are made: `channel_k`, what earlier groups say (not of
the first); `anchor_k`, means and indexes of the anchors; `other_k`, those of the other cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from fcmrt.spec import FeatureSpec, LatentSpec, Padding, Parity

from .coding import (
    DEFAULT_LEVELS,
    SKIP,
    gaussians,
    hyper_latent,
    prior_tables,
    quality_of,
    step_table,
)
from .context import CheckerboardConv
from .context_codec import ContextCodec
from .deployment import Deployment, DeploymentBuilder
from .entropy import INDEX_START, INDEXES_PER_OCTAVE, MEAN_GRID

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


class _Groups(nn.Module):
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
        aggregation: Of all sources.
        spatial: What the first of them passes before; None: nothing.
    """

    def __init__(self, aggregation: nn.Module, spatial: nn.Module | None = None) -> None:
        super().__init__()
        self.aggregation = aggregation
        self.spatial = spatial

    def forward(self, *sources: Tensor) -> tuple[Tensor, Tensor]:
        if self.spatial is not None:
            sources = (self.spatial(sources[0]), *sources[1:])
        mean, octaves = self.aggregation(_stacked(sources)).chunk(2, 1)
        return mean, octaves * INDEXES_PER_OCTAVE + INDEX_START


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


def _taking(network: nn.Module, inputs: Sequence[str]) -> nn.Module:
    """A network of any number of inputs as one of these; what traces it wants to know."""
    graph = fx.Graph()
    places = [graph.placeholder(name) for name in inputs]
    graph.output(graph.call_module("network", tuple(places)))
    return fx.GraphModule({"network": network}, graph)


def deploy_context(
    codec: ContextCodec,
    level_names: Sequence[str],
    *,
    family: str,
    levels: Sequence[int] = DEFAULT_LEVELS,
    default_quality: int | None = None,
) -> Deployment:
    """Returns how a codec is run.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first.
        family: Which kind of codec it is.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.
        default_quality: Level used when none is asked for; None: the middle one.
    """
    config = codec.config
    features = tuple(
        FeatureSpec(name, channels, 2**i)
        for i, (name, channels) in enumerate(zip(level_names, config.feature_channels, strict=True))
    )
    stride = config.latent_stride
    # Levels that are mixed must fit each other; one alone is cropped to what is wanted.
    multiple = max(features[-1].stride, stride) if len(features) > 1 else 1
    build = DeploymentBuilder(features, Padding(multiple, "reflect", "start"))
    groups = [f"y{k}" for k in range(len(config.context.groups))]
    for k, channels in enumerate(config.context.groups):
        build.tensor(groups[k], channels, stride)
        for name in (f"y{k}_{half}_{role}" for half in _HALVES for role in ("mean", "index")):
            build.tensor(name, channels, stride, "int32")
    build.tensor("z", config.hyper_channels, stride * config.hyper_stride)
    build.tensor("hyper", config.hyper_out, stride)
    build.encoder("analysis", _Analysis(codec), level_names, [*groups, "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("hyper_synthesis", codec.hyper_synthesis, ["z_hat"], ["hyper"])
    for k in range(len(groups)):
        _add_group(build, codec, k)
    halves = [half for k in range(len(groups)) for half in _halves(k)]
    decoded = {feature.name: f"{feature.name}_hat" for feature in features}
    for feature in features:
        build.tensor(decoded[feature.name], feature.channels, feature.stride)
    synthesis = _taking(_Groups(codec.synthesis), halves)
    build.decoder("synthesis", synthesis, halves, list(decoded.values()))
    return build.finish(
        family=family,
        outputs=decoded,
        tables={"gaussian": gaussians(), "hyper": prior_tables(codec.prior)},
        mean_bits=MEAN_GRID.bit_length() - 1,
        steps=step_table(),
        quality=quality_of(levels, default_quality),
    )


def _halves(k: int) -> list[str]:
    """Names of the decoded anchors and of the other decoded cells of a group."""
    return [f"y{k}_{half}_hat" for half in _HALVES]


def _add_group(build: DeploymentBuilder, codec: ContextCodec, k: int) -> None:
    """Adds what both sides do about one group."""
    config, context = codec.config.context, codec.context
    group, stride = config.groups[k], codec.config.latent_stride
    anchors, _ = _halves(k)
    sources = ["hyper"]
    if k:
        earlier = [half for j in config.earlier(k) for half in _halves(j)]
        build.tensor(f"said_{k}", 2 * group, stride)
        channel = _taking(_Groups(context.channel[k - 1]), earlier)
        build.both(f"channel_{k}", channel, earlier, [f"said_{k}"])
        sources = [f"said_{k}", "hyper"]
    aggregation = context.aggregation[k]
    short = _without_zeros(aggregation, 2 * group)
    spatial = _masked(context.spatial[k])
    _add_half(build, k, "anchor", "even", _Parameters(short), sources)
    _add_half(build, k, "other", "odd", _Parameters(aggregation, spatial), [anchors, *sources])


def _add_half(
    build: DeploymentBuilder,
    k: int,
    half: str,
    parity: Parity,
    network: nn.Module,
    inputs: Sequence[str],
) -> None:
    name = f"y{k}_{half}"
    mean, index = f"{name}_mean", f"{name}_index"
    build.both(f"{half}_{k}", _taking(network, inputs), inputs, [mean, index])
    latent = LatentSpec(f"y{k}", "gaussian", index, mean, step=True, skip=SKIP, parity=parity)
    build.coded(name, latent, f"{name}_hat")
