"""What coding one level costs the task, at each of some steps, picture by picture.

Alone: the procedure of MFIBA (arXiv 2503.19278) with the dense distance of the task network's
outputs (`fcmrt.tasks`) in the place of average precision, which is too coarse for one picture.
Together: what one level more or less coarse costs where all levels are coded, which is what sharing
bits out decides about. The two are the same where the network's back half keeps levels apart.
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
    """Steps `d` that were measured, increasing."""
    rates: Float64
    """Bits per element of the level, [pictures, levels, steps]; without side information."""
    maps: Float64
    """Loss in each part of the picture if this level alone is coded: [pictures, levels, steps,
    rows, columns]."""
    together: Float64 | None = None
    """Loss due to each level if all are coded: [pictures, levels, steps]; None: not measured."""

    def __post_init__(self) -> None:
        shape = (len(self.rates), self.rates.shape[1], len(self.steps))
        if self.rates.shape != shape or self.maps.shape[:3] != shape:
            raise ValueError(f"rates and maps must be {shape}, for each picture, level and step")

    @property
    def losses(self) -> Float64:
        """Losses of pictures, `[pictures, levels, steps]`; their mean is the pooled distance."""
        return np.asarray(self.maps.sum((3, 4)))


@torch.no_grad()
def measure(
    codec: FeatureCodec,
    head: TaskHead[Any],
    task: Task,
    batches: Iterable[Features],
    steps: Sequence[int],
    *,
    together: bool = False,
) -> Measured:
    """Codes every level of every picture alone, at every step.

    Args:
        codec: One that gives levels qualities of their own; in float32, on the CPU.
        head: The task network's frozen back half.
        task: The task network.
        batches: Features of training pictures, finest first.
        steps: Step numbers, increasing.
        together: Also measure levels where all are coded.

    Raises:
        ValueError: The codec fuses the levels.
    """
    if not codec.levels_have_quality:
        raise ValueError("this codec fuses the levels: no level can be coded alone")
    blocks = task.feature_shapes()[-1][-1]  # a part is a cell of the coarsest level

    def outputs(levels: Sequence[Tensor]) -> Any:
        return head.outputs(head(levels), blocks)

    def sums_of(reference: Any, levels: Sequence[Tensor]) -> Float64:
        found = task.distance_sums(reference, outputs(levels))
        return np.asarray(found).reshape(-1, blocks, blocks, 4)

    rates, sums, all_sums = [], [], []
    for batch in batches:
        features = [torch.from_numpy(level).float() for level in batch]
        reference = outputs(features)
        coded = [_coded(codec, features, step) for step in steps]
        rates.append(np.stack([rate for rate, _ in coded], -1))
        decoded = [levels for _, levels in coded]
        alone = [
            [sums_of(reference, _replaced(features, levels, i)) for i in range(len(features))]
            for levels in decoded
        ]
        sums.append(np.array(alone).transpose(2, 1, 0, 3, 4, 5))
        if together:
            each = [[sums_of(reference, levels) for levels in one] for one in _neighbours(decoded)]
            all_sums.append(np.array(each).transpose(2, 1, 0, 3, 4, 5))
    beside = shared(losses_of(np.concatenate(all_sums)).sum((3, 4))) if together else None
    return Measured(tuple(steps), np.concatenate(rates), losses_of(np.concatenate(sums)), beside)


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


def shared(losses: Float64) -> Float64:
    """Share the loss of coding all levels out among them, from step to step.

    A level's part of what a step more costs is the mean of two: it goes first, or it goes last.

    Args:
        losses: `[pictures, 1 + 2 levels, steps]`: with all levels at a step; for each level, with
            it alone one step further; and with it alone one step behind. Of the last step, only
            the first counts.

    Returns:
        `[pictures, levels, steps]`; at the first step all levels have the same part.
    """
    levels = losses.shape[1] // 2
    every, first, last = losses[:, :1], losses[:, 1 : 1 + levels], losses[:, 1 + levels :]
    steps = (first - every)[..., :-1] + (every[..., 1:] - last[..., :-1])
    start = np.broadcast_to(every[..., :1] / levels, first[..., :1].shape)
    return np.concatenate([start, start + np.cumsum(steps / 2, 2)], 2)


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


def _neighbours(decoded: Sequence[Sequence[Tensor]]) -> list[list[Sequence[Tensor]]]:
    """Levels at every step as `shared` wants them; behind the last step comes itself."""
    return [
        [
            here,
            *(_replaced(here, there, i) for i in range(len(here))),
            *(_replaced(there, here, i) for i in range(len(here))),
        ]
        for here, there in zip(decoded, [*decoded[1:], decoded[-1]], strict=True)
    ]
