"""The split, and reproducible inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcmrt.export.train import data, phash
from fcmrt.export.train.source import REUSE_AFTER, CachedSource, FeatureSource
from fcmrt.tasks.task import MOVENET, TASKS

MakePicture = Callable[..., np.ndarray]
MakeSource = Callable[..., FeatureSource]


def test_split_lists_the_test_pictures() -> None:
    assert len(data.TEST_PICTURES) == 22
    assert not set(data.TEST_FRAMES) & set(data.TRAIN_FRAMES[data.TEST_CLIP])


def make_assets(folder: Path, names: dict[str, np.ndarray]) -> Path:
    (folder / "photos").mkdir(parents=True)
    (folder / "video").mkdir()
    for name, image in names.items():
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
    return folder


def test_test_pictures_are_never_read_for_training(
    tmp_path: Path, make_picture: MakePicture
) -> None:
    assets = make_assets(tmp_path, {"dog": make_picture(0), "other": make_picture(1)})
    assert set(data.read_pictures(assets, []).photos) == {"other"}
    assert set(data.read_photos([assets / "photos"], test=True)) == {"dog"}


@pytest.mark.parametrize("mirrored", [False, True])
def test_copy_of_a_test_picture_is_refused(
    tmp_path: Path, make_picture: MakePicture, mirrored: bool
) -> None:
    copy = np.asarray(Image.fromarray(make_picture(0)).resize((200, 150)))
    copy = np.clip(copy.astype(int) + 12, 0, 255).astype(np.uint8)
    copy = copy[:, ::-1] if mirrored else copy
    names = {"dog": make_picture(0), "copy": copy, "other": make_picture(1)}
    with pytest.raises(data.SplitError, match="copy = dog"):
        data.read_pictures(make_assets(tmp_path, names), [])


def test_unrelated_pictures_are_far_apart(make_picture: MakePicture) -> None:
    train = {f"a{i}": make_picture(i) for i in range(10)}
    test = {f"b{i}": make_picture(100 + i) for i in range(10)}
    matches, closest = phash.find_copies(train, test)
    assert not matches
    assert closest is not None
    assert closest.distance > phash.MAX_DISTANCE


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_inputs_depend_on_seed_and_step_only(make_source: MakeSource, task: object) -> None:
    first = make_source(task=task)
    first.inputs(3)
    np.testing.assert_array_equal(first.inputs(7), make_source(task=task).inputs(7))
    assert not np.array_equal(first.inputs(7), first.inputs(8))
    assert not np.array_equal(first.inputs(7), make_source(seed=1, task=task).inputs(7))


def test_inputs_are_as_the_task_wants_them(make_source: MakeSource) -> None:
    inputs = make_source(task=MOVENET, batch=6).inputs(0)
    assert inputs.shape == (6, 3, 256, 256)
    assert inputs.min() >= 0
    assert 100 < inputs.max() <= 255


def test_half_of_a_batch_is_used_twice(make_source: MakeSource) -> None:
    later = REUSE_AFTER + 1
    steps = list(make_source().ahead(0, later + 1))
    assert len(steps) == later + 1
    np.testing.assert_array_equal(steps[1][2][:1], steps[later][2][1:])
    assert not np.array_equal(steps[1][2][:1], steps[1][2][1:])
    (again,) = make_source().ahead(later, later + 1)  # without the history
    np.testing.assert_array_equal(again[0], steps[later][0])


class CountedCache:
    """A cache whose crops are their own numbers."""

    task = MOVENET
    count = 10

    def crops(self, numbers: np.ndarray) -> list[np.ndarray]:
        return [numbers]


def test_every_cached_crop_comes_once_before_any_comes_again() -> None:
    first = CachedSource(CountedCache(), seed=0, batch=2)
    drawn = np.concatenate([batch[0] for batch in first.ahead(0, 10)])
    np.testing.assert_array_equal(np.sort(drawn[:10]), np.arange(10))
    np.testing.assert_array_equal(np.sort(drawn[10:]), np.arange(10))
    assert not np.array_equal(drawn[:10], drawn[10:])
    (again,) = CachedSource(CountedCache(), seed=0, batch=2).ahead(7, 8)  # without the history
    np.testing.assert_array_equal(again[0], drawn[14:16])
    with pytest.raises(ValueError, match="batch of 11"):
        CachedSource(CountedCache(), seed=0, batch=11)
