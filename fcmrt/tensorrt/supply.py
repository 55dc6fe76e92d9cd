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
        announce: Called before a plan is built.

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
    """Builds a plan and caches it in place of an older one; errors as `find_or_build`."""
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
    """A plan of the cache, loaded on this machine's GPU.

    Args:
        record: The plan.
        library: Loads it.
        cache: Where kernels compiled for the GPU are kept.

    Raises:
        DeviceError: The library refuses the plan.
        OSError: The plan cannot be read.
    """

    def __init__(self, record: PlanRecord, library: PlanLibrary, cache: PlanCache) -> None:
        self.sha256 = record.sha256
        self._cache = cache
        self._made_for = {"plan": record.sha256, "device": str(library.device)}
        self._kept = cache.kernels(self._made_for)
        self.loaded: LoadedPlan = library.load(record.path.read_bytes(), self._kept)

    def keep_kernels(self) -> None:
        """Caches kernels that were compiled since loading, if any; ignores a failure to write."""
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
    """Loads a plan for inputs of these shapes; builds it if no cached plan fits or loads.

    Args:
        library: Builds and loads.
        recipe: How to build the plan if necessary.
        shapes: Of all inputs; one of the recipe's profiles takes them.
        cache: Where plans are kept.

    Raises:
        PlanError: The library refuses the graph.
        DeviceError: There is no GPU, or a plan just built for it does not load.
        OSError: The cache cannot be written.
    """
    record = cache.serving(recipe.ingredients(library.facts()), shapes)
    if record is not None:
        try:
            return PlanInUse(record, library, cache)
        except (DeviceError, OSError):
            pass  # despite the same version and GPU on record; building anew settles it
    return PlanInUse(build(library, recipe, cache), library, cache)
