"""L-MSFC v1 checkpoints in the layout of the authors' public code.

Source of the names: github VML-lambda/L-MSFC, `src/model_no_ar.py` and `src/model.py`, over the
blocks of CompressAI 1.1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcmrt.errors import ExportError

from .foreign_state import COMPRESSAI, COMPRESSAI_DERIVED, Names, load_foreign, weights_of
from .lmsfc import Analysis, LmsfcConfig, Synthesis
from .lmsfc_published import PublishedLmsfc
from .scale_index import check_scale_table

LEVELS = (2, 3, 4, 5)
"""Numbers of the pyramid's levels, finest first."""

AUTHORS: Names = {
    **COMPRESSAI,
    PublishedLmsfc: {
        "analysis": "g_a",
        "synthesis": "g_s",
        "hyper_analysis.layers": "h_a",
        "hyper_synthesis.layers": "h_s",
        "hyper_synthesis.head": "h_s.8",
        "prior": "entropy_bottleneck",
    },
    Analysis: {f"stages.{i}": f"p{level}Encoder" for i, level in enumerate(LEVELS)},
    Synthesis: {
        "entry": "decoder_attention",
        **{f"branches.{i}": f"p{level}Decoder" for i, level in enumerate(LEVELS)},
        **{f"downs.{i}": f"fmb{level}{level + 1}.conv1" for i, level in enumerate(LEVELS[:-1])},
        **{f"mixers.{i}": f"fmb{level}{level + 1}.conv2" for i, level in enumerate(LEVELS[:-1])},
    },
}
"""The authors' names."""

_FIRST = "g_a.p2Encoder.0.conv1.weight"


def load_lmsfc_v1(checkpoint: Mapping[str, Any]) -> PublishedLmsfc:
    """Makes a codec from a checkpoint of the authors' code, of any widths.

    Args:
        checkpoint: As loaded (weights only); see `weights_of`.

    Raises:
        ExportError: It is of another codec, or of the variant with a context model, which is read
            cell after cell and cannot be run.
        EngineError: A key is missing or left over, or a tensor has another shape.
    """
    weights = weights_of(checkpoint)
    if any(key.startswith("context_prediction.") for key in weights):
        raise ExportError(
            "the checkpoint is of L-MSFC with its context model, which decodes one cell of the "
            "latent after another: a network would run for every cell. Export the variant without "
            "it ('L-MSFC (w/o CM)', model_no_ar), or L-MSFC v2, whose context is parallel"
        )
    first = weights.get(_FIRST)
    if first is None or first.ndim != 4:
        raise ExportError(f"the checkpoint is not of L-MSFC v1: it has no {_FIRST!r}")
    check_scale_table(weights.get("gaussian_conditional.scale_table"))
    width, features = first.shape[:2]
    config = LmsfcConfig(
        feature_channels=(features,) * len(LEVELS),
        width=width,
        latent_channels=width,
        hyper_channels=width,
    )
    codec = PublishedLmsfc(config)
    load_foreign(codec, weights, AUTHORS, COMPRESSAI_DERIVED)
    return codec.eval()
