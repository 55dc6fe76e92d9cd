"""The split MoveNet MultiPose: front half, back half, people and their keypoints.

The front half gives four feature maps, the back half turns (decoded) maps into a map of body
centres, a heat map for each keypoint, and regressions. Importing this module needs numpy only;
onnxruntime is imported when a `MoveNet` is made.

Source of the decoding: the description of MoveNet by its authors (TensorFlow blog, May 2021).
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
FEATURE_NAMES = ("p2", "p3", "p4", "p5")
FEATURE_CHANNELS = (24, 32, 64, 64)
STRIDES = (4, 8, 16, 32)
OUTPUT_STRIDE = 4  # all outputs are on the grid of the finest level
OUTPUT_SIDE = INPUT_SIZE // OUTPUT_STRIDE
MAX_PEOPLE = 6
DISTANCE_OFFSET = 1.8  # cells; heat is weighted by 1 / (distance + 1.8)
ELSEWHERE = 1e-3  # further weight of heat outside the person's box

KEYPOINT_NAMES = (
    "nose",
    "left eye",
    "right eye",
    "left ear",
    "right ear",
    "left shoulder",
    "right shoulder",
    "left elbow",
    "right elbow",
    "left wrist",
    "right wrist",
    "left hip",
    "right hip",
    "left knee",
    "right knee",
    "left ankle",
    "right ankle",
)
KEYPOINTS = len(KEYPOINT_NAMES)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Raw outputs of the back half, on a grid of 64 x 64 cells of 4 pixels.

    Pairs are y, x, in cells.
    """

    centres: Float32
    """float32 [N, 64, 64], in 0..1: whether a person's middle is here."""
    heat: Float32
    """float32 [N, 64, 64, 17], in 0..1: whether that keypoint of some person is here."""
    keypoints: Float32
    """float32 [N, 64, 64, 17, 2], from a person's middle to its keypoints."""
    offsets: Float32
    """float32 [N, 64, 64, 17, 2], from the keypoint's cell to the keypoint."""
    box_sizes: Float32
    """float32 [N, 64, 64, 2], height and width of the person's box."""
    box_offsets: Float32
    """float32 [N, 64, 64, 2], from the middle's cell to the box's middle."""


@dataclass(frozen=True, slots=True)
class People:
    """People of one picture, best first."""

    scores: Float32
    """float32 [K]."""
    boxes: Float32
    """float32 [K, 4], x0 y0 x1 y1 in pixels of the picture."""
    keypoints: Float32
    """float32 [K, 17, 2], x y in pixels of the picture."""
    keypoint_scores: Float32
    """float32 [K, 17]."""


def normalise(image: NDArray[np.uint8]) -> Float32:
    """Orders pixels as `MoveNet.features` takes them.

    Args:
        image: uint8 `[H, W, 3]`, RGB.

    Returns:
        float32 `[1, 3, H, W]`, RGB, 0 to 255; owned, C-contiguous.
    """
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def find_centres(centres: Float32, threshold: float) -> NDArray[np.int64]:
    """Finds the local maxima (3 x 3) of a map of centres: int64 `[K, 2]`, y x, best first.

    Args:
        centres: float32 `[H, W]`.
        threshold: Maxima below it are left out. At most 6 are found.
    """
    height, width = centres.shape
    padded = np.pad(centres, 1, constant_values=-np.inf)
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    found = np.argwhere((centres >= np.maximum.reduce(around)) & (centres >= threshold))
    order = np.argsort(-centres[found[:, 0], found[:, 1]], kind="stable")
    return np.asarray(found[order[:MAX_PEOPLE]], np.int64)


