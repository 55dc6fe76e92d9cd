"""What coding one level alone costs the task, at each of some steps, picture by picture.

The procedure of MFIBA (arXiv 2503.19278) with the dense distance of the task network's outputs
(`fcmrt.tasks`) in the place of average precision, which is too coarse for one picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcmrt.export.codec import FeatureCodec
from fcmrt.export.train.loss import TaskHead
from fcmrt.export.train.source import Features
from fcmrt.tasks.task import Task

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """Pictures whose levels were coded one by one."""

    steps: tuple[int, ...]
    # increasing
    rates: Float64
    # bits per element of the level, [pictures, levels, steps]; side information apart
    maps: Float64
    # what is lost in each part of the picture with this level coded alone: [pictures, levels,
    # steps, rows, columns]

    def __post_init__(self) -> None:
        shape = (len(self.rates), self.rates.shape[1], len(self.steps))
        if self.rates.shape != shape or self.maps.shape[:3] != shape:
            raise ValueError(f"rates and maps must be {shape}, for each picture, level and step")

    @property
    def losses(self) -> Float64:
        """Of whole pictures, `[pictures, levels, steps]`; their mean is the pooled distance."""
        return np.asarray(self.maps.sum((3, 4)))


@torch.no_grad()
def measure(
    codec: FeatureCodec,
    head: TaskHead[Any],
    task: Task,
    batches: Iterable[Features],
    steps: Sequence[int],
) -> Measured:
    """Code every level of every picture alone, at every step.

    Args:
        codec: One that gives levels qualities of their own; in float32, on the CPU.
        head: The task network's frozen back half.
        task: What the network is.
        batches: Features of training pictures, finest first.
        steps: Step numbers, increasing.

    Raises:
        ValueError: The codec fuses the levels.
    """
    if not codec.levels_have_quality:
        raise ValueError("this codec fuses the levels: no level can be coded alone")
    blocks = task.feature_shapes()[-1][-1]  # a part is a cell of the coarsest level

    def outputs(levels: Sequence[Tensor]) -> Any:
        return head.outputs(head(levels), blocks)

    rates, sums = [], []
    for batch in batches:
        features = [torch.from_numpy(level).float() for level in batch]
        reference = outputs(features)
        coded = [_coded(codec, features, step) for step in steps]
        rates.append(np.stack([rate for rate, _ in coded], -1))
        alone = [
            [
                task.distance_sums(reference, outputs(_replaced(features, decoded, i)))
                for i in range(len(features))
            ]
            for _, decoded in coded
        ]
        shape = (len(steps), len(features), -1, blocks, blocks, 4)
        sums.append(np.array(alone).reshape(shape).transpose(2, 1, 0, 3, 4, 5))
    return Measured(tuple(steps), np.concatenate(rates), losses_of(np.concatenate(sums)))


@torch.no_grad()
def precoded(codec: FeatureCodec, features: Features, step: int) -> Features:
    """Features as they are after coding and decoding, every level at the same step.

    Args:
        codec: As for `measure`.
        features: Of some pictures, finest first.
        step: Step number.

    Returns:
        float16, as a cache gives them.
    """
    levels = [torch.from_numpy(level).float() for level in features]
    _, decoded = _coded(codec, levels, step)
    return [level.half().numpy() for level in decoded]


def losses_of(sums: Float64) -> Float64:
    """Losses of parts of pictures; of whole ones, the mean is the pooled distance.

    Args:
        sums: What `Task.distance_sums` gives: float64 `[pictures, levels, steps, rows, columns,
            4]`.
    """
    tiny = np.finfo(np.float64).tiny
    _, scores, _, weights = np.maximum(sums.sum((3, 4)).mean((0, 1, 2)), tiny)
    return np.asarray(sums[..., 0] / scores + sums[..., 2] / weights)


def _coded(
    codec: FeatureCodec, features: Sequence[Tensor], step: int
) -> tuple[Float64, tuple[Tensor, ...]]:
    """Rates (`[N, levels]`) and decoded features of all levels at one step."""
    d = torch.full((len(features[0]), len(features)), float(step))
    coded = codec.round_trip(features, d)
    each = zip(coded.parts, features, strict=True)
    rates = [part.y_bits.double().numpy() / level[0].numel() for part, level in each]
    return np.stack(rates, 1), coded.features


def _replaced(features: Sequence[Tensor], decoded: Sequence[Tensor], i: int) -> list[Tensor]:
    return [*features[:i], decoded[i], *features[i + 1 :]]
