"""Where the features of a training step come from: fresh from pictures, or from a cache.

What a step gets depends on the seed and the step only, so training can go on from any step without
its history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fcmrt.export.train.canvas import Canvas, random_canvas
from fcmrt.tasks.task import NANODET, Task, TaskNetwork

if TYPE_CHECKING:
    from fcmrt.export.train.cache import Cache
    from fcmrt.export.train.data import Pictures

    Float32 = NDArray[np.float32]

Features = list[NDArray[Any]]
"""Maps of one batch, finest first: float32 (or float16, of a cache) `[N, C, H, W]`; owned."""

STATISTICS_STEP, VALIDATION_STEP = -2, -1000
"""The "steps" whose inputs are measured and validated on; they are never trained on."""
REUSE_AFTER = 50
"""Steps after which features are used a second time."""


class Source(Protocol):
    """Features for training."""

    task: Task

    def features(self, step: int, count: int) -> Features:
        """Features of one of the steps that are not trained on."""

    def ahead(self, first: int, last: int) -> Iterator[Features]:
        """The batches of the steps `first..last - 1`, made while others are trained on."""


def made_ahead(
    make: Callable[[int], Features], first: int, last: int, depth: int = 2
) -> Iterator[Features]:
    """What `make` gives for the steps `first..last - 1`, up to `depth` steps ahead, in a thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Features]] = []
        for step in range(first, last + depth):
            if step < last:
                waiting.append(pool.submit(make, step))
            if step >= first + depth and waiting:
                yield waiting.pop(0).result()


class FeatureSource:
    """Draws inputs and runs the task network's front half on them.

    Half of every batch is drawn anew; the other half is what was new `REUSE_AFTER` steps before,
    which halves what the front half costs.

    Args:
        pictures: Decoded training pictures.
        network: The split network.
        seed: Seed of everything drawn.
        batch: Pictures per step.
        task: What the network is.
    """

    def __init__(
        self,
        pictures: Pictures,
        network: TaskNetwork,
        *,
        seed: int,
        batch: int,
        task: Task = NANODET,
    ) -> None:
        self.task = task
        self._pictures, self._network = pictures, network
        self._seed, self._batch = seed, batch
        self._kept: dict[int, Features] = {}

    def inputs(self, step: int, count: int | None = None) -> Float32:
        """The inputs of one step: float32 `[batch, 3, S, S]`. Negative steps are allowed."""
        return np.concatenate([canvas.pixels for canvas in self._canvases(step, count)])

    def features(self, step: int, count: int | None = None) -> Features:
        """The features of one step, finest first: float32."""
        return self.shown_features(step, count)[0]

    def shown_features(
        self, step: int, count: int | None = None
    ) -> tuple[Features, list[tuple[str, ...]]]:
        """The features of one step, and the pictures that each of its inputs shows (`Canvas`)."""
        canvases = self._canvases(step, count)
        maps = self._network.features(np.concatenate([canvas.pixels for canvas in canvases]))
        features = [maps[name] for name in self.task.feature_names]
        return features, [canvas.shown for canvas in canvases]

    def _canvases(self, step: int, count: int | None) -> list[Canvas]:
        rng = np.random.default_rng([self._seed, step % 2**32])
        count = self._batch if count is None else count
        return [random_canvas(self._pictures, rng, self.task) for _ in range(count)]

    def mixed(self, step: int) -> Features:
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

    def ahead(self, first: int, last: int) -> Iterator[Features]:
        """See `Source`."""
        return made_ahead(self.mixed, first, last)


class CachedSource:
    """Draws batches from a cache, every crop once before any of them comes again.

    Args:
        cache: The features.
        seed: Seed of the order.
        batch: Pictures per step.
    """

    def __init__(self, cache: Cache, *, seed: int, batch: int) -> None:
        if cache.count < batch:
            raise ValueError(f"a batch of {batch} of a cache of {cache.count} crops")
        self.task = cache.task
        self._cache, self._seed, self._batch = cache, seed, batch
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def features(self, step: int, count: int) -> Features:
        """See `Source`."""
        return self._cache.held_out(step, count)

    def drawn(self, step: int) -> NDArray[np.int64]:
        """The crops of one training step: int64 `[batch]`."""
        each = self._cache.count // self._batch
        epoch, place = divmod(step, each)
        if self._order[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, 2])
            self._order = epoch, rng.permutation(self._cache.count)
        return np.sort(self._order[1][place * self._batch : (place + 1) * self._batch])

    def ahead(self, first: int, last: int) -> Iterator[Features]:
        """See `Source`."""
        return made_ahead(lambda step: self._cache.crops(self.drawn(step)), first, last)
