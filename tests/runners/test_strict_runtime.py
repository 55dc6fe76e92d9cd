"""Planted mistakes: every rule of the runtimes' stand-ins is broken once, to see it bite."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fcmrt.plans import BuildOptions, Profile, Recipe, find_library

from .. import engines
from .fake_cuda import DeviceArray, FakeCuda, Graph
from .on_paper import DEVICE, tensorrt_machine

SHAPE = (1, 4, 8, 12)


class Bench:
    """A context of a plan with two profiles, and all that a run of it takes."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.cuda = FakeCuda()
        self.module = tensorrt_machine(patch, self.cuda, name)[name]
        graph = engines.tiny_factorized().graph("analysis")
        low, high = {"f": (1, 4, 2, 2)}, {"f": (1, 4, 32, 32)}
        fixed = {"f": SHAPE}
        profiles = (Profile(fixed, fixed, fixed), Profile(low, fixed, high))
        recipe = Recipe(
            engine="",
            graph="analysis",
            model=graph,
            profiles=profiles,
            target=DEVICE.target,
            options=BuildOptions(),
        )
        self.library = find_library(name)
        self.plan = self.library.load(self.library.build(recipe)[0])
        self.context = self.plan.context()._context
        self.stream = self.cuda.new_stream()
        (result,) = self.plan.outputs
        self.out = DeviceArray(self.cuda, self.plan_shape(), np.float32)
        self.given = DeviceArray(self.cuda, SHAPE, np.float32)
        self.given.set(np.ones(SHAPE, np.float32))
        self.result = result

    def plan_shape(self) -> tuple[int, ...]:
        shapes = self.plan.context().prepare({"f": SHAPE}, self.stream.ptr)
        self.stream.synchronize()
        ((shape, _),) = shapes.values()
        return shape

    def prepare(self) -> None:
        assert self.context.set_input_shape("f", SHAPE)

    def address(self) -> None:
        assert self.context.set_tensor_address("f", self.given.data.ptr)
        assert self.context.set_tensor_address(self.result, self.out.data.ptr)

    def launch(self) -> None:
        assert self.context.execute_async_v3(self.stream.ptr)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch, request.param)


