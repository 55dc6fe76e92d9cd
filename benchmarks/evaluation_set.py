"""The pictures that figures are measured on: never trained on, and the same on every run."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcmrt.export.train.data import CLIPS, TEST_CLIP, TEST_FRAMES, TEST_PICTURES

from .report import positive

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from numpy.typing import NDArray

CROP_SEEDS = (0, 1, 2, 3)
SMALLEST_CROP, LARGEST_CROP = 0.4, 0.8  # side of a crop, of the photo's shorter side
VIDEO = CLIPS[TEST_CLIP]
VIDEO_FRAMES = tuple(TEST_FRAMES[::13])
SUFFIXES = (".jpg", ".png")
SMALL_SET = "the small set: the photos shipped with the package, since FCMRT_ASSETS is not set"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to measure on."""

    name: str
    group: str
    """Pictures of one group are not independent: the crops of a photo belong to the photo."""
    image: NDArray[np.uint8]
    """uint8 [H, W, 3], RGB."""

    @property
    def whole(self) -> bool:
        """Whether it is no crop."""
        return self.name == self.group


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Pictures, and a sentence that says what they are."""

    name: str
    description: str
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise FileNotFoundError(f"the evaluation set {self.name!r} has no pictures")


def add_every(parser: argparse.ArgumentParser) -> None:
    """Add the option that takes a part of the set, for a look."""
    parser.add_argument(
        "--every",
        metavar="N",
        type=positive,
        default=1,
        help="take every Nth photo or frame only; for a look, not for figures",
    )


def assets_folder() -> Path | None:
    """Give the folder that FCMRT_ASSETS names, None if it names none."""
    value = os.environ.get("FCMRT_ASSETS")
    return Path(value) if value else None


def crop_boxes(name: str, height: int, width: int) -> list[tuple[int, int, int]]:
    """Give the four square crops of a photo as (top, left, side), the same for ever.

    Args:
        name: Name of the photo; with the seed it decides, so no photo depends on another.
        height: Rows of the photo.
        width: Columns of the photo.
    """
    boxes = []
    for seed in CROP_SEEDS:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        side = round(min(height, width) * rng.uniform(SMALLEST_CROP, LARGEST_CROP))
        top, left = (int(rng.integers(0, size - side + 1)) for size in (height, width))
        boxes.append((top, left, side))
    return boxes


def with_crops(name: str, image: NDArray[np.uint8]) -> list[Item]:
    """Give a photo whole and its four crops.

    Args:
        name: Name of the photo.
        image: uint8 `[H, W, 3]`, RGB.
    """
    items = [Item(name, name, image)]
    for seed, (top, left, side) in zip(CROP_SEEDS, crop_boxes(name, *image.shape[:2]), strict=True):
        part = np.ascontiguousarray(image[top : top + side, left : left + side])
        items.append(Item(f"{name}#{seed}", name, part))
    return items


def read_photo(path: Path | Traversable) -> NDArray[np.uint8]:
    """Read a picture as uint8 `[H, W, 3]`, RGB."""
    from PIL import Image

    with path.open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def shipped_photos() -> list[tuple[str, NDArray[np.uint8]]]:
    """Read the photos that come with the package."""
    folder = resources.files("fcmrt") / "assets" / "photos"
    files = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [(f.name, read_photo(f)) for f in files if f.name.endswith(SUFFIXES)]


def photos(*, crops: bool = True, limit: int | None = None, every: int = 1) -> EvaluationSet:
    """Read the test photos, each whole and as four crops.

    Without FCMRT_ASSETS these are the few photos shipped with the package.

    Args:
        crops: Whether to add the crops.
        limit: Read this many photos only, the first of those that are left.
        every: Take every so-manyth photo.
    """
    assets = assets_folder()
    if assets is None:
        named = shipped_photos()[::every][:limit]
        source = SMALL_SET
    else:
        names = TEST_PICTURES[::every][:limit]
        named = [(name, read_photo(_find(assets / "photos", name))) for name in names]
        source = "test photos, none of them trained on"
    items = [
        item
        for name, image in named
        for item in (with_crops(name, image) if crops else [Item(name, name, image)])
    ]
    views = "each whole and as 4 square crops" if crops else "each whole"
    return EvaluationSet("photos", f"{len(named)} photos, {views} ({source})", tuple(items))


def whole_first(items: Sequence[Item]) -> list[Item]:
    """Order photos before crops: many photos say more than all crops of a few."""
    return sorted(items, key=lambda item: not item.whole)


def few_photos(count: int) -> EvaluationSet:
    """Read a few whole photos, for a quick run: from all over the set, so that people are in them.

    Args:
        count: How many, or fewer where there are no more.
    """
    there = len(TEST_PICTURES) if assets_folder() else len(shipped_photos())
    return photos(crops=False, limit=count, every=max(1, there // count))


def photos_for(arguments: argparse.Namespace, few: int) -> EvaluationSet:
    """Read the photos that a command line asks for, by `--every` and `--quick`.

    Args:
        arguments: The parsed command line.
        few: How many a quick run takes.
    """
    return few_photos(few) if arguments.quick else photos(every=arguments.every)


def _find(folder: Path, name: str) -> Path:
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.exists():
            return path
    raise FileNotFoundError(f"{folder / name}.jpg or .png is missing; is FCMRT_ASSETS right?")


def video(*, limit: int | None = None, every: int = 1) -> EvaluationSet:
    """Read every 13th of the test frames of a fixed camera's clip (needs PyAV and FCMRT_ASSETS).

    Args:
        limit: Read this many frames only.
        every: Take every so-manyth of these frames, before the limit.
    """
    import av

    assets = assets_folder()
    if assets is None:
        raise FileNotFoundError(
            f"the video set needs {VIDEO}: set FCMRT_ASSETS to the folder that holds video/{VIDEO}"
        )
    wanted = VIDEO_FRAMES[::every][:limit]
    items = []
    with av.open(str(assets / "video" / VIDEO)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                items.append(Item(f"{VIDEO}@{number}", f"{VIDEO}@{number}", image))
            if number >= wanted[-1]:
                break
    description = f"{len(items)} frames of {VIDEO}, {wanted[0]} to {wanted[-1]}, a fixed camera"
    return EvaluationSet("video", description, tuple(items))
