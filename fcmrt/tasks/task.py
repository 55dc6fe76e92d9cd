"""The task networks by name, each described in one form, so that a harness can take any of them.

A harness calls `task.letterbox` with a picture, `network.features`, (a codec,) `network.outputs`,
`task.results`; then `task.match` and `task.distance_sums` compare results and outputs on decoded
features with those on uncompressed ones, picture by picture, and `task.agreement` and
`agreement.pooled_distance` pool the comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import agreement, mask_agreement, movenet, movenet_agreement, nanodet, selfie
from .letterbox import letterbox_square

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class TaskNetwork(Protocol):
    """A network cut in two."""

    def features(self, x: Float32) -> dict[str, Float32]:
        """Runs the front half on `[N, 3, S, S]`: float32 `[N, C, H, W]` by name, finest first."""

    def outputs(self, features: Mapping[str, Float32]) -> Any:
        """Runs the back half; the raw outputs, in the task's own form."""


class Match(Protocol):
    """How the results on decoded features of one picture compare with the reference."""

    @property
    def references(self) -> int:
        """Number of things to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task network, and how its results are read and compared."""

    name: str
    network: str
    """Name that the files of the network's two halves begin with."""
    input_size: int
    """Side of the square input, in pixels."""
    feature_names: tuple[str, ...]
    """Finest first."""
    feature_channels: tuple[int, ...]
    strides: tuple[int, ...]
    load: Callable[[str | Path | None, int | None], TaskNetwork]
    """From the folder of models (None: those shipped) and a number of threads."""
    normalise: Callable[[NDArray[np.uint8]], Float32]
    """From pixels uint8 [H, W, 3] to the input's float32 [1, 3, H, W]."""
    results: Callable[[Any, Any, float, tuple[int, int]], Any]
    """From network, outputs, scale and the picture's size (height, width) to what was found."""
    match: Callable[[Sequence[Any], Sequence[Any]], Sequence[Match]]
    """References and candidates, one per picture."""
    agreement: Callable[[Sequence[Any]], Callable[[Float64 | None], float]]
    """From what `match` gives to a function of how often each picture counts (float64 [N])."""
    agreement_rule: str
    """What `agreement` measures, in words."""
    distance_sums: Callable[[Any, Any], Float64]
    """From outputs of reference and candidate to float64 [N, 2 x terms] (`pooled_distance`)."""

    def letterbox(self, image: NDArray[np.uint8]) -> tuple[Float32, float]:
        """Fits a picture (uint8 `[H, W, 3]`, RGB) into the input; returns the scale too."""
        return letterbox_square(image, self.input_size, self.normalise)

    def feature_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Returns channels, rows and columns of each level."""
        sides = [self.input_size // stride for stride in self.strides]
        return tuple(zip(self.feature_channels, sides, sides, strict=True))


NANODET = Task(
    name="nanodet",
    network="nanodet",
    input_size=nanodet.INPUT_SIZE,
    feature_names=nanodet.FEATURE_NAMES,
    feature_channels=(nanodet.FEATURE_CHANNELS,) * len(nanodet.STRIDES),
    strides=nanodet.STRIDES,
    load=nanodet.NanoDet,
    normalise=nanodet.normalise,
    results=nanodet.NanoDet.detections,
    match=agreement.match,
    agreement=agreement.pooled_precision,
    agreement_rule="AP at IoU 0.5 against the network's own detections (score above 0.4)",
    distance_sums=agreement.distance_sums,
)
MOVENET = Task(
    name="movenet",
    network="movenet_mp",
    input_size=movenet.INPUT_SIZE,
    feature_names=movenet.FEATURE_NAMES,
    feature_channels=movenet.FEATURE_CHANNELS,
    strides=movenet.STRIDES,
    load=movenet.MoveNet,
    normalise=movenet.normalise,
    results=movenet.MoveNet.people,
    match=movenet_agreement.match,
    agreement=agreement.pooled_precision,
    agreement_rule="AP at OKS 0.5 against the network's own people (score above 0.3)",
    distance_sums=movenet_agreement.distance_sums,
)
SELFIE = Task(
    name="selfie",
    network="selfie",
    input_size=selfie.INPUT_SIZE,
    feature_names=selfie.FEATURE_NAMES,
    feature_channels=selfie.FEATURE_CHANNELS,
    strides=selfie.STRIDES,
    load=selfie.Selfie,
    normalise=selfie.normalise,
    results=selfie.Selfie.mask,
    match=mask_agreement.match,
    agreement=mask_agreement.pooled_iou,
    agreement_rule="IoU with the network's own mask (probability above 0.5), pixels pooled",
    distance_sums=mask_agreement.distance_sums,
)
TASKS = {task.name: task for task in (NANODET, MOVENET, SELFIE)}
