"""Latents of which a part is known when the next is coded: groups of channels, on a checkerboard.

In each group the cells of one colour, the anchors, come first (arXiv 2103.15306, 2203.10886).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fcmrt.spec import LatentSpec, Parity

from ..bottleneck import EntropyBottleneck
from ..coding import hyper_latent
from ..deployment import Deployment, DeploymentBuilder
from ..medians import PlusMedians
from ..scale_index import scale_tables
from .folding import folded
from .networks import Analysis, MeanAndIndex, Synthesis
from .picture import (
    DECODED,
    HYPER_STRIDE,
    LATENT_STRIDE,
    MEAN_BITS,
    PICTURE,
    PRIOR_RANGE,
    picture_builder,
)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of channels of `y`, and the networks that tell its means and deviations."""

    number: int
    channels: int
    anchors: Parity
    """Of their row + column."""
    channel_context: nn.Module | None
    """What earlier groups say about this one."""
    earlier: tuple[int, ...]
    """Numbers of those groups."""
    spatial: nn.Module
    """What anchors say about their neighbours; the other cells that it is given are 0."""
    of_anchors: nn.Module
    """Combines channel context, if there is any, and hyperprior to parameters."""
    of_others: nn.Module
    """Combines what anchors say, and the same."""
    means_first: bool = False
    """The first half of the parameters are the means, the second the deviations; else the reverse.
    """

    @property
    def name(self) -> str:
        """Of its source tensor."""
        return f"y{self.number}"

    @property
    def parities(self) -> tuple[Parity, Parity]:
        """In the order of coding."""
        return ("even", "odd") if self.anchors == "even" else ("odd", "even")

    @property
    def halves(self) -> list[str]:
        """Names of the dequantised tensors of its latents."""
        return [f"{self.name}_{parity}_hat" for parity in self.parities]


@dataclass(frozen=True, slots=True)
class SpaceChannelModel:
    """A picture codec whose latents are coded so."""

    family: str
    groups: tuple[Group, ...]
    """Of `y`, in the order of coding."""
    g_a: nn.Module
    g_s: nn.Module
    h_a: nn.Module
    h_s: nn.Module
    prior: EntropyBottleneck
    """Of `z`."""
    align: Literal["center", "start"] = "center"
    """Where a picture lies in its padding."""


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
        groups = [one + other for one, other in zip(halves[::2], halves[1::2], strict=True)]
        return self.network(torch.cat(groups, 1))


class AnchorParameters(nn.Module):
    """Means and indexes of anchors.

    Args:
        aggregation: Combines what is known.
        read: Turns its outputs into means and indexes.
    """

    def __init__(self, aggregation: nn.Module, read: MeanAndIndex) -> None:
        super().__init__()
        self.aggregation, self.read = aggregation, read

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


def deploy_spacechannel(model: SpaceChannelModel) -> Deployment:
    """Returns how a codec is run whose latents are coded so, in one group or in several.

    Args:
        model: Borrowed.
    """
    medians = model.prior.medians
    build = picture_builder(HYPER_STRIDE, model.align)
    for group in model.groups:
        build.tensor(group.name, group.channels, LATENT_STRIDE)
    build.tensor("z", medians.shape[1], HYPER_STRIDE)
    channels = [group.channels for group in model.groups]
    analysis = Analysis(model.g_a, model.h_a, medians, channels)
    build.encoder("analysis", analysis, [PICTURE], [*(group.name for group in model.groups), "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    hyper_synthesis = PlusMedians(folded(model.h_s), medians)
    build.tensor("hyper", _outputs(model.h_s), LATENT_STRIDE)
    build.both("hyper_synthesis", hyper_synthesis, ["z_hat"], ["hyper"])
    for group in model.groups:
        _add_group(build, group, model.groups)
    synthesis = Joined(Synthesis(model.g_s))
    build.decoder("synthesis", synthesis, halves_of(model.groups), [DECODED])
    return build.finish(
        family=model.family,
        outputs={PICTURE: DECODED},
        tables={"gaussian": scale_tables(), "hyper": model.prior.tables(PRIOR_RANGE)},
        mean_bits=MEAN_BITS,
    )


def _add_group(build: DeploymentBuilder, group: Group, groups: Sequence[Group]) -> None:
    """Adds what codes a group: channel context, anchors, others."""
    name = group.name
    known = ["hyper"]
    if group.channel_context is not None:
        context = Joined(folded(group.channel_context))
        build.tensor(f"{name}_context", _outputs(group.channel_context), LATENT_STRIDE)
        earlier = halves_of([groups[k] for k in group.earlier])
        build.both(f"{name}_channel", context, earlier, [f"{name}_context"])
        known = [f"{name}_context", "hyper"]
    read = MeanAndIndex(group.channels, means_first=group.means_first)
    first, second = group.parities
    networks = {
        first: AnchorParameters(folded(group.of_anchors), read),
        second: OtherParameters(folded(group.spatial), folded(group.of_others), read),
    }
    for parity, network in networks.items():
        half = f"{name}_{parity}"
        for role in ("mean", "index"):
            build.tensor(f"{half}_{role}", group.channels, LATENT_STRIDE, "int32")
        parameters = [f"{half}_mean", f"{half}_index"]
        anchors = [] if parity == first else [f"{name}_{first}_hat"]
        build.both(f"{half}_parameters", network, [*anchors, *known], parameters)
        mean, index = parameters
        latent = LatentSpec(name, "gaussian", index, mean, step=False, skip=0, parity=parity)
        build.coded(half, latent, f"{half}_hat")


def _outputs(network: nn.Module) -> int:
    """Channels of what a network of convolutions gives."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    *_, last = (module for module in network.modules() if isinstance(module, convolutions))
    return last.out_channels
