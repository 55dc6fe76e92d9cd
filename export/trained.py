"""Checkpoints of the training recipe as deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from fcmrt.errors import ExportError

from .codec import FeatureCodec
from .codecs import config_from, make_codec
from .coding import DEFAULT_LEVELS
from .deployment import Deployment
from .lmsfc import Lmsfc
from .lmsfc_engine import deploy_lmsfc

_DEPLOY: dict[type[FeatureCodec], Callable[..., Deployment]] = {Lmsfc: deploy_lmsfc}

FIRST_LEVEL = 3
"""Levels are called p3, p4, ... unless told otherwise: the finest of most pyramids has stride 8."""


def codec_of(checkpoint: Mapping[str, Any]) -> FeatureCodec:
    """Returns the averaged weights of a training run, ready for export.

    Args:
        checkpoint: `checkpoint.pt` of a training run, as `read_checkpoint` gives it.

    Raises:
        ExportError: It is something else, or of a family that is not known here.
    """
    if not {"config", "average"} <= set(checkpoint):
        raise ExportError(
            f"the checkpoint has {', '.join(map(str, list(checkpoint)[:5]))}; one of fcmrt.export."
            "train has 'config' and 'average'. Which codec is it? Say --codec NAME"
        )
    try:
        # Checkpoints written before there were families hold the first one.
        config = config_from(checkpoint.get("family", "lmsfc-v1"), checkpoint["config"])
        codec = make_codec(config)
        codec.load_state_dict({k: v.float() for k, v in checkpoint["average"].items()})
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise ExportError(f"the checkpoint does not fit its configuration: {error}") from error
    return codec.eval()


def deploy(
    checkpoint: Mapping[str, Any],
    /,
    *,
    level_names: Sequence[str] | None = None,
    levels: Sequence[int] = DEFAULT_LEVELS,
) -> Deployment:
    """Returns how the codec of a training run is run.

    Args:
        checkpoint: As for `codec_of`.
        level_names: Names of the feature levels, finest first; None: p3, p4 and so on.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.

    Raises:
        ExportError: As `codec_of`.
    """
    codec = codec_of(checkpoint)
    channels = checkpoint["config"]["feature_channels"]
    names = level_names or [f"p{FIRST_LEVEL + i}" for i in range(len(channels))]
    with torch.no_grad():
        return _DEPLOY[type(codec)](codec, names, levels=levels)
