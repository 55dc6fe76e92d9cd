"""CompressAI's models that code on a checkerboard.

cheng2020-anchor-checkerboard has one group of channels, elic2022-official and elic2022-chandelier
have five.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from fcmrt.errors import ExportError

from ..deployment import Deployment
from .folding import without_first_inputs
from .picture import prior_of
from .spacechannel import Group, SpaceChannelModel, deploy_spacechannel


def deploy_checkerboard(model: Any) -> Deployment:
    """Returns how a checkerboard model is run.

    Args:
        model: `compressai.models.Cheng2020AnchorCheckerboard`, `Elic2022Official` or
            `Elic2022Chandelier`; borrowed.

    Raises:
        ExportError: Its aggregation does not begin with a convolution.
    """
    hyper = model.latent_codec["hyper"]
    groups = _groups_of(model)
    return deploy_spacechannel(
        SpaceChannelModel(
            family="compressai-elic" if len(groups) > 1 else "compressai-checkerboard",
            groups=groups,
            g_a=model.g_a,
            g_s=model.g_s,
            h_a=hyper.h_a,
            h_s=hyper.h_s,
            prior=prior_of(hyper.entropy_bottleneck),
        )
    )


def _groups_of(model: Any) -> tuple[Group, ...]:
    from compressai.latent_codecs import ChannelGroupsLatentCodec
    from compressai.models import Elic2022Chandelier

    codec = model.latent_codec["y"]
    if not isinstance(codec, ChannelGroupsLatentCodec):
        return (_group(0, codec, None, ()),)
    recent = isinstance(model, Elic2022Chandelier)
    return tuple(
        _group(
            k,
            codec.latent_codec[f"y{k}"],
            codec.channel_context[f"y{k}"] if k else None,
            tuple(sorted({0, k - 1}) if recent and k else range(k)),
        )
        for k in range(len(codec.groups))
    )


def _group(
    number: int, codec: Any, channel_context: nn.Module | None, earlier: tuple[int, ...]
) -> Group:
    """A group, from its `compressai.latent_codecs.CheckerboardLatentCodec`.

    One network serves anchors and others; for anchors, what anchors say is 0.
    """
    spatial = codec.context_prediction
    first, *others = codec.entropy_parameters
    if not isinstance(first, nn.Conv2d):
        raise ExportError("the aggregation of a checkerboard model begins with a convolution")
    return Group(
        number=number,
        channels=int(spatial.in_channels),
        anchors=codec.anchor_parity,
        channel_context=channel_context,
        earlier=earlier,
        spatial=spatial,
        of_anchors=nn.Sequential(without_first_inputs(first, spatial.out_channels), *others),
        of_others=codec.entropy_parameters,
        means_first=codec.latent_codec["y"].chunks == ("means", "scales"),
    )
