"""Every task network in the one form that harness and training use."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from fcmrt.tasks.agreement import pooled_distance
from fcmrt.tasks.task import MOVENET, NANODET, SELFIE, TASKS, Task


@pytest.fixture
def photo() -> np.ndarray:
    """A photo with a person: uint8 `[H, W, 3]`."""
    image = pytest.importorskip("PIL.Image")
    with (resources.files("fcmrt") / "assets" / "photos" / "person.jpg").open("rb") as file:
        return np.asarray(image.open(file).convert("RGB"))


@pytest.fixture
def models() -> Path | None:
    assets = os.environ.get("FCMRT_ASSETS")
    return Path(assets) / "models" if assets else None


def test_shapes() -> None:
    assert NANODET.feature_shapes() == ((128, 52, 52), (128, 26, 26), (128, 13, 13))
    assert MOVENET.feature_shapes() == ((24, 64, 64), (32, 32, 32), (64, 16, 16), (64, 8, 8))
    assert SELFIE.feature_shapes() == (
        (16, 128, 128),
        (16, 64, 64),
        (24, 32, 32),
        (128, 16, 16),
    )
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_letterbox_and_normalise_give_the_input(task: Task) -> None:
    pytest.importorskip("PIL")
    image = np.random.default_rng(0).integers(0, 256, (task.input_size, 40, 3), np.uint8)
    x, scale = task.letterbox(image)
    assert x.shape == (1, 3, task.input_size, task.input_size)
    assert scale == 1
    np.testing.assert_array_equal(x[..., :40], task.normalise(image))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_uncompressed_features_agree_fully(
    task: Task, photo: np.ndarray, models: Path | None
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("pycocotools")
    if task is not NANODET and models is None:
        pytest.skip("its graphs are not shipped; set FCMRT_ASSETS")
    network = task.load(None if task is NANODET else models, 1)
    x, scale = task.letterbox(photo)
    features = network.features(x)
    shapes = [features[name].shape[1:] for name in task.feature_names]
    assert tuple(shapes) == task.feature_shapes()
    outputs = network.outputs(features)
    found = task.results(network, outputs, scale, photo.shape[:2])
    matches = task.match([found], [found])
    assert matches[0].references > 0
    assert task.agreement(matches)(None) == 1.0
    assert task.agreement(matches)(np.array([3.0])) == 1.0
    assert pooled_distance(task.distance_sums(outputs, outputs)) == 0.0
