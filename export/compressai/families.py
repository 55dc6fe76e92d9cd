"""The models of CompressAI by the names that CompressAI gives them: from checkpoint to deployment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.errors import BackendUnavailableError, ConfigError

from ..deployment import Deployment
from .factorized import deploy_factorized
from .hyperprior import deploy_hyperprior
from .spacechannel import deploy_spacechannel
from .vbr import deploy_vbr

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Family:
    """One of CompressAI's models."""

    model: str
    """Class in `compressai.models`."""
    sizes: Callable[[State], dict[str, Any]]
    """Tells the arguments of the class from a checkpoint's weights."""
    deploy: Callable[..., Deployment]
    """Tells how such a model is run; what else it takes stands in its own documentation."""


def _one_width(state: State) -> dict[str, Any]:
    return {"N": len(state["g_a.0.conv1.weight"])}


def _two_widths(state: State) -> dict[str, Any]:
    return {"N": len(state["g_a.0.weight"]), "M": len(state["g_a.6.weight"])}


def _vbr_sizes(state: State) -> dict[str, Any]:
    return {**_two_widths(state), "vr_entbttlnck": "gayn2zqstep.0.weight" in state}


def _elic_sizes(state: State) -> dict[str, Any]:
    spatial = "latent_codec.y.latent_codec.y{}.context_prediction.weight"
    groups = []
    while spatial.format(len(groups)) in state:
        groups.append(state[spatial.format(len(groups))].shape[1])
    return {"N": len(state["g_a.0.weight"]), "M": sum(groups), "groups": groups}


FAMILIES: Mapping[str, Family] = {
    "bmshj2018-factorized": Family("FactorizedPrior", _two_widths, deploy_factorized),
    "bmshj2018-factorized-relu": Family("FactorizedPriorReLU", _two_widths, deploy_factorized),
    "bmshj2018-hyperprior": Family("ScaleHyperprior", _two_widths, deploy_hyperprior),
    "mbt2018-mean": Family("MeanScaleHyperprior", _two_widths, deploy_hyperprior),
    "cheng2020-anchor-checkerboard": Family(
        "Cheng2020AnchorCheckerboard", _one_width, deploy_spacechannel
    ),
    "elic2022-official": Family("Elic2022Official", _elic_sizes, deploy_spacechannel),
    "elic2022-chandelier": Family("Elic2022Chandelier", _elic_sizes, deploy_spacechannel),
    "bmshj2018-hyperprior-vbr": Family("ScaleHyperpriorVbr", _vbr_sizes, deploy_vbr),
    "mbt2018-mean-vbr": Family("MeanScaleHyperpriorVbr", _vbr_sizes, deploy_vbr),
}

SIBLINGS: Mapping[str, str] = {
    "mbt2018": "mbt2018-mean",
    "cheng2020-anchor": "cheng2020-anchor-checkerboard",
    "cheng2020-attn": "cheng2020-anchor-checkerboard",
    "mbt2018-vbr": "mbt2018-mean-vbr",
}
"""Models that decode cell after cell, and the model without that which is nearest to each."""


def load(
    codec: str,
    checkpoint: str | os.PathLike[str] | Mapping[str, Any],
    *,
    no_quantoffset: bool = False,
) -> nn.Module:
    """Makes the model of a checkpoint, with CompressAI's own class.

    Args:
        codec: CompressAI's name for the model, as in `compressai.zoo`.
        checkpoint: A file, of which only weights are read and no code is run, or what it holds:
            the weights, or a mapping with them under "state_dict". Names of older versions of
            CompressAI and of parallel models ("module.") are understood.
        no_quantoffset: Of the `-vbr` models: do without quantisation offsets. No checkpoint tells.

    Returns:
        The model in evaluation mode, float32, on the CPU.

    Raises:
        BackendUnavailableError: CompressAI is not installed.
        ConfigError: There is no such model, or it decodes cell after cell, or the checkpoint is of
            another.
    """
    family = _family(codec)
    if isinstance(checkpoint, str | os.PathLike):
        checkpoint = torch.load(checkpoint, map_location="cpu", weights_only=True)
    models, zoo = _compressai()
    state = zoo.load_state_dict(_weights(checkpoint))
    if "context_prediction.weight" in state:
        raise ConfigError(f"the checkpoint is not of {codec}: {_refusal('a model of this kind')}")
    try:
        model: nn.Module = getattr(models, family.model)(**family.sizes(state))
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"the checkpoint is not of {codec}: {lacks}") from error
    if hasattr(model, "no_quantoffset"):
        model.no_quantoffset = no_quantoffset
    return model.float().eval()


def deploy(codec: str, model: nn.Module, **options: Any) -> Deployment:
    """Returns how a model is run.

    Args:
        codec: CompressAI's name for the model.
        model: As `load` makes it, in float32, on the CPU; borrowed.
        options: For the family's own function.

    Raises:
        ConfigError: As `load`, or as the family's own function.
    """
    return _family(codec).deploy(model, **options)


def _family(codec: str) -> Family:
    if codec in SIBLINGS:
        raise ConfigError(f"{codec} is not exported: {_refusal('it', SIBLINGS[codec])}")
    if codec not in FAMILIES:
        raise ConfigError(f"CompressAI model {codec!r} is not known; there are {', '.join(FAMILIES)}")
    return FAMILIES[codec]


def _refusal(subject: str, sibling: str = "") -> str:
    named = sibling or " or ".join(dict.fromkeys(SIBLINGS.values()))
    return (
        f"{subject} decodes cell after cell of the latent in raster order, with a network run for "
        f"each, which no runtime makes fast; train {named} instead, whose cells are decoded together"
    )


def _weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ConfigError(
            'the checkpoint holds no weights: neither tensors by name, nor such under "state_dict"'
        )
    return dict(state)


def _compressai() -> tuple[Any, Any]:
    """The modules `compressai.models` and `compressai.zoo`."""
    try:
        from compressai import models, zoo
    except ImportError as error:
        raise BackendUnavailableError(
            f"CompressAI's models need the package compressai ({error}); install it with: "
            "pip install 'fcmrt[compressai]'"
        ) from error
    return models, zoo
