"""Features on disk: made once, for the training of several codecs, also where no picture is.

    python -m fcmrt.export.train.cache --task nanodet --count 4000 --assets DIR --out CACHE

A crop takes 0.9 MB of NanoDet's features (4000 crops: 3.6 GB) and 0.3 MB of MoveNet's (1.2 GB).

A folder: one array per level (`NAME.npy`, float16 `[crops, C, H, W]`, read through the memory map),
the network's back half for the loss, `shown.json` with the names of the pictures that each crop
shows, and `cache.json`, written last. The crops of statistics and of validation come first, those
for training after them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from fcmrt.export.train.arguments import DEFAULT_TASK, add_pictures, add_task, assets_of
from fcmrt.export.train.data import Pictures, check_split, read_pictures
from fcmrt.export.train.heads import TrainingTask, find_training_task
from fcmrt.export.train.source import (
    STATISTICS_STEP,
    VALIDATION_STEP,
    Features,
    FeatureSource,
)
from fcmrt.tasks.task import TASKS, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT = {STATISTICS_STEP: 64, VALIDATION_STEP: 64}
"""Crops of the steps that are not trained on."""
RECIPE = "cache.json"
BACK = "back.onnx"
SHOWN = "shown.json"
FORMAT = 1
CHUNK = 8  # crops whose features are made at a time


class Cache:
    """A cache that is read.

    Args:
        folder: Where `write_cache` has put it.
        task: What the features are of; None: the task of fcmrt that the cache names.

    Raises:
        ValueError: It is not whole, of another format, or of another task.
    """

    def __init__(self, folder: Path, task: Task | None = None) -> None:
        recipe = folder / RECIPE
        if not recipe.exists():
            raise ValueError(f"{folder} holds no whole cache: {RECIPE} is missing; make it again")
        self.recipe: dict[str, Any] = json.loads(recipe.read_text(encoding="utf-8"))
        if self.recipe["format"] != FORMAT:
            raise ValueError(f"{folder} is a cache of format {self.recipe['format']}, not {FORMAT}")
        self.task = _task_of(self.recipe["task"], task)
        self.back = folder / BACK
        self._shown = folder / SHOWN
        self._maps = [np.load(folder / f"{n}.npy", mmap_mode="r") for n in self.task.feature_names]

    @property
    def count(self) -> int:
        """Crops for training."""
        return int(self.recipe["count"])

    def shown(self) -> list[tuple[str, ...]] | None:
        """Names of the pictures that each training crop shows: one, or four.

        Photos by their names, and `clip NAME` for the frames of a clip. None: an older cache,
        which does not say.
        """
        if not self._shown.exists():
            return None
        names_of = json.loads(self._shown.read_text(encoding="utf-8"))
        return [tuple(names) for names in names_of[sum(HELD_OUT.values()) :]]

    def crops(self, numbers: NDArray[np.int64]) -> Features:
        """Features of some training crops, finest first: float16 `[N, C, H, W]`; owned."""
        return [level[sum(HELD_OUT.values()) + numbers] for level in self._maps]

    def held_out(self, step: int, count: int) -> Features:
        """The first features of a step that is not trained on; as `crops`.

        Raises:
            ValueError: The cache has fewer.
        """
        if count > HELD_OUT[step]:
            raise ValueError(f"the cache holds {HELD_OUT[step]} crops for that, not {count}")
        first = sum(n for other, n in HELD_OUT.items() if other > step)
        return [np.array(level[first : first + count]) for level in self._maps]


def open_cache(folder: Path, chosen: TrainingTask | None) -> tuple[Cache, TrainingTask]:
    """Opens a cache; returns it and its training task, `chosen` or the one of its name.

    Raises:
        ValueError: As `Cache`.
        ExportError: No codec is trained for its task.
    """
    cache = Cache(folder, None if chosen is None else chosen.task)
    return cache, chosen or find_training_task(cache.task.name)


def _task_of(name: str, given: Task | None) -> Task:
    if given is not None and given.name != name:
        raise ValueError(f"the cache is of the task {name!r}, not of {given.name!r}")
    task = TASKS.get(name) if given is None else given
    if task is None:
        raise ValueError(
            f"the cache is of the task {name!r}, which is not one of fcmrt's; say which it is, as "
            "in --task my_package.my_task:MINE"
        )
    return task


def write_cache(
    folder: Path, source: FeatureSource, count: int, back: Path, about: dict[str, Any]
) -> None:
    """Makes features, and writes them.

    Args:
        folder: Made when missing; what is in it is replaced.
        source: Draws the crops; training crops are those of its steps from 0 on.
        count: Training crops.
        back: The network's back half, which is copied.
        about: What else the recipe says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).unlink(missing_ok=True)
    total = sum(HELD_OUT.values()) + count
    maps = [
        np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=(total, *shape)
        )
        for name, shape in zip(source.task.feature_names, source.task.feature_shapes(), strict=True)
    ]
    done, shown = 0, []
    progress = tqdm(total=total, unit="crop", mininterval=5.0)
    steps = [(step, crops) for step, crops in sorted(HELD_OUT.items(), reverse=True)]
    steps += [(i, min(CHUNK, count - i * CHUNK)) for i in range(-(-count // CHUNK))]
    for step, crops in steps:
        features, names = source.shown_features(step, crops)
        shown += names
        for level, made in zip(maps, features, strict=True):
            level[done : done + crops] = made
        done += crops
        progress.update(crops)
    progress.close()
    for level in maps:
        if not np.isfinite(level[:: max(1, total // 64)]).all():
            raise ValueError("features are beyond the range of float16")
        level.flush()
    shutil.copyfile(back, folder / BACK)
    (folder / SHOWN).write_text(json.dumps(shown) + "\n", encoding="utf-8")
    recipe = {"format": FORMAT, "task": source.task.name, "count": count, **about}
    (folder / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def digests(pictures: Pictures) -> dict[str, str]:
    """SHA-256 of the pixels of every photo, and of each clip's frames one after another."""
    sources = {name: [image] for name, image in pictures.photos.items()}
    sources |= {f"clip {name}": pictures.source(name) for name in pictures.clips}
    found = {}
    for name, images in sources.items():
        digest = hashlib.sha256()
        for image in images:
            digest.update(image.tobytes())
        found[name] = digest.hexdigest()
    return found


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.train.cache",
        description="Make the features of random crops once, for the training of several codecs.",
    )
    add_task(parser)
    add_pictures(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--count", type=int, default=4000, help="crops for training")
    parser.add_argument("--seed", type=int, default=0, help="of the crops")
    args = parser.parse_args(arguments)
    task = (args.task or DEFAULT_TASK).task
    assets = assets_of(args, parser)
    pictures = read_pictures(assets, args.extra)
    compared = check_split(assets, pictures)
    models = assets / "models"
    network = task.load(models, args.threads)
    source = FeatureSource(pictures, network, seed=args.seed, batch=CHUNK, task=task)
    about = {"seed": args.seed, "split": compared, "pictures": digests(pictures)}
    write_cache(args.out, source, args.count, models / f"{task.network}.back.onnx", about)


if __name__ == "__main__":
    main()
