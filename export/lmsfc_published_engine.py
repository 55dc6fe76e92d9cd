"""How L-MSFC v1 is run as its authors train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fcmrt.spec import LatentSpec, Padding

from .coding import FINE_MEAN_BITS
from .deployment import Deployment
from .families import names_of_levels
from .layers import fold_gdn
from .lmsfc_engine import Analysis, schedule_lmsfc
from .lmsfc_published import PublishedLmsfc
from .lmsfc_v1_state import LEVELS, load_lmsfc_v1
from .medians import LessMedians, PlusMedians
from .scale_index import scale_tables


def deploy_published_lmsfc(codec: PublishedLmsfc, level_names: Sequence[str]) -> Deployment:
    """Returns how a codec is run.

    One checkpoint has one quality. All elements are coded, however narrow their distribution, as
    in the authors' code.

    Args:
        codec: Trained, in float32, on the CPU; its networks are borrowed.
        level_names: Names of the feature levels, finest first.
    """
    medians = codec.prior.medians
    multiple = codec.config.latent_stride * codec.config.hyper_stride
    return schedule_lmsfc(
        codec.config,
        level_names,
        Padding(multiple, "reflect", "center"),
        LatentSpec("y", "gaussian", "y_index", "y_mean", step=False, skip=0),
        Analysis(fold_gdn(codec.analysis), LessMedians(codec.hyper_analysis, medians)),
        PlusMedians(codec.hyper_synthesis, medians),
        fold_gdn(codec.synthesis),
        tables={"gaussian": scale_tables(), "hyper": codec.prior.tables()},
        mean_bits=FINE_MEAN_BITS,
    )


def deploy(
    checkpoint: Mapping[str, Any], /, *, level_names: Sequence[str] | None = None
) -> Deployment:
    """Returns how the codec of a checkpoint of the authors' code is run.

    Args:
        checkpoint: As `read_checkpoint` gives it.
        level_names: Names of the feature levels, finest first; None: p2 to p5.

    Raises:
        ExportError: As `load_lmsfc_v1` and `names_of_levels`.
    """
    names = names_of_levels(level_names, [f"p{level}" for level in LEVELS])
    return deploy_published_lmsfc(load_lmsfc_v1(checkpoint), names)
