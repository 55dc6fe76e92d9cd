"""Building an engine's plans: what the cache has is not built, what is exact is built with care."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fcmrt.errors import ConfigError, PlanError
from fcmrt.gpu import Device
from fcmrt.plans import BuildOptions, PlanCache, SizeRange, build_plans, engine_plans
from fcmrt.tensorrt import logger as logger_module
from fcmrt.tensorrt.library import TensorRT, TensorRTForRTX

from .. import engines
from . import strict_tensorrt

SIZES = (SizeRange.fixed(8, 8),)


class AnyInput(strict_tensorrt.OptimizationProfile):
    """A profile for graphs of whatever inputs."""

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        self.shapes[name] = [list(low), list(best), list(high)]


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setattr(strict_tensorrt, "OptimizationProfile", AnyInput)
    return strict_tensorrt.make_module(rtx=True)


@pytest.fixture
def library(module):
    return TensorRTForRTX(module)


@pytest.fixture
def cache(tmp_path):
    return PlanCache(str(tmp_path))


def content(plan) -> dict[str, Any]:
    return json.loads(plan.record.path.read_bytes())


def test_one_plan_for_each_target_and_graph(library, cache):
    engine = engines.tiny_context()
    plans = build_plans(engine, library, ["sm_120", "sm_86", "sm_120"], SIZES, cache=cache)
    graphs = [
        "analysis",
        "hyper_synthesis",
        *(f"context_{p}" for p in ("y0e", "y0o", "y1e", "y1o")),
    ]
    told = [(plan.target, plan.graph) for plan in plans]
    assert told == [(t, graph) for t in ("sm_120", "sm_86") for graph in [*graphs, "synthesis"]]
    for plan in plans:
        assert bytes.fromhex(content(plan)["model"]) == engine.graph(plan.graph)
        assert content(plan)["target"] == plan.target.upper().replace("_", "")


def test_what_is_in_the_cache_is_not_built(module, library, cache):
    engine = engines.tiny_hyperprior()
    first = build_plans(engine, library, ["sm_89"], SIZES, cache=cache)
    built = module.builders
    assert built == len(first) == 3
    assert all(plan.built for plan in first)
    said: list[str] = []
    again = build_plans(
        engine, library, ["sm_89"], [SizeRange.fixed(7, 6)], cache=cache, progress=said.append
    )
    assert (module.builders, said) == (built, [])
    assert [plan.record for plan in again] == [plan.record for plan in first]
    assert not any(plan.built for plan in again)
    build_plans(engine, library, ["sm_89"], [SizeRange.fixed(12, 8)], cache=cache)
    assert module.builders == 2 * built


def test_another_version_builds_again(library, cache):
    engine = engines.tiny_hyperprior()
    build_plans(engine, library, ["sm_89"], SIZES, cache=cache)
    later = TensorRTForRTX(strict_tensorrt.make_module(rtx=True, version="11.5.0"))
    assert all(plan.built for plan in build_plans(engine, later, ["sm_89"], SIZES, cache=cache))
    assert len(list(cache.records())) == 6


def test_a_damaged_plan_is_built_again(module, library, cache):
    engine = engines.tiny_hyperprior()
    first = build_plans(engine, library, ["sm_89"], SIZES, cache=cache)
    whole = first[1].record.path.read_bytes()
    first[1].record.path.write_bytes(whole[:-1] + b"?")
    again = build_plans(engine, library, ["sm_89"], SIZES, cache=cache)
    assert [plan.built for plan in again] == [False, True, False]
    assert first[1].record.path.read_bytes() == whole


@pytest.mark.parametrize("make", [engines.tiny_context, engines.tiny_same_engine])
@pytest.mark.parametrize("tf32", [False, True])
def test_means_and_indexes_are_computed_without_tf32(make, tf32, library, cache):
    options = BuildOptions(tf32=tf32)
    plans = build_plans(make(), library, ["sm_89"], SIZES, cache=cache, options=options)
    for plan in plans:
        free = plan.graph in ("analysis", "synthesis")
        assert content(plan)["tf32"] is (tf32 and free)
        assert plan.record.ingredients["tf32"] is (tf32 and free)


def test_options_reach_the_library(library, cache):
    options = BuildOptions(optimization_level=1, workspace_bytes=1 << 22)
    (plan,) = build_plans(
        engines.tiny_factorized(),
        library,
        ["sm_89"],
        [SizeRange.fixed(4, 6), SizeRange((2, 2), (4, 4), (9, 9))],
        cache=cache,
        options=options,
        graphs=["analysis"],
    )
    told = content(plan)
    assert (told["level"], told["workspace"]) == (1, 1 << 22)
    assert told["profiles"] == [
        {"f": [[1, 4, 4, 6]] * 3},
        {"f": [[1, 4, 2, 2], [1, 4, 4, 4], [1, 4, 10, 10]]},
    ]
    assert [str(size) for size in plan.sizes] == ["4x6", "2x2..4x4..10x10"]


def test_nothing_is_built_for_what_is_not_there(module, library, cache):
    engine = engines.tiny_factorized()
    with pytest.raises(ConfigError, match=r"sm_90.*sm_86, sm_89, sm_120"):
        build_plans(engine, library, ["sm_89", "sm_90"], SIZES, cache=cache)
    with pytest.raises(ConfigError, match="no graph 'hyper'; it has analysis, synthesis"):
        build_plans(engine, library, ["sm_89"], SIZES, cache=cache, graphs=["hyper"])
    with pytest.raises(ConfigError, match="at least one size"):
        build_plans(engine, library, ["sm_89"], [], cache=cache)
    assert module.builders == 0


def test_plans_before_a_refusal_stay(module, library, cache):
    engine = engines.tiny_factorized()
    build_plans(engine, library, ["sm_89"], SIZES, cache=cache, graphs=["analysis"])
    module.OnnxParser.refusal = strict_tensorrt.ParserError("n", "Conv", "no")
    with pytest.raises(PlanError) as caught:
        build_plans(engine, library, ["sm_89"], SIZES, cache=cache)
    assert (caught.value.engine, caught.value.graph) == ("tiny-factorized", "synthesis")
    assert len(list(cache.records())) == 1


def test_timings_are_carried_from_build_to_build(cache, module):
    device = Device("NVIDIA L4", "sm_89", 58, 13000)
    library = TensorRT(strict_tensorrt.make_module(rtx=False), lambda: device)
    build_plans(engines.tiny_hyperprior(), library, ["sm_89"], SIZES, cache=cache)
    timed = {"library": library.facts(), "target": "sm_89"}
    assert cache.timings(timed) == b"+++"
    other = TensorRT(
        strict_tensorrt.make_module(rtx=False),
        lambda: Device("NVIDIA L40S", "sm_89", 142, 13000),
    )
    plans = build_plans(engines.tiny_hyperprior(), other, ["sm_89"], SIZES, cache=cache)
    assert all(plan.built for plan in plans)
    assert cache.timings(timed) == b"+++"


def test_plans_of_an_engine_are_listed(library, cache):
    assert engine_plans(engines.tiny_hyperprior(), cache) == []
    plans = build_plans(engines.tiny_hyperprior(), library, ["sm_89"], SIZES, cache=cache)
    build_plans(engines.tiny_factorized(), library, ["sm_89"], SIZES, cache=cache)
    listed = engine_plans(engines.tiny_hyperprior(), cache)
    assert listed == [(plan.graph, plan.record) for plan in plans]


def test_loggers_are_not_shared_between_modules(module, library, cache):
    build_plans(engines.tiny_factorized(), library, ["sm_89"], SIZES, cache=cache)
    other = strict_tensorrt.make_module(rtx=True)
    build_plans(engines.tiny_context(), TensorRTForRTX(other), ["sm_89"], SIZES, cache=cache)
    assert logger_module._loggers[module] is not logger_module._loggers[other]
