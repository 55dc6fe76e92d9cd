"""NanoDet's back half, and what a detector notices: class scores and box distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fcmrt.export.train.loss import HeadOutputs, TaskHead, cut
from fcmrt.onnxgraph import read_graph
from fcmrt.tasks.nanodet import BINS, CLASS_NAMES, Outputs

Float32 = NDArray[np.float32]

CLASS_UNIT = 4.0  # weighted nats per picture that count as a distortion of 1
BOX_UNIT = 8.0
BACKGROUND = 0.02  # weight of a cell where the network sees nothing


@dataclass(frozen=True, slots=True)
class NanoDetOutputs(HeadOutputs):
    """Outputs of the head, the levels one after another."""

    hidden: tuple[Tensor, ...]
    """float32 [N, 128, side, side] per level, after the LeakyReLU."""
    logits: Tensor
    """float32 [N, 3549, 80]."""
    boxes: Tensor
    """float32 [N, 3549, 4, 11]."""


class NanoDetHead(TaskHead[NanoDetOutputs]):
    """The back half of NanoDet: conv3x3, LeakyReLU 0.1, conv1x1 per level.

    Args:
        path: `nanodet.back.onnx`, whose initialisers it reads.
    """

    feature_weights = (0.15, 0.20, 0.25)
    hidden_weights = (0.20, 0.25, 0.35)

    def __init__(self, path: Path) -> None:
        super().__init__()
        constants = read_graph(path.read_bytes(), str(path)).constants
        floats = [value for value in constants.values() if value.dtype.kind == "f"]
        stored = [np.array(value, np.float32) for value in floats]
        kernels = [value for value in stored if value.ndim == 4]
        biases = [value for value in stored if value.ndim == 1 and value.size > 1]
        self.convs = nn.ModuleList()
        for kernel, bias in zip(kernels, biases, strict=True):
            outputs, inputs, side = kernel.shape[:3]
            layer = nn.Conv2d(inputs, outputs, side, padding=side // 2)
            layer.weight.data = torch.from_numpy(kernel)
            layer.bias = nn.Parameter(torch.from_numpy(bias))
            self.convs.append(layer)
        self.requires_grad_(False)

    def forward(self, features: Sequence[Tensor]) -> NanoDetOutputs:
        """See `TaskHead`."""
        hidden, logits, boxes = [], [], []
        for i, feature in enumerate(features):
            inside = functional.leaky_relu(self.convs[2 * i](feature), 0.1)
            out = self.convs[2 * i + 1](inside).float().flatten(2).transpose(1, 2)
            hidden.append(inside.float())
            logits.append(out[..., : len(CLASS_NAMES)])
            boxes.append(out[..., len(CLASS_NAMES) :].unflatten(-1, (4, BINS)))
        return NanoDetOutputs(tuple(hidden), torch.cat(logits, 1), torch.cat(boxes, 1))

    def outputs(self, told: NanoDetOutputs, blocks: int = 1) -> Outputs:
        """See `TaskHead`."""

        def parts(cells: Tensor) -> Float32:
            sides = [level.shape[-1] for level in told.hidden]
            levels = cells.split([side**2 for side in sides], 1)
            squares = [
                cut(level.unflatten(1, (s, s)), blocks)
                for level, s in zip(levels, sides, strict=True)
            ]
            return torch.cat([square.flatten(1, 2) for square in squares], 1).cpu().numpy()

        return Outputs(parts(torch.sigmoid(told.logits)), parts(told.boxes.flatten(2)))

    def shift(self, student: NanoDetOutputs, teacher: NanoDetOutputs) -> dict[str, Tensor]:
        """See `TaskHead`: binary divergence of the scores, divergence of the distributions."""
        cross = functional.binary_cross_entropy_with_logits
        with torch.no_grad():
            scores = torch.sigmoid(teacher.logits)
            best = scores.amax(-1)
            box_target = torch.softmax(teacher.boxes, -1)
            entropy = cross(teacher.logits, scores, reduction="none").sum(-1)
        # Binary Kullback-Leibler divergence: cross-entropy less the teacher's own entropy.
        classes = cross(student.logits, scores, reduction="none").sum(-1) - entropy
        box_shift = functional.kl_div(
            torch.log_softmax(student.boxes, -1), box_target, reduction="none"
        ).sum((-1, -2))
        return {
            "classes": (classes * (BACKGROUND + best.square())).sum(1) / CLASS_UNIT,
            "boxes": (box_shift * best.square()).sum(1) / BOX_UNIT,
        }
