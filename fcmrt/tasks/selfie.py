"""The split selfie segmentation network: front half, back half, a mask of the people.

The front half gives four feature maps, the back half turns (decoded) maps into the probability of
"person" at each pixel of the input. Importing this module needs numpy only; onnxruntime is
imported when a `Selfie` is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .channels_last import run_back, run_front
from .halves import load_halves

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

INPUT_SIZE = 256
FEATURE_NAMES = ("p1", "p2", "p3", "p4")
FEATURE_CHANNELS = (16, 16, 24, 128)
STRIDES = (2, 4, 8, 16)
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Outputs:
    """Raw outputs of the back half."""

    probabilities: Float32
    """float32 [N, 256, 256], in 0..1: whether a person is here."""


def normalise(image: NDArray[np.uint8]) -> Float32:
    """Orders and scales pixels as `Selfie.features` takes them.

    Args:
        image: uint8 `[H, W, 3]`, RGB.

    Returns:
        float32 `[1, 3, H, W]`, RGB, 0 to 1; owned, C-contiguous.
    """
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


class Selfie:
    """MediaPipe's selfie segmentation at 256 x 256 as two ONNX graphs on the CPU.

    Args:
        models_dir: Folder of `selfie.front.onnx` and `selfie.back.onnx`; None is the package's
            folder, which does not have them.
        threads: Threads of each half; None leaves the choice to onnxruntime.
    """

    def __init__(self, models_dir: str | Path | None, threads: int | None = None) -> None:
        self._front, self._back = load_halves("selfie", models_dir, threads)
        self._cut = [node.name for node in self._back.get_inputs()]

    def features(self, x: Float32) -> dict[str, Float32]:
        """Runs the front half.

        Args:
            x: float32 `[N, 3, 256, 256]` as `letterbox_square` gives; the graph runs per picture.

        Returns:
            `p1` to `p4`: float32 `[N, 16|16|24|128, 128|64|32|16, 128|64|32|16]`, owned.
        """
        return run_front(self._front, self._cut, FEATURE_NAMES, x)

    def outputs(self, features: Mapping[str, Float32]) -> Outputs:
        """Runs the back half.

        Args:
            features: `p1` to `p4` as `features` gives them, possibly decoded ones.

        Returns:
            Probabilities, owned.
        """
        (probabilities,) = run_back(self._back, self._cut, FEATURE_NAMES, features)
        return Outputs(probabilities[..., 0])

    def mask(
        self, outputs: Outputs, scale: float, size: tuple[int, int], *, item: int = 0
    ) -> NDArray[np.bool_]:
        """Turns the raw outputs of one picture into a mask, on the grid of the network's input.

        Args:
            outputs: What `outputs` returned.
            scale: Scale from pixels of the picture to pixels of the input (`letterbox_square`).
            size: Height and width of the picture.
            item: Which picture of the batch.

        Returns:
            bool `[h, w]`, the part of the input that the picture covers; owned.
        """
        height, width = (max(1, round(side * scale)) for side in size)
        return outputs.probabilities[item, :height, :width] > THRESHOLD
