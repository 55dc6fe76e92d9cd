"""Decoding of people on maps made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fcmrt.tasks import movenet
from fcmrt.tasks.movenet import KEYPOINTS, MoveNet, Outputs, find_centres
from fcmrt.tasks.task import MOVENET


def empty() -> dict[str, np.ndarray]:
    side = movenet.OUTPUT_SIDE
    return {
        "centres": np.zeros((1, side, side), np.float32),
        "heat": np.zeros((1, side, side, KEYPOINTS), np.float32),
        "keypoints": np.zeros((1, side, side, KEYPOINTS, 2), np.float32),
        "offsets": np.zeros((1, side, side, KEYPOINTS, 2), np.float32),
        "box_sizes": np.zeros((1, side, side, 2), np.float32),
        "box_offsets": np.zeros((1, side, side, 2), np.float32),
    }


def put_person(maps: dict[str, np.ndarray], y: int, x: int, score: float) -> None:
    """A person whose keypoint k lies k - 8 cells below its middle."""
    maps["centres"][0, y, x] = score
    maps["box_sizes"][0, y, x] = 20, 8
    maps["box_offsets"][0, y, x] = 0.5, 0.25
    for k in range(KEYPOINTS):
        maps["keypoints"][0, y, x, k] = k - 8 + 1, 1  # a cell off, to both sides
        maps["heat"][0, y + k - 8, x, k] = 0.9
        maps["offsets"][0, y + k - 8, x, k] = 0.25, -0.5


def people(maps: dict[str, np.ndarray], scale: float = 1.0, **options: float) -> movenet.People:
    network = SimpleNamespace()  # decoding needs no graphs
    return MoveNet.people(network, Outputs(**maps), scale, (256, 256), **options)


def test_keypoints_are_where_heat_and_offset_say() -> None:
    maps = empty()
    put_person(maps, 30, 20, 0.8)
    found = people(maps)
    assert found.scores.tolist() == pytest.approx([0.8])
    np.testing.assert_allclose(
        found.boxes, [[(20.25 - 4) * 4, (30.5 - 10) * 4, (20.25 + 4) * 4, (30.5 + 10) * 4]]
    )
    expected = np.stack([np.full(KEYPOINTS, 19.5) * 4, (30.25 + np.arange(KEYPOINTS) - 8) * 4], 1)
    np.testing.assert_allclose(found.keypoints[0], expected)
    np.testing.assert_allclose(found.keypoint_scores[0], 0.9)
    half = people(maps, scale=2.0)
    np.testing.assert_allclose(half.keypoints, found.keypoints / 2)


def test_everybody_keeps_to_his_own_box() -> None:
    maps = empty()
    put_person(maps, 30, 20, 0.8)
    put_person(maps, 30, 40, 0.7)
    maps["heat"][0, 22, 40, 0] = 0.2  # hidden: the other's, 20 cells away, is stronger
    maps["heat"][0, 22, 20, 0] = 1.0
    maps["keypoints"][0, 30, 40, 0] = -8, -12  # and regression points there
    found = people(maps)
    assert found.keypoints[1, 0, 0] == (40 - 0.5) * 4
    assert found.keypoint_scores[1, 0] == pytest.approx(0.2)


def test_best_people_come_first_and_at_most_six() -> None:
    maps = empty()
    scores = [0.3, 0.9, 0.5, 0.04, 0.7, 0.6, 0.8, 0.4]
    for i, score in enumerate(scores):
        put_person(maps, 30, 4 + 7 * i, score)
    expected = sorted(scores, reverse=True)[:6]
    np.testing.assert_allclose(people(maps).scores, expected, rtol=1e-6)
    assert len(people(maps, score_threshold=0.65).scores) == 3


def test_centres_are_local_maxima() -> None:
    centres = np.zeros((6, 6), np.float32)
    centres[0, 0], centres[0, 1], centres[5, 5] = 0.5, 0.6, 0.55
    np.testing.assert_array_equal(find_centres(centres, 0.1), [[0, 1], [5, 5]])


def test_nobody() -> None:
    found = people(empty())
    assert found.boxes.shape == (0, 4)
    assert found.keypoints.shape == (0, KEYPOINTS, 2)
    assert found.keypoint_scores.shape == (0, KEYPOINTS)


def test_letterbox() -> None:
    pytest.importorskip("PIL")
    image = np.full((100, 200, 3), (10, 20, 30), np.uint8)
    x, scale = MOVENET.letterbox(image)
    assert x.shape == (1, 3, 256, 256)
    assert scale == 256 / 200
    np.testing.assert_array_equal(x[0, :, 64, 128], [10, 20, 30])
    assert (x[:, :, 128:] == 0).all()
