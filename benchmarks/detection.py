"""The detection task: what a detector finds on uncompressed features, and on decoded ones."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcmrt.tasks.agreement import REFERENCE_THRESHOLD, distance_sums, match
from fcmrt.tasks.nanodet import NanoDet, letterbox

from .evaluation_set import assets_folder
from .statistics import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.tasks.nanodet import Detections, Outputs

    from .evaluation_set import EvaluationSet, Item

    Float32 = NDArray[np.float32]
    Coded = tuple[int, Mapping[str, Float32]]


class Reference(NamedTuple):
    """What the uncompressed network makes of one picture."""

    item: Item
    features: dict[str, Float32]
    # float32 [C, H, W] by level
    outputs: Outputs
    found: Detections
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.item.image.shape[0], self.item.image.shape[1]


def detector(threads: int | None = None) -> NanoDet:
    """Give the detector: from FCMRT_ASSETS if set, else the one shipped with the package.

    Args:
        threads: Threads of one network run; None: the library's choice.
    """
    assets = assets_folder()
    return NanoDet(None if assets is None else assets / "models", threads=threads)


class DetectionTask:
    """The references of a whole evaluation set, and the measuring of a codec against them.

    Args:
        pictures: The evaluation set; its features are kept in memory (1.8 MB a picture).
        workers: Pictures measured at a time; None: one per core.
    """

    name = "detection"

    def __init__(self, pictures: EvaluationSet, workers: int | None = None) -> None:
        self._net = detector(threads=1)
        self._workers = workers or os.cpu_count() or 1
        with ThreadPoolExecutor(self._workers) as pool:
            self.references = list(pool.map(self._reference, pictures.items))
        self.groups = [reference.item.group for reference in self.references]

    def _reference(self, item: Item) -> Reference:
        x, scale = letterbox(item.image)
        features = self._net.features(x)
        outputs = self._net.outputs(features)
        found = self._net.detections(outputs, scale, item.image.shape[:2])
        return Reference(item, {k: v[0] for k, v in features.items()}, outputs, found, scale)

    @property
    def boxes(self) -> int:
        """Number of reference boxes."""
        counts = [int((r.found.scores > REFERENCE_THRESHOLD).sum()) for r in self.references]
        return sum(counts)

    def measure(
        self, label: str, code: Callable[[Mapping[str, Float32]], Coded], *, parallel: bool
    ) -> Measured:
        """Send every picture's features through a codec and see what the detector makes of them.

        Args:
            label: Name of the operating point.
            code: From features (float32 `[C, H, W]` by level) to bytes and decoded features.
            parallel: Whether `code` may run in several threads at once.
        """

        def one(reference: Reference) -> tuple[int, Detections, NDArray[np.float64]]:
            size, decoded = code(reference.features)
            outputs = self._net.outputs({name: decoded[name][None] for name in reference.features})
            found = self._net.detections(outputs, reference.scale, reference.size)
            return size, found, distance_sums(reference.outputs, outputs)

        rows: Sequence[tuple[int, Detections, NDArray[np.float64]]]
        with ThreadPoolExecutor(self._workers if parallel else 1) as pool:
            rows = list(pool.map(one, self.references))
        sizes, found, sums = zip(*rows, strict=True)
        matches = match([reference.found for reference in self.references], found)
        return Measured(label, np.array(sizes, np.float64), matches, np.concatenate(sums))
