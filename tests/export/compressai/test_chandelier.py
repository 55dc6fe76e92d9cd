"""The public ELIC in its own names: the same symbols as its forward pass, told here anew."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.compressai_samples import SIZES, loud
from fcmrt.errors import ExportError
from fcmrt.export import find_family

from .elic import conv, deconv, halved, holds, in_turn, transform

NAME = "elic2022-chandelier"
GROUPS = SIZES[NAME]["groups"]
M = sum(GROUPS)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """As his training saves it, over CompressAI 1.1.5, and updated."""
    model = loud(NAME)
    renamed = {}
    for key, value in model.state_dict().items():
        key = re.sub(r"^latent_codec\.hyper\.", "", key)
        key = re.sub(
            r"^entropy_bottleneck\.(matri|bia|factor)(?:ces|ses|s)\.",
            lambda m: f"entropy_bottleneck._{m[1]}".replace("matri", "matrix").replace(
                "bia", "bias"
            ),
            key,
        )
        key = re.sub(
            r"^latent_codec\.y\.channel_context\.y(\d)",
            lambda m: f"cc_transforms.{int(m[1]) - 1}",
            key,
        )
        key = re.sub(
            r"^latent_codec\.y\.latent_codec\.y(\d)\.entropy_parameters",
            r"ParamAggregation.\1",
            key,
        )
        key = re.sub(
            r"^latent_codec\.y\.latent_codec\.y(\d)\.context_prediction",
            r"context_prediction.\1",
            key,
        )
        key = re.sub(r"^latent_codec\.y\.latent_codec\.y0\.y\.", "", key)
        if not key.startswith("latent_codec."):
            renamed[key] = value
    renamed["entropy_bottleneck.quantiles"] = torch.linspace(-3, 3, 12 * 3).reshape(12, 1, 3)
    return renamed


@torch.no_grad()
def symbols(state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """All that is rounded, by our names of the latents; of a half of the cells the rest is 0."""
    y = transform(state, x, "g_a", ("conv1", "conv2", "conv3"), halved)
    z = conv(state, conv(state, y, "h_a.0").relu(), "h_a.2", 2).relu()
    z = conv(state, z, "h_a.4", 2)
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1].reshape(1, -1, 1, 1)
    found = {"z": (z - medians).round()}
    hyper = deconv(state, found["z"] + medians, "h_s.0").relu()
    hyper = conv(state, deconv(state, hyper, "h_s.2").relu(), "h_s.4")
    rows = torch.arange(y.shape[2])[:, None] + torch.arange(y.shape[3])
    halves = {"even": rows % 2 == 0, "odd": rows % 2 == 1}
    known: list[Tensor] = []
    for k, part in enumerate(y.split(GROUPS, 1)):
        support = hyper
        if k:
            before = known[:1] if k == 1 else [known[0], known[-1]]
            channel = in_turn(
                state, torch.cat(before, 1), [f"cc_transforms.{k - 1}.{i}" for i in (0, 2, 4)]
            )
            support = torch.cat([channel, hyper], 1)
        decoded = torch.zeros_like(part)
        spatial = torch.zeros(1, 2 * part.shape[1], *part.shape[2:])
        for parity, cells in halves.items():
            if parity == "odd":
                weight = state[f"context_prediction.{k}.weight"].clone()
                weight[:, :, 0::2, 0::2] = weight[:, :, 1::2, 1::2] = 0
                bias = state[f"context_prediction.{k}.bias"]
                spatial = F.conv2d(decoded, weight, bias, padding=2)
            names = [f"ParamAggregation.{k}.{i}" for i in (0, 2, 4)]
            mean, _ = in_turn(state, torch.cat([spatial, support], 1), names).chunk(2, 1)
            found[f"y{k}_{parity}"] = (part - mean).round() * cells
            decoded = decoded + (found[f"y{k}_{parity}"] + mean) * cells
        known.append(decoded)
    return found


def test_it_codes_the_symbols_of_its_forward_pass(state: dict[str, Tensor]) -> None:
    x = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    deployment = find_family(NAME)({"state_dict": {f"module.{k}": v for k, v in state.items()}})
    holds(deployment, x, symbols(state, x))


def test_what_is_left_out_is_told_by_the_name_of_compressai(state: dict[str, Tensor]) -> None:
    without = {key: value for key, value in state.items() if key != "cc_transforms.2.4.bias"}
    with pytest.raises(ExportError, match=r"channel_context\.y3\.4\.bias"):
        find_family(NAME)(without)
