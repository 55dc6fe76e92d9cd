"""Feature frames: the layout of the test model, and values that come back."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from benchmarks.anchors.packing import LARGEST, Frame, pack, tilings, unpack
from fcmrt.tasks.task import MOVENET, NANODET, SELFIE, Task

Shapes = dict[str, tuple[int, ...]]


def features(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.laplace(3 * k, 1 + k, shape).astype(np.float32)
        for k, (name, shape) in enumerate(shapes.items())
    }


def shapes_of(task: Task) -> Shapes:
    return dict(zip(task.feature_names, task.feature_shapes(), strict=True))


@pytest.mark.parametrize(
    ("task", "found", "size"),
    [
        (NANODET, [(8, 16), (4, 32), (2, 64)], (416 + 104 + 26, 832)),
        (MOVENET, [(4, 6), (3, 12), (3, 24), (2, 48)], (256 + 96 + 48 + 16, 384)),
        (SELFIE, [(4, 4), (2, 8), (2, 16), (4, 32)], (512 + 128 + 64 + 64, 512)),
    ],
    ids=lambda value: value.name if isinstance(value, Task) else None,
)
def test_layout(task: Task, found: list[tuple[int, int]], size: tuple[int, int]) -> None:
    shapes = shapes_of(task)
    assert list(tilings(shapes).values()) == found
    frame = pack(features(shapes))
    assert frame.plane.shape == size
    assert frame.plane.dtype == np.uint16


def test_the_published_tiling_of_256_channels() -> None:
    shapes: Shapes = {
        name: (256, 200 // scale, 320 // scale)
        for name, scale in (("p2", 1), ("p3", 2), ("p4", 4), ("p5", 8))
    }
    layout = tilings(shapes)
    heights = [layout[name].rows * shape[1] for name, shape in shapes.items()]
    assert heights == [3200, 800, 200, 50]


def test_channels_lie_side_by_side_in_rows() -> None:
    level = np.arange(6 * 2 * 2, dtype=np.float32).reshape(6, 2, 2)
    plane = pack({"x": level}).plane
    expected = np.block([[level[0], level[1], level[2]], [level[3], level[4], level[5]]])
    np.testing.assert_array_equal(plane, np.rint(expected / 23 * LARGEST))


@hypothesis.given(
    channels=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_values_come_back_within_half_a_step(
    channels: list[int], height: int, width: int, seed: int
) -> None:
    shapes: Shapes = {
        str(k): (count, max(1, height >> k), max(1, width >> k)) for k, count in enumerate(channels)
    }
    given = features(shapes, seed)
    frame = pack(given)
    assert frame.plane.max() <= LARGEST
    decoded = unpack(frame, shapes)
    for name, values in given.items():
        step = np.ptp(values.astype(np.float64)) / LARGEST
        assert decoded[name].dtype == np.float32
        assert np.abs(decoded[name] - values).max() <= 0.5 * step + 1e-6 * np.abs(values).max()


def test_every_level_has_its_own_range() -> None:
    given = {"a": np.array([[[0, 1]]], np.float32), "b": np.array([[[-8]], [[24]]], np.float32)}
    frame = pack(given)
    assert frame.ranges.tolist() == [[0, 1], [-8, 24]]
    assert frame.plane.tolist() == [[0, LARGEST], [0, LARGEST]]


def test_a_constant_level_survives() -> None:
    given = {"x": np.full((4, 3, 3), -0.75, np.float32)}
    frame = pack(given)
    assert (frame.plane == 0).all()
    assert (unpack(frame, {"x": (4, 3, 3)})["x"] == -0.75).all()
    # Whatever a decoder makes of the plane, the range is a point.
    noisy = Frame(frame.plane + np.uint16(9), frame.ranges)
    assert (unpack(noisy, {"x": (4, 3, 3)})["x"] == -0.75).all()
