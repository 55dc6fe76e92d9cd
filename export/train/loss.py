"""Rate and task-aware distortion.

The distortion of a picture is what the task network would notice: errors of the features, errors
of the activations within its back half (the "head"), and the shift of its outputs (`TaskHead`).
The last two have gradients so noisy that a new codec learns faster from the first alone
(`feature_distortion`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from fcmrt.export.codec import Forward
from fcmrt.export.entropy import STEPS_PER_OCTAVE

BITS_UNIT = 40_000.0  # bits per picture that count as a rate of 1 (5 kB)
FEATURES_ALONE = 3.0  # what the features' errors count for where they stand alone


def cut(maps: Tensor, blocks: int) -> Tensor:
    """Square maps (`[N, S, S, ...]`) in parts: `[N * blocks^2, S / blocks, S / blocks, ...]`."""
    side = maps.shape[1] // blocks
    parts = maps.unflatten(2, (blocks, side)).unflatten(1, (blocks, side))
    return parts.transpose(2, 3).flatten(0, 2)


class HeadOutputs(ABC):
    """A head's results on one set of features."""

    hidden: tuple[Tensor, ...]
    """Activations, each float32 `[N, C, H, W]`."""


Told = TypeVar("Told", bound=HeadOutputs)


class TaskHead(nn.Module, ABC, Generic[Told]):
    """The frozen back half of a task network in PyTorch, and what of its outputs counts."""

    feature_weights: ClassVar[tuple[float, ...]]
    """Of each level's normalised error, finest first."""
    hidden_weights: ClassVar[tuple[float, ...]]
    """Of the normalised error of each map of hidden activations."""
    robust: ClassVar[bool] = False
    """Whether features are normalised by quantiles: some of them have far outliers."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Told:
        """Runs the head on features, finest first (float `[N, C, H, W]`)."""

    @abstractmethod
    def outputs(self, told: Told, blocks: int = 1) -> Any:
        """Returns a pass of the head as raw outputs of the task network (`TaskNetwork.outputs`).

        Args:
            told: What `forward` returned, for square pictures.
            blocks: Into how many parts a side is cut; the parts of a picture follow each other, row
                by row, each as if it were a picture.
        """

    @abstractmethod
    def shift(self, student: Told, teacher: Told) -> dict[str, Tensor]:
        """What changed from teacher to student, weighted: parts of the distortion, each `[N]`."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """The parts of the distortion per picture."""

    levels: Tensor
    """Weighted errors of the features, float32 [N, levels]."""
    hidden: Tensor
    """float32 [N]."""
    shift: Mapping[str, Tensor]
    """float32 [N] each."""
    nmse: Tensor
    """Plain mean of the normalised errors over the levels, for the log; float32 [N]."""

    @property
    def whole(self) -> Tensor:
        """All that belongs to no level, float32 `[N]`."""
        return sum(self.shift.values(), self.hidden)

    @property
    def total(self) -> Tensor:
        """Weighted sum, float32 `[N]`."""
        return self.levels.sum(1) + self.whole

    def means(self) -> dict[str, Tensor]:
        """Every part, averaged over the pictures: float32 scalars without gradient."""
        parts = {"features": self.levels.sum(1), "hidden": self.hidden, **self.shift}
        parts["nmse"] = self.nmse
        return {name: part.detach().mean() for name, part in parts.items()}


def _errors(decoded: Sequence[Tensor], original: Sequence[Tensor], energy: Tensor) -> Tensor:
    """Squared error of each map over the map's mean energy: float32 `[N, maps]`."""
    # Not flattened: that would copy maps whose channels are innermost, and their gradients.
    errors = [
        (a.float() - b.float()).square().mean((1, 2, 3))
        for a, b in zip(decoded, original, strict=True)
    ]
    return torch.stack(errors, 1) / energy


@dataclass(frozen=True, slots=True)
class Energies:
    """Mean variance of each map over training features, float32 `[maps]`."""

    features: Tensor
    hidden: Tensor


