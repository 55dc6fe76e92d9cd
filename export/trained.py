"""Checkpoints of the training recipe as deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fcmrt.errors import ExportError
from fcmrt.tasks.task import TASKS

from .checkpoint import card_of
from .codec import FeatureCodec
from .codecs import Config, config_from, make_codec
from .coding import DEFAULT_LEVELS
from .context_deploy import deploy_context
from .deployment import Deployment
from .elic import Elic
from .families import names_of_levels
from .levels import LevelCodecs
from .levels_deploy import deploy_levels
from .lictcm_features import LicTcmFeatures
from .lictcm_features_deploy import deploy_lictcm_features
from .lmsfc import Lmsfc
from .lmsfc_engine import deploy_lmsfc
from .lmsfc_v2 import LmsfcV2

_DEPLOY: dict[type[FeatureCodec], Callable[..., Deployment]] = {
    Lmsfc: deploy_lmsfc,
    LmsfcV2: deploy_context,
    Elic: deploy_context,
    LicTcmFeatures: deploy_lictcm_features,
}

FIRST_LEVEL = 3
"""Levels without known names are called p3, p4, ...: the finest of most pyramids has stride 8."""


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
        codec = make_codec(_config_of(checkpoint))
        codec.load_state_dict({k: v.float() for k, v in checkpoint["average"].items()})
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise ExportError(f"the checkpoint does not fit its configuration: {error}") from error
    return codec.eval()


def _config_of(checkpoint: Mapping[str, Any]) -> Config:
    # Checkpoints written before there were families hold the first one.
    return config_from(checkpoint.get("family", "lmsfc-v1"), checkpoint["config"])


def _level_names(checkpoint: Mapping[str, Any], count: int) -> Sequence[str]:
    task = TASKS.get(str(card_of(checkpoint).get("task")))
    if task is not None and len(task.feature_names) == count:
        return task.feature_names
    return [f"p{FIRST_LEVEL + i}" for i in range(count)]


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
        level_names: Names of the feature levels, finest first; None: those of the task network
            that the checkpoint's card names, else p3, p4 and so on.
        levels: Steps `d` of the quality levels, the one with the fewest bytes first.

    Raises:
        ExportError: As `codec_of` and `names_of_levels`.
    """
    codec = codec_of(checkpoint)
    known = _level_names(checkpoint, len(_config_of(checkpoint).feature_channels))
    return deploy_codec(codec, names_of_levels(level_names, known), levels)


def deploy_codec(
    codec: FeatureCodec, level_names: Sequence[str], levels: Sequence[int] = DEFAULT_LEVELS
) -> Deployment:
    """Returns how a codec is run, of whichever family; its networks are borrowed.

    Args:
        codec: Trained, in float32, on the CPU.
        level_names: As for `deploy`.
        levels: As for `deploy`.
    """
    if isinstance(codec, LevelCodecs):
        return deploy_levels(
            codec, level_names, lambda one, name: deploy_codec(one, [name], levels)
        )
    return _DEPLOY[type(codec)](codec, level_names, levels=levels)
