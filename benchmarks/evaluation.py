"""Compares a task network on decoded features with the same on uncompressed ones."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fcmrt.tasks.letterbox import fit
from fcmrt.tasks.task import NANODET

from .evaluation_set import assets_folder
from .statistics import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fcmrt.tasks.task import Task, TaskNetwork

    from .evaluation_set import EvaluationSet, Item
    from .systems import Coded, Float32, Pixels


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture, and the network's outputs and results on its uncompressed features."""

    item: Item
    pixels: Pixels
    """uint8 [h, w, 3], the picture at the size that the input has room for."""
    features: dict[str, Float32]
    """float32 [C, H, W] by level."""
    outputs: Any
    found: Any
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.item.image.shape[0], self.item.image.shape[1]


def load_network(task: Task, threads: int | None = None) -> TaskNetwork:
    """Load a task's network: from FCMRT_ASSETS if set, else the one shipped with the package.

    Args:
        task: The task.
        threads: Threads of one network run; None: the library's choice.

    Raises:
        FileNotFoundError: There is no such file.
    """
    assets = assets_folder()
    try:
        return task.load(None if assets is None else assets / "models", threads)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the network of task {task.name!r} is not shipped: set FCMRT_ASSETS to the folder "
            f"that holds models/{task.network}.front.onnx and .back.onnx"
        ) from error


class Evaluation:
    """The references of a whole evaluation set, to measure codecs against.

    Args:
        pictures: The evaluation set; its features are kept in memory (1.8 MB a picture).
        task: The task network and its rules.
        workers: Pictures measured at a time; None: one per core.
    """

    def __init__(
        self, pictures: EvaluationSet, task: Task = NANODET, workers: int | None = None
    ) -> None:
        self.task = task
        self._net = load_network(task, threads=1)
        self._workers = workers or os.cpu_count() or 1
        with ThreadPoolExecutor(self._workers) as pool:
            self.references = list(pool.map(self._reference, pictures.items))
        self.groups = [reference.item.group for reference in self.references]

    def _reference(self, item: Item) -> Reference:
        pixels, scale = fit(item.image, self.task.input_size)
        features = self._features(pixels)
        outputs = self._outputs(features)
        found = self.task.results(self._net, outputs, scale, item.image.shape[:2])
        return Reference(item, pixels, features, outputs, found, scale)

    @functools.cached_property
    def found(self) -> int:
        """Number of things to find: boxes, people, masks that are not empty."""
        found = [reference.found for reference in self.references]
        return sum(match.references for match in self.task.match(found, found))

    def measure(
        self, label: str | int, code: Callable[[Mapping[str, Float32]], Coded], *, parallel: bool
    ) -> Measured:
        """Send every picture's features through a codec, and run the network's back half on them.

        Args:
            label: Name of the operating point.
            code: From features (float32 `[C, H, W]` by level) to bytes and decoded features.
            parallel: Whether `code` may run in several threads at once.
        """
        return self._measure(label, lambda reference: code(reference.features), parallel)

    def measure_pixels(
        self, label: str | int, code: Callable[[Pixels], tuple[int, Pixels]], *, parallel: bool
    ) -> Measured:
        """Send every picture through a codec, and run the whole network on it.

        Args:
            label: Name of the operating point.
            code: From a picture at the input's size (uint8 `[h, w, 3]`, RGB) to bytes and the
                decoded picture.
            parallel: Whether `code` may run in several threads at once.
        """

        def send(reference: Reference) -> Coded:
            size, decoded = code(reference.pixels)
            return size, self._features(decoded)

        return self._measure(label, send, parallel)

    def _measure(
        self, label: str | int, send: Callable[[Reference], Coded], parallel: bool
    ) -> Measured:
        task = self.task

        def one(reference: Reference) -> tuple[int, Any, NDArray[np.float64]]:
            size, features = send(reference)
            outputs = self._outputs(features)
            found = task.results(self._net, outputs, reference.scale, reference.size)
            return size, found, task.distance_sums(reference.outputs, outputs)

        with ThreadPoolExecutor(self._workers if parallel else 1) as pool:
            rows = list(pool.map(one, self.references))
        sizes, found, sums = zip(*rows, strict=True)
        matches = task.match([reference.found for reference in self.references], found)
        return Measured(
            label, np.array(sizes, np.float64), task.agreement(matches), np.concatenate(sums)
        )

    def _features(self, pixels: Pixels) -> dict[str, Float32]:
        x, _ = self.task.letterbox(pixels)
        return {name: level[0] for name, level in self._net.features(x).items()}

    def _outputs(self, features: Mapping[str, Float32]) -> Any:
        return self._net.outputs({name: features[name][None] for name in self.task.feature_names})
