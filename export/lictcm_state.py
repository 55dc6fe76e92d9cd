"""LIC-TCM checkpoints in the layout of the authors' public code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcmrt.errors import ExportError

from .checkpoint import state_of
from .foreign_state import COMPRESSAI, COMPRESSAI_DERIVED, Names, load_foreign, names_of_release
from .lictcm import LicTcm, LicTcmConfig
from .scale_index import check_scale_table
from .swin import MixedBlock, SwinBlock, SwinGate, WindowAttention

SLICES = 5

AUTHORS: Names = {
    **COMPRESSAI,
    LicTcm: {
        "analysis": "g_a",
        "synthesis": "g_s",
        "hyper_analysis": "h_a",
        "hyper_means": "h_mean_s",
        "hyper_scales": "h_scale_s",
        "prior": "entropy_bottleneck",
        **{
            ours.format(k): authors.format(k)
            for k in range(SLICES)
            for ours, authors in (
                ("slices.supports.{}", "atten_mean.{}.0"),
                ("slices.parameters_of.{}.scale_gate", "atten_scale.{}.0"),
                ("slices.parameters_of.{}.mean", "cc_mean_transforms.{}"),
                ("slices.parameters_of.{}.scale", "cc_scale_transforms.{}"),
                ("slices.residuals.{}.transform", "lrp_transforms.{}"),
            )
        },
    },
    MixedBlock: {
        "split": "conv1_1",
        "join": "conv1_2",
        "local": "conv_block",
        "window": "trans_block",
    },
    SwinBlock: {"attention_norm": "ln1", "attention": "msa", "mlp_norm": "ln2"},
    WindowAttention: {
        "qkv": "embedding_layer",
        "out": "linear",
        "position_bias": "relative_position_params",
    },
    SwinGate: {
        "squeeze": "in_conv",
        "windows.0": "non_local_block.block_1",
        "windows.1": "non_local_block.block_2",
        "expand": "out_conv",
    },
}
"""The authors' names."""


def load_lictcm(checkpoint: Mapping[str, Any]) -> LicTcm:
    """Makes a codec from a checkpoint of the authors' code; small, middle or large by its widths.

    Args:
        checkpoint: As loaded (weights only); see `state_of`.

    Raises:
        ExportError: It is of another codec, or of another version of this one.
    """
    weights = state_of(checkpoint)
    first = weights.get("g_a.0.conv1.weight")
    if first is None or first.ndim != 4:
        raise ExportError("the checkpoint is not of LIC-TCM: it has no 'g_a.0.conv1.weight'")
    check_scale_table(weights.get("gaussian_conditional.scale_table"))
    codec = LicTcm(LicTcmConfig(width=first.shape[0] // 2))
    load_foreign(codec, weights, names_of_release(AUTHORS, weights), COMPRESSAI_DERIVED)
    return codec.eval()
