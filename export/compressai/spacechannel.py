"""Latents of which a part is known when the next is coded, on a checkerboard.

The models cheng2020-anchor-checkerboard (arXiv 2103.15306), elic2022-official and
elic2022-chandelier (arXiv 2203.10886). The first has one group of channels, the others have five.
In each, the cells of the checkerboard with an even row + column, the anchors, come first, in
CompressAI (`anchor_parity`) as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError
from fcmrt.spec import LatentSpec, Parity

from ..coding import hyper_latent
from ..deployment import Deployment, DeploymentBuilder
from ..medians import PlusMedians
from ..scale_index import scale_tables
from .folding import folded, without_first_inputs
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

HALVES: tuple[Parity, Parity] = ("even", "odd")
"""The anchors, and the others."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of channels of `y`, and what CompressAI codes it with."""

    number: int
    codec: Any
    """`compressai.latent_codecs.CheckerboardLatentCodec`."""
    channel_context: nn.Module | None
    """What earlier groups say about this one."""
    earlier: tuple[int, ...]
    """Numbers of those groups."""

    @property
    def name(self) -> str:
        """Of its source tensor."""
        return f"y{self.number}"

    @property
    def channels(self) -> int:
        """Channels of `y` in the group."""
        return int(self.codec.context_prediction.in_channels)

    @property
    def halves(self) -> list[str]:
        """Names of the dequantised tensors of its latents."""
        return [f"{self.name}_{parity}_hat" for parity in HALVES]


def halves_of(groups: Sequence[Group]) -> list[str]:
    """Returns the names of the dequantised tensors of some groups, in order."""
    return [half for group in groups for half in group.halves]


class Joined(nn.Module):
    """A network of whole groups of channels, which come in two halves each.

    Args:
        network: Reads the groups' concatenation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *halves: Tensor) -> Tensor:
        """Runs the network; `halves` are both halves of the first group, of the second, ..."""
        groups = [even + odd for even, odd in zip(halves[::2], halves[1::2], strict=True)]
        return self.network(torch.cat(groups, 1))


class AnchorParameters(nn.Module):
    """Means and indexes of anchors: the aggregation without the neighbours' part.

    Args:
        aggregation: Its first inputs, as many as `spatial` channels, are zero.
        spatial: Channels of the neighbours' part.
        read: Turns its outputs into means and indexes.
    """

    def __init__(self, aggregation: nn.Sequential, spatial: int, read: MeanAndIndex) -> None:
        super().__init__()
        first, *others = aggregation
        if not isinstance(first, nn.Conv2d):
            raise ExportError("the aggregation of a checkerboard model begins with a convolution")
        self.aggregation = nn.Sequential(without_first_inputs(first, spatial), *others)
        self.read = read

    def forward(self, *known: Tensor) -> tuple[Tensor, Tensor]:
        """From what earlier groups say, if there are any, and what the hyperprior says."""
        return self.read(self.aggregation(torch.cat(known, 1)))


class OtherParameters(nn.Module):
    """Means and indexes of the other cells, from the anchors around them and the rest.

    Args:
        spatial: What anchors say about their neighbours.
        aggregation: Combines all sources.
        read: Turns its outputs into means and indexes.
    """

    def __init__(self, spatial: nn.Module, aggregation: nn.Module, read: MeanAndIndex) -> None:
        super().__init__()
        self.spatial, self.aggregation, self.read = spatial, aggregation, read

    def forward(self, anchors: Tensor, *known: Tensor) -> tuple[Tensor, Tensor]:
        """From the group's anchors, and what is known besides, as for anchors."""
        return self.read(self.aggregation(torch.cat((self.spatial(anchors), *known), 1)))


