"""Whole engines through the real TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fcmrt import Engine
from fcmrt.plans import Plan, PlanCache, PlanLibrary, SizeRange, build_plans, find_library

TARGETS = ("sm_86", "sm_89", "sm_120")


def rtx() -> PlanLibrary:
    """The library; skips where NumPy 1 is tested, whose environment does not have it."""
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.importorskip("tensorrt_rtx")
    return find_library("tensorrt-rtx")


def assert_builds(
    engine: Engine,
    folder: Path,
    *,
    targets: Sequence[str] = TARGETS,
    sizes: Sequence[SizeRange] | None = None,
) -> list[Plan]:
    """Asserts that every graph of an engine is parsed and built for every target.

    Args:
        engine: Any engine.
        folder: For the plans; those that it has are not built again.
        targets: GPUs.
        sizes: Of the finest feature level, before padding; None: a range from the least canonical
            size to the fourfold, so that nothing in a graph may depend on one size.

    Raises:
        PlanError: A graph is refused; the text names the node.
    """
    if sizes is None:
        side = engine.manifest.padding.multiple
        sizes = [SizeRange((side, side), (2 * side, 3 * side), (4 * side, 4 * side))]
    there = set(folder.rglob("*"))
    plans = build_plans(engine, rtx(), targets, sizes, cache=PlanCache(str(folder)))
    wanted = [(graph, target) for target in targets for graph in engine.manifest.graphs]
    assert sorted((plan.graph, plan.target) for plan in plans) == sorted(wanted)
    for plan in plans:
        assert plan.built == (plan.record.path not in there)
        # The weights are in the plan.
        assert plan.record.path.stat().st_size > len(engine.graph(plan.graph))
    return plans
