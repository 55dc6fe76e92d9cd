"""Checkpoints in the key layouts of other code, read strictly: every key is used exactly once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import EngineError

from . import layers
from .bottleneck import EntropyBottleneck

Names = Mapping[type[nn.Module], Mapping[str, str]]
"""For a kind of module, the foreign names of what is in it, by ours; the rest keep their names."""

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
        for i in range(5)
    },
}
"""The blocks of CompressAI."""

COMPRESSAI_DERIVED = re.compile(
    r"(^|\.)((beta|gamma)_reparam\.(pedestal|lower_bound\.bound)"
    r"|_offset|_quantized_cdf|_cdf_length|target|scale_table|scale_bound"
    r"|likelihood_lower_bound\.bound|lower_bound_scale\.bound)$"
)
"""Keys of constants, and of integer tables that are made anew from the weights."""

_RENAMED = re.compile(r"(matrices|biases|factors)\.(\d)$")
_FORMER = {"matrices": "_matrix", "biases": "_bias", "factors": "_factor"}


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Takes the weights out of a checkpoint.

    Args:
        checkpoint: As loaded (weights only): the weights themselves, or with them under
            "state_dict"; keys may begin with "module.", as those of a parallel model do. The newer
            names of CompressAI's priors are brought to the older ones.

    Raises:
        EngineError: It holds something else, or one key twice.
    """
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping) or not state:
        raise EngineError("the checkpoint holds no weights: not a mapping of names to tensors")
    weights: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise EngineError(
                f"{key!r} of the checkpoint is no tensor; give the weights, or a mapping that "
                'holds them under "state_dict"'
            )
        name = key.removeprefix("module.")
        name = _RENAMED.sub(lambda found: _FORMER[found[1]] + found[2], name)
        if name in weights:
            raise EngineError(f"the checkpoint holds {name!r} twice")
        weights[name] = value
    return weights


def foreign_key(module: nn.Module, key: str, names: Names) -> str:
    """Tells where a parameter stands in a foreign layout.

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
    """Gives a module the weights of a foreign layout.

    Args:
        module: Any; changed only if all is well.
        weights: By foreign key; borrowed.
        names: Of what is in each kind of module.
        derived: Keys that may be there and hold nothing that is needed.

    Raises:
        EngineError: A key is missing or left over, or a tensor has another shape.
    """
    keys = {key: foreign_key(module, key, names) for key, _ in module.named_parameters()}
    wanted = set(keys.values())
    _refuse("lacks", wanted - weights.keys())
    _refuse("has keys too many:", {k for k in weights.keys() - wanted if not derived.search(k)})
    ours = dict(module.named_parameters())
    for key, foreign in keys.items():
        if weights[foreign].shape != ours[key].shape:
            raise EngineError(
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
        raise EngineError(
            f"the checkpoint {what} {', '.join(found[:5])}{more}; it is of another codec, or of "
            "another version of this one"
        )
