"""Pictures for training: the split, reading, fresh random inputs, features.

The picture of slot i of step k depends on the seed, k and i only, so training can go on from any
step without its history.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcmrt.export.train.phash import find_copies
from fcmrt.tasks import nanodet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Float32 = NDArray[np.float32]

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
# How often a picture comes from the photos or from each clip.
SOURCE_WEIGHTS = {"photos": 0.70, "vtest": 0.17, "tree": 0.08, "carphone": 0.05}
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
    """Read the test pictures, or all the others, of some folders; long sides cut to 1400."""
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
    """Read some frames of a clip."""
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
    """Read every training picture into memory, and refuse copies of test pictures.

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
    """Compare all training pictures and frames with all test pictures and frames.

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


def random_canvas(pictures: Pictures, rng: np.random.Generator) -> Float32:
    """Draw one input of the detector: float32 `[1, 3, 416, 416]`.

    A whole picture or a random crop, letterboxed at the top left; sometimes four of them.
    """
    side = nanodet.INPUT_SIZE
    x = np.zeros((1, 3, side, side), np.float32)
    if rng.random() < 0.15:
        half = side // 2
        for row, column in ((0, 0), (0, half), (half, 0), (half, half)):
            _place(x[:, :, row : row + half, column : column + half], pictures, rng)
    else:
        _place(x, pictures, rng)
    return x


def _place(x: Float32, pictures: Pictures, rng: np.random.Generator) -> None:
    """Fill `x` with a random picture from the top left, changed a little in colour."""
    sources = [name for name in SOURCE_WEIGHTS if pictures.source(name)]
    weights = np.array([SOURCE_WEIGHTS[name] for name in sources])
    source = pictures.source(sources[int(rng.choice(len(sources), p=weights / weights.sum()))])
    image = source[int(rng.integers(len(source)))]
    box = _random_box(image.shape[0], image.shape[1], rng)
    longest = x.shape[-1] if rng.random() < 0.75 else int(rng.uniform(0.5, 1.0) * x.shape[-1])
    patch = _resized(image, box, longest)
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    patch = _jittered(patch, rng)
    x[:, :, : patch.shape[0], : patch.shape[1]] = nanodet.normalise(patch)


def _random_box(
    height: int, width: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the whole picture (one in three) or of a random crop."""
    if rng.random() < 0.35:
        return 0.0, 0.0, float(width), float(height)
    area = rng.uniform(0.1, 1.0) * height * width
    aspect = np.exp(rng.uniform(-0.6, 0.6)) * np.sqrt(width / height)
    w = float(np.clip(np.sqrt(area * aspect), min(96, width), width))
    h = float(np.clip(np.sqrt(area / aspect), min(96, height), height))
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, top, left + w, top + h


def _resized(image: Picture, box: tuple[float, float, float, float], longest: int) -> Picture:
    from PIL import Image

    w, h = box[2] - box[0], box[3] - box[1]
    scale = longest / max(w, h)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size, bilinear, box, reducing_gap=2.0))


def _jittered(patch: Picture, rng: np.random.Generator) -> Picture:
    """Change brightness, contrast and the balance of colours, seldom to grey."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 3)
    offset = rng.uniform(-20, 20)
    mixed = patch.astype(np.float32)
    saturation = rng.uniform(0.6, 1.3) if rng.random() < 0.95 else 0.0
    grey = mixed.mean(-1, keepdims=True)
    mixed = (grey + (mixed - grey) * saturation - 128) * gain.astype(np.float32) + 128 + offset
    return np.clip(mixed, 0, 255).astype(np.uint8)


REUSE_AFTER = 50
"""Steps after which features are used a second time."""


class FeatureSource:
    """Draws inputs and runs the detector's front half on them, a few steps ahead, in a thread.

    Half of every batch is drawn anew; the other half is what was new `REUSE_AFTER` steps before,
    since the front half costs as much time as a third of a training step.

    Args:
        pictures: Decoded training pictures.
        network: The split detector.
        seed: Seed of everything drawn.
        batch: Pictures per step.
    """

    def __init__(
        self, pictures: Pictures, network: nanodet.NanoDet, *, seed: int, batch: int
    ) -> None:
        self._pictures, self._network = pictures, network
        self._seed, self._batch = seed, batch
        self._kept: dict[int, list[Float32]] = {}

    def inputs(self, step: int, count: int | None = None) -> Float32:
        """The inputs of one step: float32 `[batch, 3, 416, 416]`. Negative steps are allowed."""
        rng = np.random.default_rng([self._seed, step % 2**32])
        rows = [random_canvas(self._pictures, rng) for _ in range(count or self._batch)]
        return np.concatenate(rows)

    def features(self, step: int, count: int | None = None) -> list[Float32]:
        """The features of one step, finest first: float32 `[batch, 128, side, side]`."""
        maps = self._network.features(self.inputs(step, count))
        return [maps[name] for name in nanodet.FEATURE_NAMES]

    def mixed(self, step: int) -> list[Float32]:
        """The batch of one training step, half new and half used before; as `features`."""
        new = self._batch - self._batch // 2
        for number in (step - REUSE_AFTER, step):
            if number not in self._kept:
                self._kept[number] = self.features(number, new)
        again = self._kept.pop(step - REUSE_AFTER)
        return [
            np.concatenate([fresh, old[: self._batch - new]])
            for fresh, old in zip(self._kept[step], again, strict=True)
        ]

    def ahead(self, first: int, last: int, depth: int = 2) -> Iterator[list[Float32]]:
        """Features of the steps `first..last - 1`, made up to `depth` steps ahead."""
        with ThreadPoolExecutor(1) as pool:
            waiting: list[Future[list[Float32]]] = []
            for step in range(first, last + depth):
                if step < last:
                    waiting.append(pool.submit(self.mixed, step))
                if step >= first + depth and waiting:
                    yield waiting.pop(0).result()