@torch.no_grad()
def energies_of(head: TaskHead[Told], features: Sequence[Tensor]) -> Energies:
    """Measures the energy of features and of the head's activations on them."""

    def energy(maps: Sequence[Tensor]) -> Tensor:
        return torch.stack([level.var((0, 2, 3)).mean() for level in maps])

    return Energies(energy(features), energy(head(features).hidden))


def feature_statistics(
    features: Sequence[Tensor], robust: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Centre and spread of every channel of every level, float32 `[C]`.

    Args:
        features: float32 `[N, C, H, W]`, finest first.
        robust: Median, and half the distance of the quantiles that lie one standard deviation to
            either side in a Gaussian, but not less than a quarter of the standard deviation;
            instead of mean and standard deviation.
    """
    stds = [level.var((0, 2, 3)).sqrt() for level in features]
    if not robust:
        return [level.mean((0, 2, 3)) for level in features], stds
    marks = torch.tensor([0.1587, 0.5, 0.8413], device=features[0].device)
    centres, spreads = [], []
    for level, std in zip(features, stds, strict=True):
        channels = level.transpose(0, 1).flatten(1)
        # torch.quantile takes at most 2^24 values at a time.
        low, middle, high = torch.stack([c.quantile(marks) for c in channels], 1)
        centres.append(middle)
        spreads.append(torch.maximum((high - low) / 2, std / 4))
    return centres, spreads


def distortion(
    decoded: Sequence[Tensor],
    original: Sequence[Tensor],
    head: TaskHead[Told],
    energies: Energies,
) -> Distortion:
    """What the network notices of the difference between decoded and original features."""
    with torch.no_grad():
        teacher = head(original)
    student = head(decoded)
    feature_errors = _errors(decoded, original, energies.features)
    hidden_errors = _errors(student.hidden, teacher.hidden, energies.hidden)
    weights = feature_errors.new_tensor
    return Distortion(
        feature_errors * weights(head.feature_weights),
        (hidden_errors * weights(head.hidden_weights)).sum(1),
        head.shift(student, teacher),
        feature_errors.mean(1),
    )


def feature_distortion(
    decoded: Sequence[Tensor],
    original: Sequence[Tensor],
    head: TaskHead[Any],
    energies: Energies,
) -> Distortion:
    """The features' errors alone, with a weight that stands for the rest of `distortion` too."""
    errors = _errors(decoded, original, energies.features)
    weights = FEATURES_ALONE * errors.new_tensor(head.feature_weights)
    return Distortion(errors * weights, errors.new_zeros(len(errors)), {}, errors.mean(1))


def step_of(d: Tensor) -> Tensor:
    """Width of the quantiser's step for qualities: float32, same shape."""
    return torch.exp2(d.float() / STEPS_PER_OCTAVE)


def rate_loss(bits: Tensor, d: Tensor) -> Tensor:
    """The rate's part of the loss of each picture: float32 `[N]`.

    Args:
        bits: Float `[N]`.
        d: `[N]`, or `[N, levels]`, whose mean then counts.
    """
    return step_of(d.float().reshape(len(d), -1).mean(1)) ** 1.5 * bits / BITS_UNIT


def total_loss(coded: Forward, lost: Distortion, d: Tensor, weight: float) -> Tensor:
    """Rate and distortion of each picture, balanced over the qualities: float32 `[N]`.

    With step D, theory wants the distortion weighted by 1 / D^2. Both sides are multiplied by
    D^1.5, or the finest steps alone would count; at the finest the transform, not the step, is
    what limits the distortion. Where levels have steps of their own, so have their rates and the
    errors of their features; what belongs to no level goes by their geometric mean.

    Args:
        coded: The pass, with `parts` where levels have qualities.
        lost: What it lost.
        d: `[N]` or `[N, levels]`.
        weight: Of the distortion where D is 1.
    """
    if d.dim() == 1:
        rate = rate_loss(coded.bits, d)
    else:
        each = zip(coded.parts, d.unbind(1), strict=True)
        rate = torch.stack([rate_loss(part.bits, quality) for part, quality in each]).sum(0)
    by_level = d.reshape(len(d), -1).float()
    levels = (step_of(by_level) ** -0.5 * lost.levels).sum(1)
    return rate + weight * (levels + step_of(by_level.mean(1)) ** -0.5 * lost.whole)
