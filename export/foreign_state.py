"""Checkpoints in the key layouts of other code, read strictly: every key is used exactly once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError

from . import layers
from .bottleneck import WIDTHS, EntropyBottleneck

Names = Mapping[type[nn.Module], Mapping[str, str]]
"""For each kind of module, foreign names of its parts by our names; other parts keep theirs."""

COMPRESSAI: Names = {
    layers.ResidualBlockWithStride: {"body.0": "conv1", "body.2": "conv2", "body.3": "gdn"},
    layers.ResidualBlockUpsample: {
        "body.0": "subpel_conv",
        "body.2": "conv",
        "body.3": "igdn",
        "skip": "upsample",
    },
    layers.ResidualBlock: {"body.0": "conv1", "body.2": "conv2"},
    layers.ResidualBottleneck: {"body": "conv"},
    layers.AttentionBlock: {"main": "conv_a", "gate": "conv_b"},
    EntropyBottleneck: {
        f"{ours}.{i}": f"{foreign}{i}"
        for ours, foreign in (("matrices", "_matrix"), ("biases", "_bias"), ("factors", "_factor"))
        for i in range(len(WIDTHS) - 1)
    },
}
"""The blocks of CompressAI, as its releases before 1.2.7 name them."""

COMPRESSAI_DERIVED = re.compile(
    r"(^|\.)((beta|gamma)_reparam\.(pedestal|lower_bound\.bound)"
    r"|_offset|_quantized_cdf|_cdf_length|target|scale_table|scale_bound"
    r"|likelihood_lower_bound\.bound|lower_bound_scale\.bound"
    r"|context_prediction(\.\d+)?\.mask)$"
)
"""Keys of constants, and of integer tables that are computed anew from the weights."""


def names_of_release(names: Names, weights: Mapping[str, Tensor]) -> Names:
    """Returns the names as the release of CompressAI that wrote the weights has them.

    From 1.2.7 on, its priors are named as ours are.
    """
    newer = any(".matrices." in key for key in weights)
    return {**names, EntropyBottleneck: {}} if newer else names


def foreign_key(module: nn.Module, key: str, names: Names) -> str:
    """Returns the key of a parameter in a foreign layout.

    Args:
        module: Any.
        key: Our key of one of its parameters.
        names: Of what is in each kind of module.
    """
    part: Any = module
    foreign: list[str] = []
    left = key
    while left:
        renamed = {
            ours: theirs
            for kind, table in names.items()
            if isinstance(part, kind)
            for ours, theirs in table.items()
        }
        step = next((n for n in renamed if f"{left}.".startswith(f"{n}.")), left.split(".")[0])
        foreign.append(renamed.get(step, step))
        part = reduce(getattr, step.split("."), part)
        left = left[len(step) + 1 :]
    return ".".join(foreign)


def load_foreign(
    module: nn.Module, weights: Mapping[str, Tensor], names: Names, derived: re.Pattern[str]
) -> None:
    """Loads weights of a foreign layout into a module.

    Args:
        module: Any; changed only if there is no error.
        weights: By foreign key; borrowed.
        names: Of what is in each kind of module.
        derived: Keys that may be present and are not needed.

    Raises:
        ExportError: A key is missing or left over, or a tensor has another shape.
    """
    keys = {key: foreign_key(module, key, names) for key, _ in module.named_parameters()}
    wanted = set(keys.values())
    _refuse("lacks", wanted - weights.keys())
    _refuse("has keys too many:", {k for k in weights.keys() - wanted if not derived.search(k)})
    ours = dict(module.named_parameters())
    for key, foreign in keys.items():
        if weights[foreign].shape != ours[key].shape:
            raise ExportError(
                f"{foreign!r} of the checkpoint is {list(weights[foreign].shape)}; the codec's "
                f"sizes ask for {list(ours[key].shape)}"
            )
    with torch.no_grad():
        for key, foreign in keys.items():
            ours[key].copy_(weights[foreign])


def _refuse(what: str, keys: Collection[str]) -> None:
    if keys:
        found = sorted(keys)
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ExportError(
            f"the checkpoint {what} {', '.join(found[:5])}{more}; it is of another codec, or of "
            "another version of this one"
        )
