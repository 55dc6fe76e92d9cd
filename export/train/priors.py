"""The priors of the hyper-latents, fitted to what is rounded once the networks are as they stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fcmrt.export.codec import FeatureCodec, HyperpriorCodec
from fcmrt.export.entropy import ChannelPrior, bits

STEPS, RATE = 300, 0.02


def fit_priors(codec: FeatureCodec, features: Sequence[Tensor]) -> None:
    """Fits every prior of a codec to the integers that its hyper-analysis gives.

    Averaged networks may round a channel to another integer than the priors have learnt, in every
    cell alike, where it lies near the middle of two.

    Args:
        codec: Its priors change in place, and nothing else.
        features: Of training pictures, finest first; as the codec takes them.
    """
    seen: dict[ChannelPrior, list[Tensor]] = {}

    def keep(prior: ChannelPrior) -> Callable[[nn.Module, object, Tensor], None]:
        def noted(module: nn.Module, inputs: object, z: Tensor) -> None:
            seen.setdefault(prior, []).append(torch.round(z).movedim(1, 0).flatten(1))

        return noted

    parts = [module for module in codec.modules() if isinstance(module, HyperpriorCodec)]
    hooks = [part.hyper_analysis.register_forward_hook(keep(part.prior)) for part in parts]
    with torch.no_grad():
        codec.round_trip(features, torch.zeros(len(features[0]), device=features[0].device))
    for hook in hooks:
        hook.remove()
    for prior, found in seen.items():
        fit_prior(prior, torch.cat(found, 1).T[..., None, None])


def fit_prior(prior: ChannelPrior, z: Tensor) -> None:
    """Fits a prior to integers.

    Args:
        prior: Changes in place.
        z: Integers as floats, `[N, C, H, W]`.
    """
    parameters = list(prior.parameters())
    wanted = [parameter.requires_grad for parameter in parameters]
    prior.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, RATE)
    with torch.enable_grad():
        for _ in range(STEPS):
            optimiser.zero_grad()
            bits(prior.likelihood(z)).mean().backward()
            optimiser.step()
    for parameter, before in zip(parameters, wanted, strict=True):
        parameter.requires_grad_(before)
        parameter.grad = None
