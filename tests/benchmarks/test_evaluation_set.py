"""The evaluation set is the same on every run and keeps to its rules."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks import evaluation_set
from benchmarks.evaluation_set import Item, crop_boxes, photos, whole_first, with_crops

needs_assets = pytest.mark.skipif(
    "FCMRT_ASSETS" not in os.environ, reason="needs the folder that FCMRT_ASSETS names"
)


GOLDEN_DOG = [(61, 299, 459), (134, 68, 306), (28, 402, 338), (14, 229, 417)]


def test_crops_never_change() -> None:
    """These numbers stand for results already published: a change makes them incomparable."""
    assert crop_boxes("dog", 576, 768) == GOLDEN_DOG
    assert crop_boxes("eagle", 576, 768) != GOLDEN_DOG


@pytest.mark.parametrize(("height", "width"), [(576, 768), (1200, 400), (31, 17), (1, 1)])
def test_crops_lie_inside_and_have_their_size(height: int, width: int) -> None:
    for name in ("dog", "kite", "x"):
        boxes = crop_boxes(name, height, width)
        assert len(boxes) == 4
        for top, left, side in boxes:
            assert 0 <= top <= height - side
            assert 0 <= left <= width - side
            shorter = min(height, width)
            assert 0.4 * shorter - 1 < side < 0.8 * shorter + 1


def test_a_photo_gives_itself_and_four_parts_of_one_group() -> None:
    image = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
    items = with_crops("some", image)
    assert [item.name for item in items] == ["some", "some#0", "some#1", "some#2", "some#3"]
    assert {item.group for item in items} == {"some"}
    assert items[0].image is image
    for item, (top, left, side) in zip(items[1:], crop_boxes("some", 60, 80), strict=True):
        assert (item.image == image[top : top + side, left : left + side]).all()


def test_without_assets_the_shipped_photos_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    found = photos(crops=False)
    assert evaluation_set.SMALL_SET in found.description
    assert len(found.items) >= 2
    for item in found.items:
        assert item.image.dtype == np.uint8
        assert item.image.ndim == 3
        assert item.image.shape[2] == 3
    assert len(photos(limit=2).items) == 10
    names = [item.name for item in found.items]
    assert [item.name for item in photos(crops=False, every=2).items] == names[::2]
    assert [item.name for item in photos(crops=False, every=2, limit=1).items] == names[:1]
    few = [item.name for item in evaluation_set.few_photos(2).items]
    assert few == [names[0], names[len(names) // 2]]
    assert len(evaluation_set.few_photos(100).items) == len(names)


def test_without_assets_the_video_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    with pytest.raises(FileNotFoundError, match="FCMRT_ASSETS"):
        evaluation_set.video()


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        evaluation_set.EvaluationSet("x", "nothing", ())


def test_a_missing_photo_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("FCMRT_ASSETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="dog"):
        photos(limit=1)


@needs_assets
def test_the_test_photos_are_all_there() -> None:
    found = photos(crops=False)
    assert [item.name for item in found.items] == list(evaluation_set.TEST_PICTURES)
    assert len(set(evaluation_set.TEST_PICTURES)) == 22


@needs_assets
def test_the_video_frames_are_the_last_quarter() -> None:
    found = evaluation_set.video(limit=2)
    assert [item.name for item in found.items] == ["vtest.avi@600", "vtest.avi@613"]
    assert all(isinstance(item, Item) and item.image.shape == (576, 768, 3) for item in found.items)
    assert max(evaluation_set.VIDEO_FRAMES) <= 794
    assert (found.items[0].image != found.items[1].image).any()


def test_whole_photos_come_before_crops() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    items = [*with_crops("a.jpg", image), *with_crops("b.jpg", image)]
    names = [item.name for item in whole_first(items)]
    assert names[:3] == ["a.jpg", "b.jpg", "a.jpg#0"]
    assert sorted(names) == sorted(item.name for item in items)