def test_a_run_in_good_order_passes(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.launch()
    bench.launch()
    bench.stream.synchronize()
    assert np.isfinite(bench.out.get()).all()


def no_shapes(bench: Bench) -> None:
    bench.address()
    bench.launch()


def no_addresses(bench: Bench) -> None:
    bench.prepare()
    bench.context.set_tensor_address("f", bench.given.data.ptr)
    bench.launch()


def shapes_of_another_profile(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.context.set_optimization_profile_async(1, bench.stream.ptr)
    bench.launch()


def profile_not_waited_for(bench: Bench) -> None:
    other = bench.cuda.new_stream()
    bench.context.set_optimization_profile_async(1, other.ptr)
    bench.prepare()
    bench.address()
    bench.launch()


def started(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.launch()


def two_streams(bench: Bench) -> None:
    started(bench)
    bench.stream = bench.cuda.new_stream()
    bench.launch()


def two_threads(bench: Bench) -> None:
    started(bench)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bench.launch).result()


def address_by_another_thread(bench: Bench) -> None:
    started(bench)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bench.address).result()


def shape_under_way(bench: Bench) -> None:
    started(bench)
    bench.prepare()


def profile_under_way(bench: Bench) -> None:
    started(bench)
    bench.context.set_optimization_profile_async(1, bench.stream.ptr)


def no_such_stream(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.context.execute_async_v3(0xDEAD)


def dead_stream(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    address = bench.stream.ptr
    del bench.stream
    bench.context.execute_async_v3(address)


def nobodys_memory(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.context.set_tensor_address("f", 0xDEAD00)
    bench.launch()
    bench.stream.synchronize()


def memory_too_small(bench: Bench) -> None:
    bench.out = DeviceArray(bench.cuda, (1, 1, 1, 1), np.float32)
    started(bench)
    bench.stream.synchronize()


def memory_of_the_host(bench: Bench) -> None:
    memory = bench.cuda.allocate(bench.given.nbytes, "pinned")
    bench.prepare()
    bench.address()
    bench.context.set_tensor_address("f", memory.ctypes.data)
    bench.launch()
    bench.stream.synchronize()


def memory_given_back(bench: Bench) -> None:
    started(bench)
    del bench.out
    bench.stream.synchronize()


def dead_context(bench: Bench) -> None:
    started(bench)
    del bench.context
    bench.stream.synchronize()


def dead_engine_under_way(bench: Bench) -> None:
    started(bench)
    del bench.plan
    gc.collect()
    bench.stream.synchronize()


def dead_engine(bench: Bench) -> None:
    del bench.plan
    gc.collect()
    bench.prepare()


def recorded(bench: Bench) -> Graph:
    started(bench)
    bench.stream.synchronize()
    bench.stream.begin_capture()
    bench.launch()
    return bench.stream.end_capture()


def test_a_recording_is_replayed_with_what_is_there_then(bench: Bench) -> None:
    graph = recorded(bench)
    bench.given.set(np.full(SHAPE, 2, np.float32))
    bench.out.set(np.full(bench.out.shape, np.nan, np.float32))
    graph.launch(bench.stream)
    bench.stream.synchronize()
    once = bench.out.get()
    assert np.isfinite(once).all()
    bench.launch()
    bench.stream.synchronize()
    np.testing.assert_array_equal(bench.out.get(), once)


def recorded_before_a_run(bench: Bench) -> None:
    bench.prepare()
    bench.address()
    bench.stream.begin_capture()
    bench.launch()


def recorded_before_a_run_is_over(bench: Bench) -> None:
    started(bench)
    bench.stream.begin_capture()
    bench.launch()


def recorded_in_another_stream_under_way(bench: Bench) -> None:
    started(bench)
    bench.stream.synchronize()
    bench.launch()
    other = bench.cuda.new_stream()
    other.begin_capture()
    bench.context.execute_async_v3(other.ptr)


def replayed_after_other_shapes(bench: Bench) -> None:
    graph = recorded(bench)
    bench.prepare()
    graph.launch(bench.stream)
    bench.stream.synchronize()


def replayed_under_way(bench: Bench) -> None:
    graph = recorded(bench)
    bench.launch()
    other = bench.cuda.new_stream()
    graph.launch(other)
    other.synchronize()


def replayed_when_the_context_is_dead(bench: Bench) -> None:
    graph = recorded(bench)
    del bench.context
    graph.launch(bench.stream)
    bench.stream.synchronize()


def list_for_a_shape(bench: Bench) -> None:
    bench.context.set_input_shape("f", list(SHAPE))


def unknown_input(bench: Bench) -> None:
    bench.context.set_input_shape("g", SHAPE)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (no_shapes, "before all shapes"),
        (no_addresses, "before all addresses"),
        (shapes_of_another_profile, "before all shapes"),
        (profile_not_waited_for, "profile may not be there"),
        (two_streams, "two streams"),
        (two_threads, "two threads"),
        (address_by_another_thread, "two threads"),
        (shape_under_way, "under way"),
        (profile_under_way, "under way"),
        (no_such_stream, "no stream"),
        (dead_stream, "no stream"),
        (nobodys_memory, "nobody's memory"),
        (memory_too_small, "nobody's memory"),
        (memory_of_the_host, "nobody's memory"),
        (memory_given_back, "nobody's memory"),
        (dead_context, "context died"),
        (dead_engine, "engine has died"),
        (dead_engine_under_way, "engine died"),
        (recorded_before_a_run, "before a run is over"),
        (recorded_before_a_run_is_over, "before a run is over"),
        (recorded_in_another_stream_under_way, "two streams"),
        (replayed_after_other_shapes, "after other shapes"),
        (replayed_under_way, "under way"),
        (replayed_when_the_context_is_dead, "context died"),
        (list_for_a_shape, None),
        (unknown_input, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistakes_with_a_context(
    bench: Bench, mistake: Callable[[Bench], None], message: str | None
) -> None:
    with pytest.raises(AssertionError, match=message):
        mistake(bench)


def test_wishes_that_are_refused_are_answered(bench: Bench) -> None:
    assert not bench.context.set_input_shape("f", (1, 4, 64, 64))
    assert not bench.context.set_optimization_profile_async(7, bench.stream.ptr)
    assert not bench.context.set_tensor_address("f", 0)
    assert not bench.context.set_tensor_address("g", 64)


def test_who_dies_too_early_is_noted(bench: Bench) -> None:
    gc.collect()
    assert bench.module.mistakes == []
    plan = bench.plan
    context = plan._engine.create_execution_context(*plan._arguments)
    runtime, plan._runtime = plan._runtime, None
    del runtime
    gc.collect()
    assert bench.module.mistakes == ["a runtime died before its engine"]
    plan._engine = None
    gc.collect()
    assert "an engine died before its context" in bench.module.mistakes
    del context


def test_plans_of_another_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.module.__version__ = "11.5.0"
    runtime = bench.module.Runtime(bench.module.loggers[-1])
    assert runtime.deserialize_cuda_engine(b'{"version": "11.4.0"}') is None
    assert runtime.deserialize_cuda_engine(b"noise") is None
    with pytest.raises(AssertionError):
        runtime.deserialize_cuda_engine(bytearray(b"{}"))
    with pytest.raises(AssertionError):
        bench.module.Runtime(object())


class TestRtx:
    """What TensorRT-RTX alone has."""

    @pytest.fixture
    def bench(self, monkeypatch: pytest.MonkeyPatch) -> Bench:
        return Bench(monkeypatch, "tensorrt-rtx")

    def test_kernels_that_change_under_way(self, bench: Bench) -> None:
        with pytest.raises(AssertionError, match="kernels would change"):
            bench.plan._engine.create_execution_context()
        with pytest.raises(AssertionError, match="kernels would change"):
            bench.plan._engine.create_execution_context(bench.plan._engine.create_runtime_config())

    def test_a_dead_store_of_kernels(self, bench: Bench) -> None:
        (config,) = bench.plan._arguments
        config.set_runtime_cache(config.create_runtime_cache())
        with pytest.raises(AssertionError, match="store of kernels has died"):
            bench.plan.context()

    def test_the_configuration_of_another_plan(self, bench: Bench, monkeypatch) -> None:
        other = Bench(monkeypatch, "tensorrt-rtx")
        with pytest.raises(AssertionError, match="another engine"):
            bench.plan._engine.create_execution_context(*other.plan._arguments)

    def test_names_that_the_real_configuration_lacks(self, bench: Bench) -> None:
        with pytest.raises(AttributeError):
            bench.plan._arguments[0].strategy = 1


def test_two_threads_are_told_apart_only_while_a_run_is_under_way(bench: Bench) -> None:
    started(bench)
    bench.stream.synchronize()
    thread = threading.Thread(target=bench.launch)
    thread.start()
    thread.join()
    bench.stream.synchronize()
    assert len(bench.module.runs) == 2