def locate_keypoints(
    regressed: Float32, box: Float32, heat: Float32, offsets: Float32
) -> tuple[Float32, Float32]:
    """Finds a person's keypoints in the heat maps, near where the regression expects them.

    Args:
        regressed: float32 `[17, 2]`, y x in cells.
        box: float32 `[2, 2]`, y x of the person's corners, in cells; heat more than a cell outside
            is taken for another person's, and counts only if there is none inside.
        heat: float32 `[H, W, 17]`.
        offsets: float32 `[H, W, 17, 2]`.

    Returns:
        float32 `[17, 2]`, y x in cells, and each keypoint's heat, float32 `[17]`.
    """
    height, width, count = heat.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(y[..., None] - regressed[:, 0], x[..., None] - regressed[:, 1])
    inside = (np.abs(y - box[:, 0].mean()) <= np.ptp(box[:, 0]) / 2 + 1) & (
        np.abs(x - box[:, 1].mean()) <= np.ptp(box[:, 1]) / 2 + 1
    )
    weight = np.where(inside, 1.0, ELSEWHERE)[..., None]
    best = (weight * heat / (distance + DISTANCE_OFFSET)).reshape(-1, count).argmax(0)
    rows, columns = np.divmod(best, width)
    names = np.arange(count)
    cells = np.stack([rows, columns], 1).astype(np.float32)
    return cells + offsets[rows, columns, names], heat[rows, columns, names]


class MoveNet:
    """MoveNet MultiPose at 256 x 256 (17 COCO keypoints, up to 6 people) as two ONNX graphs.

    Args:
        models_dir: Folder of `movenet_mp.front.onnx` and `movenet_mp.back.onnx`; None is the
            package's folder, which does not have them.
        threads: Threads of each half; None leaves the choice to onnxruntime.
    """

    def __init__(self, models_dir: str | Path | None, threads: int | None = None) -> None:
        self._front, self._back = load_halves("movenet_mp", models_dir, threads)
        self._cut = [node.name for node in self._back.get_inputs()]

    def features(self, x: Float32) -> dict[str, Float32]:
        """Runs the front half.

        Args:
            x: float32 `[N, 3, 256, 256]` as `letterbox_square` gives; the graph runs per picture.

        Returns:
            `p2`, `p3`, `p4`, `p5`: float32 `[N, 24|32|64|64, 64|32|16|8, 64|32|16|8]`, owned.
        """
        return run_front(self._front, self._cut, FEATURE_NAMES, x)

    def outputs(self, features: Mapping[str, Float32]) -> Outputs:
        """Runs the back half.

        Args:
            features: `p2` to `p5` as `features` gives them, possibly decoded ones.

        Returns:
            Its outputs, owned.
        """
        centres, heat, keypoints, offsets, sizes, box_offsets = run_back(
            self._back, self._cut, FEATURE_NAMES, features
        )
        pairs = (*heat.shape, 2)
        return Outputs(
            centres[..., 0],
            heat,
            keypoints.reshape(pairs),
            offsets.reshape(pairs),
            sizes,
            box_offsets,
        )

    def people(
        self,
        outputs: Outputs,
        scale: float,
        size: tuple[int, int],
        score_threshold: float = 0.05,
        *,
        item: int = 0,
    ) -> People:
        """Turns the raw outputs of one picture into people.

        Args:
            outputs: What `outputs` returned.
            scale: Scale from pixels of the picture to pixels of the input (`letterbox_square`).
            size: Height and width of the picture; boxes and keypoints are clipped to it.
            score_threshold: People with a lower score are dropped.
            item: Which picture of the batch.
        """
        found = find_centres(outputs.centres[item], score_threshold)
        at = (item, found[:, 0], found[:, 1])
        regressed = found[:, None] + outputs.keypoints[at]
        middles, halves = found + outputs.box_offsets[at], outputs.box_sizes[at] / 2
        boxes = np.stack([middles - halves, middles + halves], 1).astype(np.float32)
        heat, offsets = outputs.heat[item], outputs.offsets[item]
        located = [
            locate_keypoints(one, box, heat, offsets)
            for one, box in zip(regressed, boxes, strict=True)
        ]
        points = np.array([point for point, _ in located], np.float32).reshape(-1, KEYPOINTS, 2)
        certain = np.array([heat for _, heat in located], np.float32).reshape(-1, KEYPOINTS)

        def pixels(places: Float32) -> Float32:
            """From y x in cells to x y in pixels of the picture."""
            limit = np.array([size[1], size[0]], np.float32)
            places = places[..., ::-1] * np.float32(OUTPUT_STRIDE / scale)
            return np.asarray(np.clip(places, 0, limit), np.float32)

        return People(outputs.centres[at], pixels(boxes).reshape(-1, 4), pixels(points), certain)
