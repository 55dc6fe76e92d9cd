"""The public ELIC of ten groups, and its checkpoints.

Unlike CompressAI's models, it has networks of its own for anchors, and those are the odd cells.
Source of layers and names: github JiangWeibeta/ELIC, `models` and `modules`. Of its descendants
(LuizScarlet/FSDALIC), whose names differ in two places, checkpoints without adapters are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from ..checkpoint import state_of
from ..deployment import Deployment
from ..layers import ResidualBottleneck, conv, deconv
from .loading import State, filled
from .picture import prior_of
from .spacechannel import Group, SpaceChannelModel, deploy_spacechannel

_CONTEXT_WIDTHS = (224, 128)
_RENAMED = (
    (re.compile(r"^g_a\.analysis_transform\."), "g_a."),
    (re.compile(r"^g_s\.synthesis_transform\."), "g_s."),
    (re.compile(r"^h_a\.reduction\."), "h_a."),
    (re.compile(r"^h_s\.increase\."), "h_s."),
    (re.compile(r"^(g_[as]\.\d+)\.branch\."), r"\1.body."),
    (re.compile(r"^(entropy_bottleneck)\._matrix(\d)$"), r"\1.matrices.\2"),
    (re.compile(r"^(entropy_bottleneck)\._bias(\d)$"), r"\1.biases.\2"),
    (re.compile(r"^(entropy_bottleneck)\._factor(\d)$"), r"\1.factors.\2"),
    (re.compile(r"^local_context\.(\d+)\.fusion\."), r"local_context.\1."),
    (re.compile(r"^channel_context\.(\d+)\.(?:fushion|fusion)\."), r"channel_context.\1."),
    (re.compile(r"^(entropy_parameters_(?:non)?anchor\.\d+)\.fusion\."), r"\1."),
)


class ElicOfTenGroups(nn.Module):
    """Its networks, under its names for their parts.

    Args:
        width: Channels between analysis and synthesis layers, and of `z`.
        groups: Channels of each group of `y`.
    """

    def __init__(self, width: int, groups: Sequence[int]) -> None:
        from compressai.entropy_models import EntropyBottleneck

        super().__init__()
        channels = sum(groups)
        self.g_a = _analysis(width, channels)
        self.g_s = _synthesis(width, channels)
        self.h_a = nn.Sequential(
            conv(channels, width),
            nn.ReLU(),
            conv(width, width, 5, 2),
            nn.ReLU(),
            conv(width, width, 5, 2),
        )
        inner = channels * 3 // 2
        self.h_s = nn.Sequential(
            deconv(width, channels),
            nn.ReLU(),
            deconv(channels, inner),
            nn.ReLU(),
            nn.ConvTranspose2d(inner, 2 * channels, 3, padding=1),
        )
        self.entropy_bottleneck = EntropyBottleneck(width)
        self.local_context = nn.ModuleList(conv(c, 2 * c, 5) for c in groups)
        self.channel_context = nn.ModuleDict(
            {
                str(k): _chain(sum(groups[:k]), (*_CONTEXT_WIDTHS, 2 * c), 5)
                for k, c in enumerate(groups)
                if k
            }
        )
        # What they read: hyperprior; from the second group on, channel context; local context.
        known = [2 * channels + (2 * c if k else 0) for k, c in enumerate(groups)]
        self.entropy_parameters_anchor = nn.ModuleList(
            _parameters(n, 2 * c) for n, c in zip(known, groups, strict=True)
        )
        self.entropy_parameters_nonanchor = nn.ModuleList(
            _parameters(n + 2 * c, 2 * c) for n, c in zip(known, groups, strict=True)
        )
        self.groups = tuple(groups)


def _analysis(width: int, channels: int) -> nn.Sequential:
    from compressai.layers import AttentionBlock

    return nn.Sequential(
        conv(3, width, 5, 2),
        *_bottlenecks(width),
        conv(width, width, 5, 2),
        *_bottlenecks(width),
        AttentionBlock(width),
        conv(width, width, 5, 2),
        *_bottlenecks(width),
        conv(width, channels, 5, 2),
        AttentionBlock(channels),
    )


def _synthesis(width: int, channels: int) -> nn.Sequential:
    from compressai.layers import AttentionBlock

    return nn.Sequential(
        AttentionBlock(channels),
        deconv(channels, width),
        *_bottlenecks(width),
        deconv(width, width),
        AttentionBlock(width),
        *_bottlenecks(width),
        deconv(width, width),
        *_bottlenecks(width),
        deconv(width, 3),
    )


def _bottlenecks(width: int) -> list[nn.Module]:
    return [ResidualBottleneck(width) for _ in range(3)]


def _parameters(inputs: int, outputs: int) -> nn.Sequential:
    return _chain(inputs, (outputs * 5 // 3, outputs * 4 // 3, outputs), 1)


def _chain(inputs: int, widths: Sequence[int], kernel: int) -> nn.Sequential:
    """Convolutions with a ReLU between any two."""
    layers: list[nn.Module] = []
    for before, after in zip((inputs, *widths), widths, strict=False):
        layers += [conv(before, after, kernel), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def load_jiang(checkpoint: Mapping[str, Any]) -> ElicOfTenGroups:
    """Makes the model of a checkpoint.

    Args:
        checkpoint: As `read_checkpoint` gives it: the weights, or what wraps them.

    Returns:
        The model in evaluation mode, float32, on the CPU; its parameters do not train.

    Raises:
        ImportError: CompressAI is not installed.
        ExportError: The checkpoint is of another codec, or of other deviations than CompressAI's.
    """
    state = {_renamed(key): value for key, value in state_of(checkpoint).items()}
    return cast("ElicOfTenGroups", filled("elic2022-jiang", _sized, state))


def deploy(checkpoint: Mapping[str, Any], /) -> Deployment:
    """Returns how the model of a checkpoint is run; see `fcmrt.export.families.Deploy`.

    A picture lies at the top left of zeros, as where its authors evaluate it.

    Args:
        checkpoint: As for `load_jiang`.

    Raises:
        ImportError, ExportError: As `load_jiang`.
    """
    model = load_jiang(checkpoint)
    return deploy_spacechannel(
        SpaceChannelModel(
            family="elic-jiang",
            groups=tuple(
                Group(
                    number=k,
                    channels=channels,
                    anchors="odd",
                    channel_context=model.channel_context[str(k)] if k else None,
                    earlier=tuple(range(k)),
                    spatial=model.local_context[k],
                    of_anchors=model.entropy_parameters_anchor[k],
                    of_others=model.entropy_parameters_nonanchor[k],
                )
                for k, channels in enumerate(model.groups)
            ),
            g_a=model.g_a,
            g_s=model.g_s,
            h_a=model.h_a,
            h_s=model.h_s,
            prior=prior_of(model.entropy_bottleneck),
            align="start",
        )
    )


def _sized(state: State) -> ElicOfTenGroups:
    width = len(state["g_a.0.weight"])
    groups = [state["local_context.0.weight"].shape[1]]
    while (key := f"local_context.{len(groups)}.weight") in state:
        groups.append(state[key].shape[1])
    return ElicOfTenGroups(width, groups)


def _renamed(key: str) -> str:
    for pattern, name in _RENAMED:
        key = pattern.sub(name, key)
    return key
