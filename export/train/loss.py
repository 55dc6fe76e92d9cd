"""Rate and task-aware distortion.

The distortion of a picture is what a detector would notice: errors of the features, errors of the
head's hidden activations, a shift of the class scores, a shift of the box distributions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fcmrt.export.entropy import STEPS_PER_OCTAVE
from fcmrt.tasks.nanodet import BINS, CLASS_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BITS_UNIT = 40_000.0  # bits per picture that count as a rate of 1 (5 kB)
FEATURE_WEIGHTS = (0.15, 0.20, 0.25)
HIDDEN_WEIGHTS = (0.20, 0.25, 0.35)
CLASS_UNIT = 4.0  # weighted nats per picture that count as a distortion of 1
BOX_UNIT = 8.0
BACKGROUND = 0.02  # weight of a cell where the network sees nothing


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """What the detector's head gives on one set of features, per level where it is a tuple."""

    hidden: tuple[Tensor, ...]
    # float32 [N, 128, side, side], after the LeakyReLU
    logits: Tensor
    # float32 [N, 3549, 80]
    boxes: Tensor
    # float32 [N, 3549, 4, 11]


class Head(nn.Module):
    """The back half of NanoDet in PyTorch, frozen: conv3x3, LeakyReLU 0.1, conv1x1 per level.

    Args:
        path: `nanodet.back.onnx`, whose initialisers it reads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        stored = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in _floats(graph)}
        kernels = [value for value in stored.values() if value.ndim == 4]
        biases = [value for value in stored.values() if value.ndim == 1 and value.size > 1]
        self.convs = nn.ModuleList()
        for kernel, bias in zip(kernels, biases, strict=True):
            outputs, inputs, side = kernel.shape[:3]
            layer = nn.Conv2d(inputs, outputs, side, padding=side // 2)
            layer.weight.data = torch.from_numpy(kernel.copy())
            layer.bias = nn.Parameter(torch.from_numpy(bias.copy()))
            self.convs.append(layer)
        self.requires_grad_(False)

    def forward(self, features: Sequence[Tensor]) -> HeadOutputs:
        """Run the head on features, finest first (float32 `[N, 128, side, side]`)."""
        hidden, logits, boxes = [], [], []
        for i, feature in enumerate(features):
            inside = functional.leaky_relu(self.convs[2 * i](feature), 0.1)
            out = self.convs[2 * i + 1](inside).float().flatten(2).transpose(1, 2)
            hidden.append(inside.float())
            logits.append(out[..., : len(CLASS_NAMES)])
            boxes.append(out[..., len(CLASS_NAMES) :].unflatten(-1, (4, BINS)))
        return HeadOutputs(tuple(hidden), torch.cat(logits, 1), torch.cat(boxes, 1))


def _floats(graph: Any) -> list[Any]:
    return [tensor for tensor in graph.initializer if tensor.data_type in (1, 10)]  # fp32, fp16


@dataclass(frozen=True, slots=True)
class Distortion:
    """The parts of the distortion per picture, each float32 `[N]`."""

    features: Tensor
    hidden: Tensor
    classes: Tensor
    boxes: Tensor
    nmse: Tensor
    # plain mean of the normalised errors over the levels, for the log

    @property
    def total(self) -> Tensor:
        """Weighted sum, float32 `[N]`."""
        return self.features + self.hidden + self.classes + self.boxes


def _errors(decoded: Sequence[Tensor], original: Sequence[Tensor], energy: Tensor) -> Tensor:
    """Squared error of each level over the level's mean energy: float32 `[N, levels]`."""
    errors = [
        (a.float() - b.float()).square().flatten(1).mean(1)
        for a, b in zip(decoded, original, strict=True)
    ]
    return torch.stack(errors, 1) / energy


@dataclass(frozen=True, slots=True)
class Energies:
    """Mean variance of each level over training features, float32 `[levels]`."""

    features: Tensor
    hidden: Tensor


def distortion(
    decoded: Sequence[Tensor],
    original: Sequence[Tensor],
    head: Head,
    energies: Energies,
) -> Distortion:
    """What the detector notices of the difference between decoded and original features."""
    with torch.no_grad():
        teacher = head(original)
        scores = torch.sigmoid(teacher.logits)
        best = scores.amax(-1)
        cell_weight = BACKGROUND + best.square()
        box_target = torch.softmax(teacher.boxes, -1)
    student = head(decoded)
    feature_errors = _errors(decoded, original, energies.features)
    hidden_errors = _errors(student.hidden, teacher.hidden, energies.hidden)

    # Binary Kullback-Leibler divergence: cross-entropy less the teacher's own entropy.
    cross = functional.binary_cross_entropy_with_logits
    classes = cross(student.logits, scores, reduction="none").sum(-1)
    with torch.no_grad():
        entropy = cross(teacher.logits, scores, reduction="none").sum(-1)
    box_shift = functional.kl_div(
        torch.log_softmax(student.boxes, -1), box_target, reduction="none"
    ).sum((-1, -2))

    weights = feature_errors.new_tensor
    return Distortion(
        features=(feature_errors * weights(FEATURE_WEIGHTS)).sum(1),
        hidden=(hidden_errors * weights(HIDDEN_WEIGHTS)).sum(1),
        classes=((classes - entropy) * cell_weight).sum(1) / CLASS_UNIT,
        boxes=(box_shift * best.square()).sum(1) / BOX_UNIT,
        nmse=feature_errors.mean(1),
    )


def total_loss(rate_bits: Tensor, distorted: Tensor, d: Tensor, weight: float) -> Tensor:
    """Rate and distortion of each picture, balanced over the qualities: float32 `[N]`.

    With step D, theory wants the distortion weighted by 1 / D^2. Both sides are multiplied by
    D^1.5, or the finest steps alone would count; at the finest the transform, not the step, is
    what limits the distortion.
    """
    step = torch.exp2(d.float() / STEPS_PER_OCTAVE)
    return step**1.5 * rate_bits / BITS_UNIT + weight * step**-0.5 * distorted
