"""What exactness costs: an exact engine against the float engine that it was made from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.errors import ConfigError
from fcmrt.schedule import Run

from . import report
from .coding_cost import coding_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .detection import DetectionTask
    from .report import Row

    Features = Mapping[str, NDArray[np.float32]]

TIMED_RUNS, QUICK_TIMED_RUNS = 200, 20
COLUMNS = {
    "engine": "",
    "quality": "d",
    "bytes": ".0f",
    "nmse": ".6f",
    "agreement": ".4f",
    "distance": ".4f",
}


def check_parent(engine: fcmrt.Engine, parent: fcmrt.Engine) -> None:
    """Refuse a parent that does not lead to the same latents at the same steps.

    Raises:
        ConfigError: Another analysis, other steps or qualities.
    """
    ours, theirs = engine.manifest, parent.manifest
    inputs = {feature.name for feature in ours.features}
    first = [s.graph for s in ours.encode if isinstance(s, Run) and inputs.issuperset(s.inputs)]
    for name in first:
        if name not in theirs.graphs or theirs.graphs[name].sha256 != ours.graphs[name].sha256:
            raise ConfigError(
                f"{theirs.name} is not the float parent of {ours.name}: graph {name!r} differs, so "
                "the two would not code the same latents"
            )
    if ours.steps != theirs.steps or ours.quality != theirs.quality:
        raise ConfigError(f"{theirs.name} and {ours.name} have other steps or qualities")


def compare_with_parent(
    engine: fcmrt.Engine,
    parent: fcmrt.Engine,
    task: DetectionTask,
    qualities: Sequence[int],
    runs: int,
) -> tuple[dict[str, float], list[Row]]:
    """Code the same pictures at the same qualities with both.

    Args:
        engine: The exact engine.
        parent: The float engine with the same analysis.
        task: Pictures and references.
        qualities: Quality levels.
        runs: Timed runs of each exact path.

    Returns:
        The cost, summed over pictures and qualities, and a row for each engine and quality.

    Raises:
        ConfigError: See `check_parent`.
    """
    check_parent(engine, parent)
    rows, totals = [], []
    for one in (engine, parent):
        encoder, decoder = fcmrt.Encoder(one), fcmrt.Decoder(one)
        for quality in qualities:
            report.progress(f"cost: {one.manifest.name}, {one.manifest.profile}, {quality}")
            found = coding_cost(encoder, decoder, task, quality)
            rows.append(
                {
                    "engine": f"{one.manifest.name} ({one.manifest.profile})",
                    "quality": quality,
                    **found._asdict(),
                    "bytes": float(found.bytes.sum()),
                }
            )
        own = rows[-len(qualities) :]
        totals.append((sum(r["bytes"] for r in own), sum(r["nmse"] for r in own)))
    (size, nmse), (parent_size, parent_nmse) = totals
    features = task.references[0].features
    ms, parent_ms = time_exact_paths(engine, parent, features, runs)
    cost = {
        "bytes_percent": 100 * (size / parent_size - 1),
        "nmse_percent": 100 * (nmse / parent_nmse - 1),
        "time_ratio": ms / parent_ms,
        "exact_path_ms": ms,
        "parent_path_ms": parent_ms,
    }
    return cost, rows


def time_exact_paths(
    engine: fcmrt.Engine, parent: fcmrt.Engine, features: Features, runs: int
) -> tuple[float, float]:
    """Time the exact graphs and what the parent has in their place, on one thread, in turn.

    Args:
        engine: The exact engine.
        parent: Its float parent.
        features: One picture's, float32 `[C, H, W]` by level.
        runs: Timed runs of each.

    Returns:
        Medians in ms.
    """
    options = fcmrt.RuntimeOptions(threads=1)
    names = set(engine.manifest.exact)
    calls = [_exact_path(one, names, features, options) for one in (engine, parent)]
    times: tuple[list[float], list[float]] = ([], [])
    for k in range(-3, runs):
        for call, spent in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if k >= 0:
                spent.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[0])), float(np.median(times[1]))


def _exact_path(
    engine: fcmrt.Engine, names: set[str], features: Features, options: fcmrt.RuntimeOptions
) -> Any:
    walk = fcmrt.Encoder(engine, options=options).walk(features)
    steps = [s for s in engine.manifest.encode if isinstance(s, Run) and s.graph in names]

    def call() -> None:
        for step in steps:
            walk.run(step)

    return call


def describe_cost(cost: Mapping[str, float], rows: Sequence[Row]) -> str:
    """Put the cost into words and a table."""
    return (
        f"{report.table(rows, COLUMNS)}\n\nCost of exactness: "
        f"bytes {cost['bytes_percent']:+.3f} %, "
        f"NMSE {cost['nmse_percent']:+.3f} %, time of the exact path {cost['time_ratio']:.2f} x "
        f"({cost['exact_path_ms']:.2f} ms against {cost['parent_path_ms']:.2f} ms, one thread)"
    )
