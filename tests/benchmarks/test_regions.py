"""Which results and outputs a region holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.regions import RULES, cases_of
from fcmrt.tasks import movenet, nanodet
from fcmrt.tasks.task import MOVENET, NANODET

LEFT_HALF = np.array([0.0, 0.0, 0.5, 1.0])


def detections(boxes: Any, scores: Any) -> nanodet.Detections:
    classes = np.zeros(len(boxes), np.int64)
    return nanodet.Detections(np.array(boxes, np.float32), np.array(scores, np.float32), classes)


def reference(boxes: Any, scores: Any) -> Any:
    return SimpleNamespace(found=detections(boxes, scores), scale=2.0)


def test_the_region_is_the_best_box_in_fractions_of_the_input() -> None:
    side = NANODET.input_size / 2  # of the input, in pixels of the picture
    found = reference([[0.25 * side, 0, 0.75 * side, 0.5 * side], [0, 0, 9, 9]], [0.9, 0.8])
    (case,) = cases_of(NANODET, [found])
    assert case.box == pytest.approx((0.25, 0, 0.75, 0.5))
    assert case.reference is found


def test_pictures_without_a_region_are_left_out() -> None:
    side = NANODET.input_size / 2
    nothing = reference(np.zeros((0, 4)), [])
    unsure = reference([[0, 0, 10, 10]], [0.39])
    large = reference([[0, 0, side, 0.6 * side]], [0.9])
    outside = reference([[2 * side, 0, 3 * side, side]], [0.9])
    assert cases_of(NANODET, [nothing, unsure, large, outside]) == []


def test_results_belong_where_their_middle_is() -> None:
    found = detections([[0, 0, 10, 10], [4, 4, 20, 8], [0, 0, 4, 2]], [0.9, 0.8, 0.7])
    inside = RULES["nanodet"].results(found, np.array([0.0, 0, 6, 6]))
    assert isinstance(inside, nanodet.Detections)
    assert inside.scores == pytest.approx([0.9, 0.7])
    assert inside.boxes.shape == (2, 4)


def test_detector_cells_are_shared_out() -> None:
    cells = sum((nanodet.INPUT_SIZE // stride) ** 2 for stride in nanodet.STRIDES)
    scores = np.arange(cells, dtype=np.float32)[None, :, None]
    outputs = nanodet.Outputs(scores, np.repeat(scores, 2, 2))
    inside, outside = RULES["nanodet"].outputs(outputs, LEFT_HALF * nanodet.INPUT_SIZE)
    assert inside.boxes.shape[2] == 2
    both = np.concatenate([inside.scores, outside.scores], 1)
    assert sorted(both.ravel()) == sorted(scores.ravel())
    assert inside.scores.shape[1] == pytest.approx(cells / 2, rel=0.05)
    assert 0 in inside.scores  # top left
    assert cells - 1 in outside.scores  # bottom right


def test_keypoint_cells_are_shared_out() -> None:
    side = movenet.OUTPUT_SIDE
    column = np.broadcast_to(np.arange(side, dtype=np.float32), (1, side, side))
    pairs = np.stack([column, column], -1)
    each = np.repeat(column[..., None], movenet.KEYPOINTS, -1)
    places = np.stack([each, each], -1)
    outputs = movenet.Outputs(column, each, places, places, pairs, pairs)
    inside, outside = RULES["movenet"].outputs(outputs, LEFT_HALF * MOVENET.input_size)
    assert inside.centres.max() == side // 2 - 1
    assert outside.centres.min() == side // 2
    assert inside.keypoints.shape == (1, side * side // 2, movenet.KEYPOINTS, 2)
    assert MOVENET.distance_sums(inside, inside)[:, [0, 2]] == pytest.approx(0)
