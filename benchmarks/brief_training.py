"""Codecs as their authors lay them out, with weights that have been trained for some seconds.

Long enough that means and deviations follow the features, and integers are what a codec would have.
The schedule itself is trained through, so that one way serves all families.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fcmrt.export.layers import lower_bound
from fcmrt.export.scale_index import LOG_RATIO, SIGMA_0, WIDER, ScaleIndex
from fcmrt.schedule import Dequantize, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcmrt.export import Deployment
    from fcmrt.export.bottleneck import EntropyBottleneck

    from .codec_samples import Features

LEARNING_RATE = 1e-3
RATE_WEIGHT = 0.1  # of a bit in each element of the latents, against the levels' relative errors
LEAST_LIKELIHOOD = 1e-9
PRIOR_SCALE = 10.0  # that of CompressAI's priors before training


def start_prior(prior: EntropyBottleneck) -> None:
    """Give a prior the broad distributions that CompressAI's begin with.

    Args:
        prior: Changed in place.
    """
    scale = PRIOR_SCALE ** (1 / len(prior.matrices))
    with torch.no_grad():
        for matrix, bias in zip(prior.matrices, prior.biases, strict=True):
            matrix.fill_(math.log(math.expm1(1 / scale / matrix.shape[1])))
            nn.init.uniform_(bias, -0.5, 0.5)


def train(
    deployment: Deployment,
    prior: EntropyBottleneck,
    pictures: Sequence[Features],
    steps: int,
    side: int,
    batch: int = 4,
    seed: int = 1,
) -> None:
    """Train the networks of a deployment and the prior of its `z`.

    Args:
        deployment: Its networks are trained in place; its medians are 0.
        prior: Trained in place; its medians become those of `z`.
        pictures: float32 `[C, H, W]` by level; crops of them are trained on.
        steps: Of Adam.
        side: Of a crop, in cells of the finest level: a multiple of the padding's.
        batch: Crops of each step.
        seed: Of crops and noise.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    walk = _Walk(deployment, prior)
    parameters = [p for n in (*deployment.networks.values(), prior) for p in n.parameters()]
    optimizer = torch.optim.Adam(list(dict.fromkeys(parameters)), lr=LEARNING_RATE)
    modules = [m for n in deployment.networks.values() for m in n.modules()]
    # As in CompressAI's training: the gradient passes where it would raise a deviation.
    hooks = [
        m.register_forward_pre_hook(lambda index, found: lower_bound(found[0], index.least))
        for m in dict.fromkeys(modules)
        if isinstance(m, ScaleIndex)
    ]
    specs = deployment.features
    power = {f.name: float(np.mean([p[f.name].var() for p in pictures])) for f in specs}
    for _ in range(steps):
        crops = [
            _crop(deployment, pictures[int(rng.integers(len(pictures)))], side, rng)
            for _ in range(batch)
        ]
        features = {
            name: torch.from_numpy(np.stack([crop[name] for crop in crops])) for name in power
        }
        loss = RATE_WEIGHT * walk.follow(features)
        for name, mean_square in power.items():
            error = walk.tensors[deployment.outputs[name]] - features[name]
            loss = loss + error.square().mean() / mean_square / len(power)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        z = walk.tensors["z"].detach().movedim(1, 0).flatten(1)
        prior.quantiles[:, 0, 1] = z.median(1).values


class _Walk:
    """A batch on its way through the schedule, so that gradients come back."""

    def __init__(self, deployment: Deployment, prior: EntropyBottleneck) -> None:
        self._deployment = deployment
        self._prior = prior
        self.tensors: dict[str, Tensor] = {}

    def follow(self, features: Mapping[str, Tensor]) -> Tensor:
        """Take features to what is decoded of them; give bits for each element of the latents."""
        deployment = self._deployment
        self.tensors = dict(features)
        quality = deployment.quality
        if quality.input is not None:
            position = quality.position(quality.shift(quality.default))
            self.tensors[quality.input] = torch.full((1, 1, 1, 1), position)
        bits, count = torch.zeros(()), 0
        first = [s for s in deployment.encode if isinstance(s, Run) and s not in deployment.decode]
        for step in (*first, *deployment.decode):
            if isinstance(step, Run):
                found = deployment.networks[step.graph](*(self.tensors[i] for i in step.inputs))
                outputs = (found,) if isinstance(found, Tensor) else found
                self.tensors.update(zip(step.outputs, outputs, strict=True))
            elif isinstance(step, Dequantize):
                coded = self._code(step)
                bits, count = bits + coded.sum(), count + coded.numel()
        return bits / count

    def _code(self, step: Dequantize) -> Tensor:
        """Round a latent around its means; give the bits of its elements."""
        latent = self._deployment.latents[step.latent]
        source = self.tensors[latent.source]
        mean = self.tensors[latent.means] if latent.means else torch.zeros(())
        offset = source - mean
        rounded = source + (torch.round(offset) - offset).detach()
        noisy = offset + torch.rand_like(offset) - 0.5
        if latent.indexes:
            sigma = SIGMA_0 * torch.exp(LOG_RATIO * (self.tensors[latent.indexes] - WIDER))
            upper, lower = (torch.special.ndtr((d - noisy.abs()) / sigma) for d in (0.5, -0.5))
        else:
            values = noisy.movedim(1, 0).flatten(1)[:, None]
            upper, lower = (torch.sigmoid(self._prior.logits(values + d)) for d in (0.5, -0.5))
        bits = -torch.log2(lower_bound(upper - lower, LEAST_LIKELIHOOD))
        if latent.parity:
            rows, columns = (torch.arange(size) for size in source.shape[2:])
            cells = (rows[:, None] + columns) % 2 == (latent.parity == "odd")
            rounded, bits = rounded * cells, bits[..., cells]
        self.tensors[step.output] = rounded
        return bits


def _crop(
    deployment: Deployment, picture: Features, side: int, rng: np.random.Generator
) -> Features:
    """Cut a square out of all levels, at a place that is whole cells of each."""
    specs = deployment.features
    coarsest = max(spec.stride for spec in specs)
    _, height, width = picture[specs[0].name].shape
    top, left = (int(rng.integers((n - side) // coarsest + 1)) for n in (height, width))
    cut = {}
    for spec in specs:
        cells, scale = side // spec.stride, coarsest // spec.stride
        rows, columns = (slice(k * scale, k * scale + cells) for k in (top, left))
        cut[spec.name] = picture[spec.name][:, rows, columns]
    return cut
