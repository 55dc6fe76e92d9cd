"""Pictures for training: the split, reading, and the check that no test picture is among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcmrt.export.train.phash import find_copies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

# Never trained on. The one place where the split is written down.
TEST_PICTURES = (
    "dog",
    "eagle",
    "giraffe",
    "horses",
    "kite",
    "person",
    "messi5",
    "basketball1",
    "leuvenA",
    "building",
    "fruits",
    "home",
    "stuff",
    "squirrel_cls",
    "aloeL",
    "licenseplate_motion",
    "pexels-1317558",
    "pexels-36444540",
    "pexels-5604956",
    "pexels-6963788",
    "pexels-7303842",
    "pexels-cup-of-couple-7303987",
)
TEST_CLIP, TEST_FRAMES = "vtest", range(600, 795)
# Figures that show (a drawing over) a test picture: used for nothing.
EXCLUDED: frozenset[str] = frozenset()

CLIPS = {"vtest": "vtest.avi", "tree": "tree.avi", "carphone": "carphone_pristine.mp4"}
# Frames of each clip used for training: first, last (excluded), every.
TRAIN_FRAMES = {"vtest": range(0, 600, 3), "tree": range(0, 444, 2), "carphone": range(0, 120, 6)}
LONGEST_SIDE = 1400
SUFFIXES = {".jpg", ".jpeg", ".png"}


class SplitError(ValueError):
    """A training picture looks like a test picture."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Decoded training pictures, uint8 `[H, W, 3]` RGB, by name, per source."""

    photos: dict[str, Picture]
    clips: dict[str, dict[str, Picture]]

    def source(self, name: str) -> list[Picture]:
        """Pictures of one source, in a fixed order."""
        chosen = self.photos if name == "photos" else self.clips.get(name, {})
        return [chosen[key] for key in sorted(chosen)]


def read_photos(folders: list[Path], *, test: bool) -> dict[str, Picture]:
    """Reads the test pictures, or all the others, of some folders; long sides cut to 1400."""
    from PIL import Image

    pictures = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.stem in EXCLUDED:
                continue
            if (path.stem in TEST_PICTURES) != test:
                continue
            with Image.open(path) as file:
                image = file.convert("RGB")
            if max(image.size) > LONGEST_SIDE:
                image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            if min(image.size) >= 96:
                pictures[path.stem] = np.asarray(image)
    return pictures


def read_frames(path: Path, wanted: range) -> dict[str, Picture]:
    """Reads some frames of a clip."""
    import av

    frames = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= wanted.stop:
                break
            if number in wanted:
                frames[f"{path.stem}:{number:04d}"] = frame.to_ndarray(format="rgb24")
    return frames


def read_pictures(assets: Path, extra: list[Path]) -> Pictures:
    """Reads every training picture into memory, and refuses copies of test pictures.

    Args:
        assets: Folder with `photos/` and `video/`.
        extra: Further folders of pictures, all for training.

    Raises:
        SplitError: A training picture looks like a test picture.
    """
    photos = read_photos([assets / "photos", *extra], test=False)
    clips = {
        name: read_frames(assets / "video" / file, TRAIN_FRAMES[name])
        for name, file in CLIPS.items()
        if (assets / "video" / file).exists()
    }
    check_split(assets, Pictures(photos, clips))
    return Pictures(photos, clips)


def check_split(assets: Path, pictures: Pictures) -> list[str]:
    """Compares all training pictures and frames with all test pictures and frames.

    One pair of sources is left out: the training and the test frames of the same fixed camera,
    which are split by time and look alike by nature.

    Returns:
        What was compared, in words.

    Raises:
        SplitError: A training picture looks like a test picture.
    """
    test = read_photos([assets / "photos"], test=True)
    clip = assets / "video" / CLIPS[TEST_CLIP]
    frames = range(TEST_FRAMES.start, TEST_FRAMES.stop, 10)
    test_frames = read_frames(clip, frames) if clip.exists() else {}
    compared = []
    for name in ("photos", *pictures.clips):
        train = pictures.photos if name == "photos" else pictures.clips[name]
        against = test if name == TEST_CLIP else {**test, **test_frames}
        matches, closest = find_copies(train, against)
        if matches:
            pairs = ", ".join(f"{m.train} = {m.test} ({m.distance} bits)" for m in matches)
            raise SplitError(f"training pictures look like test pictures: {pairs}")
        nearest = f"{closest.train} and {closest.test}, {closest.distance} bits" if closest else "-"
        compared.append(
            f"{name}: {len(train)} pictures, plain and mirrored, with {len(against)} test "
            f"pictures; closest {nearest}"
        )
    return compared
