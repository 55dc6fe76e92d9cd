"""Plans for a machine: from the cache, or built."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..errors import DeviceError
from .cache import PlanCache, PlanRecord
from .execution import LoadedPlan
from .library import PlanLibrary
from .recipe import Recipe, Shape


def find_or_build(
    library: PlanLibrary, recipe: Recipe, cache: PlanCache, announce: Callable[[], None]
) -> tuple[PlanRecord, bool]:
    """Returns the plan of a recipe, and whether it had to be built.

    Args:
        library: Builds.
        recipe: Its target has passed `PlanLibrary.check_target`.
        cache: Where plans are kept.
        announce: Is called before building.

    Raises:
        PlanError: The library refuses the graph.
        OSError: The cache cannot be written.
    """
    found = cache.find(recipe.ingredients(library.facts()))
    if found is not None:
        return found, False
    announce()
    return build(library, recipe, cache), True


def build(library: PlanLibrary, recipe: Recipe, cache: PlanCache) -> PlanRecord:
    """Builds a plan and keeps it in place of what was there; errors as `find_or_build`."""
    facts = library.facts()
    timed = {"library": facts, "target": recipe.target}
    known = cache.timings(timed) if library.keeps_timings else b""
    start = time.perf_counter()
    plan, timings = library.build(recipe, known)
    milliseconds = round((time.perf_counter() - start) * 1000)
    if timings:
        cache.keep_timings(timed, timings)
    return cache.keep(recipe.ingredients(facts), plan, milliseconds)


class PlanInUse:
    """A plan of the cache, loaded on the GPU at hand.

    Args:
        record: The plan.
        library: Loads it.
        cache: Where the kernels are kept that were compiled for the GPU.

    Raises:
        DeviceError: The library does not take the plan.
        OSError: The plan cannot be read.
    """

    def __init__(self, record: PlanRecord, library: PlanLibrary, cache: PlanCache) -> None:
        self.sha256 = record.sha256
        self._cache = cache
        self._made_for = {"plan": record.sha256, "device": str(library.device)}
        self._kept = cache.kernels(self._made_for)
        self.loaded: LoadedPlan = library.load(record.path.read_bytes(), self._kept)

    def keep_kernels(self) -> None:
        """Keeps what was compiled since, if anything was; without a word if it cannot be."""
        kernels = self.loaded.kernels()
        if kernels and kernels != self._kept:
            self._kept = kernels
            try:
                self._cache.keep_kernels(self._made_for, kernels)
            except OSError:
                return


def plan_in_use(
    library: PlanLibrary, recipe: Recipe, shapes: Mapping[str, Shape], cache: PlanCache
) -> PlanInUse:
    """Loads a plan for inputs of these shapes; builds it if the cache has none that the GPU takes.

    Args:
        library: Builds and loads.
        recipe: How the plan is built, if it must be.
        shapes: Of all inputs; one of the recipe's profiles takes them.
        cache: Where plans are kept.

    Raises:
        PlanError: The library refuses the graph.
        DeviceError: There is no GPU, or it does not take a plan that was just built for it.
        OSError: The cache cannot be written.
    """
    record = cache.serving(recipe.ingredients(library.facts()), shapes)
    if record is not None:
        try:
            return PlanInUse(record, library, cache)
        except (DeviceError, OSError):
            pass  # what made it said it was the same version and GPU; a new one tells for certain
    return PlanInUse(build(library, recipe, cache), library, cache)
