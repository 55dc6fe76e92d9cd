"""The split NanoDet detector: letterbox, front half, back half, box decoding and NMS.

The front half runs near the camera and computes three feature maps; the back half turns (decoded)
maps into boxes. Importing this module needs only numpy; onnxruntime is imported when a `NanoDet` is
made, and Pillow when a picture is resized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .halves import load_halves
from .letterbox import letterbox_square

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

INPUT_SIZE = 416
FEATURE_NAMES = ("p3", "p4", "p5")
FEATURE_CHANNELS = 128
STRIDES = (8, 16, 32)
BINS = 11  # bins of the distribution of one box side, in units of the stride

# Mean and standard deviation per channel, in BGR order, of pixels in 0..255.
PIXEL_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
PIXEL_STD = np.array([57.375, 57.12, 58.395], np.float32)

# fmt: off
CLASS_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book",
    "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Outputs:
    """Raw outputs of the back half, the three levels one after another (2704 + 676 + 169)."""

    scores: Float32
    """float32 [N, 3549, 80], in 0..1."""
    boxes: Float32
    """float32 [N, 3549, 44], logits of 4 sides (left, top, right, bottom) x 11 bins."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one picture, best first."""

    boxes: Float32
    """float32 [K, 4], x0 y0 x1 y1 in pixels of the picture."""
    scores: Float32
    """float32 [K]."""
    classes: NDArray[np.int64]
    """int64 [K], index into CLASS_NAMES."""


def letterbox(image: NDArray[np.uint8]) -> tuple[Float32, float]:
    """Fits a picture into the detector's input, at the top left, padded with the mean colour.

    Args:
        image: uint8 `[H, W, 3]`, RGB; borrowed until the call returns.

    Returns:
        The input (float32 `[1, 3, 416, 416]`, BGR, normalised; owned) and the scale from pixels
        of the picture to pixels of the input.
    """
    return letterbox_square(image, INPUT_SIZE, normalise)


def normalise(image: NDArray[np.uint8]) -> Float32:
    """Orders and scales pixels as the detector takes them.

    Args:
        image: uint8 `[H, W, 3]`, RGB.

    Returns:
        float32 `[1, 3, H, W]`, BGR, normalised; owned, C-contiguous.
    """
    bgr = (image[..., ::-1].astype(np.float32) - PIXEL_MEAN) / PIXEL_STD
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def cell_centres() -> tuple[Float32, Float32]:
    """Returns the centres of the 3549 cells (float32 `[3549, 2]`) and their strides `[3549]`."""
    centres, strides = [], []
    for stride in STRIDES:
        side = INPUT_SIZE // stride
        y, x = np.mgrid[:side, :side]
        centres.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(side * side, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode_boxes(boxes: Float32) -> Float32:
    """Turns box distributions into boxes.

    Args:
        boxes: float32 `[3549, 44]`, logits.

    Returns:
        float32 `[3549, 4]`, x0 y0 x1 y1 in pixels of the detector's input; owned.
    """
    logits = boxes.reshape(-1, 4, BINS)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    centres, strides = cell_centres()
    expectation = weights @ np.arange(BINS, dtype=np.float32) / weights.sum(-1)
    sides = expectation * strides[:, None]
    return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], 1)


def iou_matrix(a: Float32, b: Float32) -> Float32:
    """Intersection over union of every box of `a` (`[K, 4]`) with every box of `b` (`[L, 4]`)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0, None), -1)
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0, None), -1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), -1)
    union = area_a[:, None] + area_b[None] - inside
    return np.asarray(inside / np.maximum(union, 1e-9), np.float32)


def nms(boxes: Float32, scores: Float32, iou: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within one class: the indexes kept, best first."""
    order = np.argsort(-scores, kind="stable")
    overlaps = iou_matrix(boxes[order], boxes[order]) > iou
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if alive[i]:
            kept.append(order[i])
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return np.asarray(kept, np.int64)


class NanoDet:
    """NanoDet-g 416 (80 COCO classes) as two ONNX graphs on the CPU.

    Args:
        models_dir: Folder of `nanodet.front.onnx` and `nanodet.back.onnx`; None takes the
            graphs shipped with the package.
        threads: Threads of each half; None leaves the choice to onnxruntime.
    """

    def __init__(self, models_dir: str | Path | None = None, threads: int | None = None) -> None:
        self._front, self._back = load_halves("nanodet", models_dir, threads)
        self._input = self._front.get_inputs()[0].name
        self._cut = [node.name for node in self._back.get_inputs()]

    def features(self, x: Float32) -> dict[str, Float32]:
        """Runs the front half.

        Args:
            x: float32 `[N, 3, 416, 416]` as `letterbox` gives it; the graph runs per picture.

        Returns:
            `p3`, `p4`, `p5`: float32 `[N, 128, 52|26|13, 52|26|13]`, owned.
        """
        rows = [self._front.run(self._cut, {self._input: x[i : i + 1]}) for i in range(len(x))]
        return {
            name: np.concatenate([row[level] for row in rows])
            for level, name in enumerate(FEATURE_NAMES)
        }

    def outputs(self, features: Mapping[str, Float32]) -> Outputs:
        """Runs the back half.

        Args:
            features: `p3`, `p4`, `p5` as `features` gives them, possibly decoded ones.

        Returns:
            Scores and box distributions, owned.
        """
        maps = [np.asarray(features[name], np.float32) for name in FEATURE_NAMES]
        scores, boxes = [], []
        for i in range(len(maps[0])):
            feed = {cut: m[i : i + 1] for cut, m in zip(self._cut, maps, strict=True)}
            out = self._back.run(None, feed)
            scores.append(np.concatenate(out[:3], 1))
            boxes.append(np.concatenate(out[3:], 1))
        return Outputs(np.concatenate(scores), np.concatenate(boxes))

    def detections(
        self,
        outputs: Outputs,
        scale: float,
        size: tuple[int, int],
        score_threshold: float = 0.05,
        iou: float = 0.6,
        *,
        item: int = 0,
    ) -> Detections:
        """Turns the raw outputs of one picture into boxes, with NMS per class.

        Args:
            outputs: What `outputs` returned.
            scale: Scale from pixels of the picture to pixels of the input (`letterbox`).
            size: Height and width of the picture; boxes are clipped to it.
            score_threshold: Boxes with a lower score are dropped.
            iou: Of two boxes of a class that overlap more than this, only the better is kept.
            item: Which picture of the batch.
        """
        scores, boxes = outputs.scores[item], decode_boxes(outputs.boxes[item]) / scale
        limit = np.array([size[1], size[0], size[1], size[0]], np.float32)
        boxes = np.clip(boxes, 0, limit)
        found: list[tuple[Float32, Float32, NDArray[np.int64]]] = []
        for label in np.flatnonzero((scores >= score_threshold).any(0)):
            rows = np.flatnonzero(scores[:, label] >= score_threshold)
            kept = rows[nms(boxes[rows], scores[rows, label], iou)]
            found.append((boxes[kept], scores[kept, label], np.full(len(kept), label)))
        if not found:
            empty = np.zeros(0, np.float32)
            return Detections(np.zeros((0, 4), np.float32), empty, np.zeros(0, np.int64))
        all_boxes, all_scores, classes = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.argsort(-all_scores, kind="stable")
        return Detections(all_boxes[order], all_scores[order], classes[order])
