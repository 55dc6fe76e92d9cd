"""L-MSFC v2 checkpoints in the layout of the authors' public code.

Source of the names: github herok97/L-MSFC-V2-Training, `train/src/lmsfcv2.py`, `networks.py` and
`modules.py`, over the priors of CompressAI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fcmrt.errors import ExportError

from .checkpoint import state_of
from .context import ContextConfig
from .foreign_state import (
    COMPRESSAI,
    COMPRESSAI_DERIVED,
    Names,
    load_foreign,
    names_of_release,
)
from .layers import TripleBottleneck
from .lmsfc_v2 import Analysis, LmsfcV2Config, Synthesis
from .lmsfc_v2_published import PublishedLmsfcV2
from .scale_index import check_scale_table

LEVELS = {4: (2, 3, 4, 5), 3: (3, 4, 5)}
"""Numbers of the levels in the authors' names, finest first, by how many there are."""

PARTS = ("g_a.", "g_s.", "h_s.")
"""With what the weights of an encoder, of a decoder and of what is between them begin."""

ATTENTION = {4: (1, 3), 3: (0, 2)}
"""Stages of analysis that end in an attention block, likewise."""


def authors_names(levels: int) -> Names:
    """Returns the authors' names of a codec with so many levels."""
    numbers = LEVELS[levels]
    return {
        **COMPRESSAI,
        PublishedLmsfcV2: {
            "analysis": "g_a",
            "synthesis": "g_s",
            "gain.values": "Gain",
            "inverse_gain.values": "InverseGain",
            "hyper_analysis.layers": "h_a",
            "hyper_synthesis.layers": "h_s",
            "context.channel": "cc_transforms",
            "context.spatial": "context_prediction",
            "context.aggregation": "ParamAggregation",
            "prior": "entropy_bottleneck",
        },
        Analysis: {f"stages.{i}": f"block{i + 1}" for i in range(levels)},
        Synthesis: {
            "entry": "decoder_attention",
            **{f"branches.{i}": f"p{n}Decoder" for i, n in enumerate(numbers)},
            **{f"downs.{i}": f"fmb{n}{n + 1}.conv1" for i, n in enumerate(numbers[:-1])},
            **{f"mixers.{i}": f"fmb{n}{n + 1}.conv2" for i, n in enumerate(numbers[:-1])},
        },
        TripleBottleneck: {
            f"{unit}.body.{2 * layer}": f"res{unit + 1}.conv{layer + 1}"
            for unit in range(3)
            for layer in range(3)
        },
    }


def load_lmsfc_v2(checkpoint: Mapping[str, Any]) -> PublishedLmsfcV2:
    """Makes a codec from a checkpoint of the authors' code, of three or four levels, of any widths.

    Args:
        checkpoint: As loaded (weights only) of the whole codec; see `state_of`.

    Raises:
        ExportError: It is of another codec: a key is missing or left over, or a tensor has another
            shape; the text names it.
    """
    weights = state_of(checkpoint)
    lacking = [part for part in PARTS if not any(key.startswith(part) for key in weights)]
    if 0 < len(lacking) < len(PARTS):
        raise ExportError(
            "the checkpoint is not of L-MSFC v2, or only a part, as split_checkpoints.py makes "
            f"them: it has no weights {', '.join(f'{part}*' for part in lacking)}. Save those of "
            "all parts in one dict"
        )
    check_scale_table(weights.get("gaussian_conditional.scale_table"))
    config, gain_levels = _sizes(weights)
    codec = PublishedLmsfcV2(config, gain_levels)
    names = names_of_release(authors_names(config.levels), weights)
    load_foreign(codec, weights, names, COMPRESSAI_DERIVED)
    return codec.eval()


def _sizes(weights: Mapping[str, Tensor]) -> tuple[LmsfcV2Config, int]:
    """Reads the sizes of a codec from those of its weights; also its number of gains."""

    def side(key: str, axis: int) -> int:
        found = weights.get(key)
        if found is None or found.ndim <= axis:
            raise ExportError(
                f"the checkpoint is not of L-MSFC v2: it has no {key!r}, or one of another rank"
            )
        return found.shape[axis]

    levels = 4 if "g_a.block4.0.weight" in weights else 3
    width = side("g_a.block1.0.weight", 0)
    entering = [side(f"g_a.block{i + 1}.0.weight", 1) for i in range(levels)]
    groups = [k for k in range(len(weights)) if f"context_prediction.{k}.weight" in weights]
    config = LmsfcV2Config(
        feature_channels=(entering[0], *(channels - width for channels in entering[1:])),
        width=width,
        latent_stride=2**levels,
        hyper_widths=(side("h_s.0.weight", 0), side("h_s.2.weight", 1)),
        hyper_out=side("h_s.4.weight", 0),
        attention_levels=ATTENTION[levels],
        context=ContextConfig(
            groups=tuple(side(f"context_prediction.{k}.weight", 1) for k in groups),
            channel_widths=(
                side("cc_transforms.0.0.weight", 0),
                side("cc_transforms.0.2.weight", 0),
            ),
            aggregation_widths=(
                side("ParamAggregation.0.0.weight", 0),
                side("ParamAggregation.0.2.weight", 0),
            ),
        ),
    )
    return config, side("Gain", 0)