def deploy_spacechannel(model: Any) -> Deployment:
    """Returns how a checkerboard model is run, in one group of channels or in several.

    Args:
        model: `compressai.models.Cheng2020AnchorCheckerboard`, `Elic2022Official` or
            `Elic2022Chandelier`; borrowed.

    Raises:
        ExportError: Its anchors are the odd cells, which no published model has.
    """
    groups = groups_of(model)
    hyper = model.latent_codec["hyper"]
    prior = prior_of(hyper.entropy_bottleneck)
    build = picture_builder(HYPER_STRIDE)
    for group in groups:
        build.tensor(group.name, group.channels, LATENT_STRIDE)
    build.tensor("z", prior.medians.shape[1], HYPER_STRIDE)
    channels = [group.channels for group in groups]
    analysis = Analysis(model.g_a, hyper.h_a, prior.medians, channels)
    build.encoder("analysis", analysis, [PICTURE], [*(group.name for group in groups), "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    hyper_synthesis = PlusMedians(folded(hyper.h_s), prior.medians)
    build.tensor("hyper", _outputs(hyper.h_s), LATENT_STRIDE)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["hyper"])
    for group in groups:
        _add_group(build, group, groups)
    synthesis = Joined(Synthesis(model.g_s))
    build.decoder("synthesis", synthesis, halves_of(groups), [DECODED])
    return build.finish(
        family="compressai-elic" if len(groups) > 1 else "compressai-checkerboard",
        outputs={PICTURE: DECODED},
        tables={"gaussian": scale_tables(), "hyper": prior.tables(PRIOR_RANGE)},
        mean_bits=MEAN_BITS,
    )


def groups_of(model: Any) -> list[Group]:
    """Returns the groups of a model's `y`, in the order in which they are coded."""
    from compressai.latent_codecs import ChannelGroupsLatentCodec
    from compressai.models import Elic2022Chandelier

    codec = model.latent_codec["y"]
    if not isinstance(codec, ChannelGroupsLatentCodec):
        groups = [Group(0, codec, None, ())]
    else:
        recent = isinstance(model, Elic2022Chandelier)
        groups = [
            Group(
                k,
                codec.latent_codec[f"y{k}"],
                codec.channel_context[f"y{k}"] if k else None,
                tuple(sorted({0, k - 1}) if recent and k else range(k)),
            )
            for k in range(len(codec.groups))
        ]
    for group in groups:
        if group.codec.anchor_parity != "even":
            raise ExportError(
                f"the anchors of group {group.number} are the odd cells of the checkerboard; "
                "only models whose anchors are the even ones can be exported"
            )
    return groups


def _add_group(build: DeploymentBuilder, group: Group, groups: Sequence[Group]) -> None:
    """Adds what codes a group: channel context, anchors, others."""
    name, codec = group.name, group.codec
    known = ["hyper"]
    if group.channel_context is not None:
        context = Joined(folded(group.channel_context))
        build.tensor(f"{name}_context", _outputs(group.channel_context), LATENT_STRIDE)
        earlier = halves_of([groups[k] for k in group.earlier])
        build.both(f"{name}_channel", context, earlier, [f"{name}_context"])
        known = [f"{name}_context", "hyper"]
    aggregation = folded(codec.entropy_parameters)
    means_first = codec.latent_codec["y"].chunks == ("means", "scales")
    read = MeanAndIndex(group.channels, means_first=means_first)
    spatial = folded(codec.context_prediction)
    networks = {
        "even": AnchorParameters(aggregation, codec.context_prediction.out_channels, read),
        "odd": OtherParameters(spatial, aggregation, read),
    }
    for parity in HALVES:
        half = f"{name}_{parity}"
        for role in ("mean", "index"):
            build.tensor(f"{half}_{role}", group.channels, LATENT_STRIDE, "int32")
        parameters = [f"{half}_mean", f"{half}_index"]
        anchors = [] if parity == "even" else [f"{name}_even_hat"]
        build.both(f"{half}_parameters", networks[parity], [*anchors, *known], parameters)
        mean, index = parameters
        latent = LatentSpec(name, "gaussian", index, mean, step=False, skip=0, parity=parity)
        build.coded(half, latent, f"{half}_hat")


def _outputs(network: nn.Module) -> int:
    """Channels of what a network of convolutions gives."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    *_, last = (module for module in network.modules() if isinstance(module, convolutions))
    return last.out_channels
