"""CompressAI's models by the names that it gives them: from checkpoint to deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError

from ..checkpoint import state_of
from ..deployment import Deployment
from .chandelier import with_names_of_compressai
from .checkerboard import deploy_checkerboard
from .factorized import deploy_factorized
from .hyperprior import deploy_hyperprior
from .loading import State, filled
from .vbr import deploy_vbr

_STEP_OF_HYPER = "gayn2zqstep.0.weight"
"""A weight of the network that gives the quantiser's step of a variable-rate model's `z`."""


@dataclass(frozen=True, slots=True)
class Model:
    """One of CompressAI's models."""

    kind: str
    """Name of the class in `compressai.models`."""
    sizes: Callable[[State], dict[str, Any]]
    """Finds the arguments of the class from a checkpoint's weights."""
    deploy: Callable[..., Deployment]
    """Makes the deployment of such a model; further arguments are the model's options."""
    names: Callable[[State], dict[str, Tensor]] = dict
    """Translates the names of weights to CompressAI's, if others' checkpoints are read too."""


def _one_width(state: State) -> dict[str, Any]:
    return {"N": len(state["g_a.0.conv1.weight"])}


def _two_widths(state: State) -> dict[str, Any]:
    return {"N": len(state["g_a.0.weight"]), "M": len(state["g_a.6.weight"])}


def _vbr_sizes(state: State) -> dict[str, Any]:
    return {**_two_widths(state), "vr_entbttlnck": _STEP_OF_HYPER in state}


def _without_tables_of_vbr(state: State) -> dict[str, Tensor]:
    """The weights of a variable-rate model whose hyper-latent has a step.

    CompressAI cannot load the tables of such a hyper-latent, which it makes for one rate, nor what
    older versions saved as `QuantOffset`.
    """
    made = {f"entropy_bottleneck.{name}" for name in ("_offset", "_quantized_cdf", "_cdf_length")}
    return {
        key: torch.empty(0, dtype=torch.int32) if key in made else value
        for key, value in state.items()
        if key != "QuantOffset"
    }


def _elic_sizes(state: State) -> dict[str, Any]:
    spatial = "latent_codec.y.latent_codec.y{}.context_prediction.weight"
    groups: list[int] = []
    while spatial.format(len(groups)) in state:
        groups.append(state[spatial.format(len(groups))].shape[1])
    return {"N": len(state["g_a.0.weight"]), "M": sum(groups), "groups": groups}


MODELS: Mapping[str, Model] = {
    "bmshj2018-factorized": Model("FactorizedPrior", _two_widths, deploy_factorized),
    "bmshj2018-factorized-relu": Model("FactorizedPriorReLU", _two_widths, deploy_factorized),
    "bmshj2018-hyperprior": Model("ScaleHyperprior", _two_widths, deploy_hyperprior),
    "mbt2018-mean": Model("MeanScaleHyperprior", _two_widths, deploy_hyperprior),
    "cheng2020-anchor-checkerboard": Model(
        "Cheng2020AnchorCheckerboard", _one_width, deploy_checkerboard
    ),
    "elic2022-official": Model("Elic2022Official", _elic_sizes, deploy_checkerboard),
    "elic2022-chandelier": Model(
        "Elic2022Chandelier", _elic_sizes, deploy_checkerboard, with_names_of_compressai
    ),
    "bmshj2018-hyperprior-vbr": Model("ScaleHyperpriorVbr", _vbr_sizes, deploy_vbr),
    "mbt2018-mean-vbr": Model("MeanScaleHyperpriorVbr", _vbr_sizes, deploy_vbr),
}

SIBLINGS: Mapping[str, str] = {
    "mbt2018": "mbt2018-mean",
    "cheng2020-anchor": "cheng2020-anchor-checkerboard",
    "cheng2020-attn": "cheng2020-anchor-checkerboard",
    "mbt2018-vbr": "mbt2018-mean-vbr",
}
"""Models that decode cell after cell, and for each the nearest that does not."""


def load(name: str, checkpoint: Mapping[str, Any]) -> nn.Module:
    """Makes the model of a checkpoint, with CompressAI's own class.

    Args:
        name: CompressAI's, as in `compressai.zoo`.
        checkpoint: As `read_checkpoint` gives it: the weights, or what wraps them. Names of older
            versions of CompressAI are understood.

    Returns:
        The model in evaluation mode, float32, on the CPU; its parameters do not train.

    Raises:
        ImportError: CompressAI is not installed.
        ExportError: There is no such model, or it decodes cell after cell, or the checkpoint is of
            another, or of other deviations than CompressAI's.
    """
    made = _model(name)
    from compressai import models, zoo

    state = made.names(zoo.load_state_dict(state_of(checkpoint)))
    if "context_prediction.weight" in state:
        raise ExportError(f"the checkpoint is not of {name}: {_refusal('what it is of')}")
    if _STEP_OF_HYPER in state:
        state = _without_tables_of_vbr(state)
    return filled(name, lambda state: getattr(models, made.kind)(**made.sizes(state)), state)


def deploy(name: str, checkpoint: Mapping[str, Any], /, **options: Any) -> Deployment:
    """Returns how the model of a checkpoint is run; see `fcmrt.export.families.Deploy`.

    Args:
        name: CompressAI's.
        checkpoint: As for `load`.
        **options: For the function that deploys such models.

    Raises:
        ImportError, ExportError: As `load`, or as that function.
    """
    made = _model(name)
    for option in options:
        if option not in signature(made.deploy).parameters:
            raise ExportError(f"{name} has no option {option!r}")
    return made.deploy(load(name, checkpoint), **options)


bmshj2018_factorized = partial(deploy, "bmshj2018-factorized")
bmshj2018_factorized_relu = partial(deploy, "bmshj2018-factorized-relu")
bmshj2018_hyperprior = partial(deploy, "bmshj2018-hyperprior")
mbt2018_mean = partial(deploy, "mbt2018-mean")
cheng2020_anchor_checkerboard = partial(deploy, "cheng2020-anchor-checkerboard")
elic2022_official = partial(deploy, "elic2022-official")
elic2022_chandelier = partial(deploy, "elic2022-chandelier")
bmshj2018_hyperprior_vbr = partial(deploy, "bmshj2018-hyperprior-vbr")
mbt2018_mean_vbr = partial(deploy, "mbt2018-mean-vbr")

# These raise an error that says why they are not exported.
mbt2018 = partial(deploy, "mbt2018")
cheng2020_anchor = partial(deploy, "cheng2020-anchor")
cheng2020_attn = partial(deploy, "cheng2020-attn")
mbt2018_vbr = partial(deploy, "mbt2018-vbr")


def _model(name: str) -> Model:
    if name in SIBLINGS:
        raise ExportError(f"{name} is not exported: {_refusal('it', SIBLINGS[name])}")
    if name not in MODELS:
        raise ExportError(f"CompressAI model {name!r} is not known; there are {', '.join(MODELS)}")
    return MODELS[name]


def _refusal(subject: str, sibling: str = "") -> str:
    named = sibling or " or ".join(dict.fromkeys(SIBLINGS.values()))
    return (
        f"{subject} decodes the latent cell after cell in raster order, and each cell takes a run "
        f"of a network, which no runtime makes fast; use {named}, whose cells are decoded together"
    )
