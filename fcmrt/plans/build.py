"""An engine's plans: each taken from the cache, or built and kept there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Sequence

from ..engine import Engine
from ..errors import ConfigError
from ..tensorrt.cache import PlanCache, PlanRecord
from ..tensorrt.library import PlanLibrary
from ..tensorrt.recipe import BuildOptions, Recipe
from ..tensorrt.supply import find_or_build
from ..validator import exact_path
from .profiles import SizeRange, canonical_sizes, graph_profiles


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A graph's plan for one GPU, in the cache."""

    graph: str
    """Name of the graph in the engine."""
    target: str
    """Compute capability, such as "sm_89"."""
    sizes: tuple[SizeRange, ...]
    """Canonical sizes of the finest level; profile `i` of the plan is for `sizes[i]`."""
    record: PlanRecord
    built: bool
    """Whether it was built now; False: it was in the cache."""


def build_plans(
    engine: Engine,
    library: PlanLibrary,
    targets: Sequence[str],
    sizes: Iterable[SizeRange],
    *,
    cache: PlanCache | None = None,
    options: BuildOptions | None = None,
    graphs: Collection[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Plan]:
    """Builds the plans of an engine's graphs that the cache does not have.

    Plans take pictures one by one (batch 1), at the given sizes only.

    Args:
        engine: The codec.
        library: Builds them; see `find_library`.
        targets: GPUs, such as "sm_89"; each gets plans of its own.
        sizes: Of the finest feature level, before padding; each becomes a profile.
        cache: Where plans are kept; None: the user's.
        options: How to build; None: the defaults. Graphs on the path to means and table indexes
            never get TF32.
        graphs: Names of the graphs to build plans of; None: all.
        progress: Receives a line before each build.

    Returns:
        The plans, by target and then in the order of `graph_profiles`.

    Raises:
        ConfigError: An unknown target or graph, no size, or one out of range.
        DeviceError: The library builds on the GPU, and there is none.
        PlanError: The library refuses a graph; plans built before it stay in the cache.
        OSError: The cache cannot be written.
    """
    manifest = engine.manifest
    cache = cache or PlanCache()
    options = options or BuildOptions()
    for target in targets:
        library.check_target(target)
    canonical = canonical_sizes(manifest, sizes)
    profiles = graph_profiles(manifest, canonical)
    wanted = _choose(tuple(profiles), graphs)
    careful = exact_path(manifest.latents, manifest.decode)
    plans = []
    for target in dict.fromkeys(targets):
        for graph in wanted:
            recipe = Recipe(
                engine=manifest.name,
                graph=graph,
                model=engine.graph(graph),
                profiles=profiles[graph],
                target=target,
                options=dataclasses.replace(options, tf32=options.tf32 and graph not in careful),
            )
            announce = functools.partial(progress, f"{graph} for {target}")
            record, built = find_or_build(library, recipe, cache, announce)
            plans.append(Plan(graph, target, canonical, record, built))
    return plans


def _choose(known: tuple[str, ...], names: Collection[str] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in known:
            raise ConfigError(f"the engine has no graph {name!r}; it has {', '.join(known)}")
    return known if names is None else tuple(name for name in known if name in names)


def engine_plans(engine: Engine, cache: PlanCache) -> list[tuple[str, PlanRecord]]:
    """Lists the plans of an engine's graphs in the cache, of all libraries and GPUs.

    Returns:
        For each plan, the name of its graph and its record.
    """
    graphs = {member.sha256: name for name, member in engine.manifest.graphs.items()}
    found = [
        (graphs[record.ingredients["graph"]], record)
        for record in cache.records()
        if record.ingredients["graph"] in graphs
    ]
    order = list(engine.manifest.graphs)
    return sorted(found, key=lambda item: order.index(item[0]))
