"""The runner "tensorrt" on machines on paper: order, lifetimes, streams, plans, what is told."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import BackendUnavailableError, DeviceError, EngineError, PlanError
from fcmrt.gpu import Device
from fcmrt.plans import BuildOptions, PlanCache, SizeRange, build_plans, find_library
from fcmrt.runner import make_runner
from fcmrt.runners.cuda_memory import CudaMemory

from .. import engines
from ..features import random_features
from .fake_cuda import DeviceArray, FakeCuda
from .on_paper import DEVICE, tensorrt_machine
from .tracing import ONNXRUNTIME, assert_near, trace

SHAPE = (1, 4, 8, 12)


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def trt(library: str, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The library's stand-in; at the end nothing may have died before what was made of it."""
    module = tensorrt_machine(monkeypatch, cuda, library)[library]
    yield module
    gc.collect()
    assert module.mistakes == []


@pytest.fixture
def options(tmp_path: Path) -> RuntimeOptions:
    return RuntimeOptions(runner="tensorrt", device="cuda", coder="cpu", cache_dir=str(tmp_path))


@pytest.fixture
def network(trt: Any, options: RuntimeOptions) -> Any:
    engine = engines.tiny_factorized()
    return make_runner(options).load("analysis", engine.graph("analysis"), exact=False)


def features(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {"f": draw.standard_normal(shape).astype(np.float32)}


def expected(inputs: dict[str, Any]) -> Any:
    engine = engines.tiny_factorized()
    plain = make_runner(ONNXRUNTIME).load("analysis", engine.graph("analysis"), exact=False)
    return plain.run(inputs, ["y"])[0]


@pytest.mark.parametrize("make", [engines.tiny_hyperprior, Engine.builtin])
def test_engines_give_what_onnx_runtime_gives(make: Callable[[], Engine], trt, options) -> None:
    engine = make()
    given = random_features(engine, (16, 16), scale=1)
    assert_near(trace(engine, given, options), trace(engine, given, ONNXRUNTIME), 1e-5)


@pytest.mark.parametrize("make", [engines.tiny_context, engines.tiny_gain])
def test_a_packet_passes(make: Callable[[], Engine], trt, options) -> None:
    engine = make()
    given = random_features(engine, (17, 22))
    packet = Encoder(engine, options=options).encode(given)
    assert packet == Encoder(engine).encode(given)
    decoded = Decoder(engine, options=options).decode(packet)
    for name, level in Decoder(engine).decode(packet).items():
        np.testing.assert_array_equal(decoded[name], level)


def test_a_host_run_waits_once_and_allocates_nothing_the_second_time(network, cuda) -> None:
    inputs = features()
    np.testing.assert_array_equal(network.run(inputs, ["y"])[0], expected(inputs))
    waits, allocations = cuda.waits, cuda.allocations
    again = features(1)
    np.testing.assert_array_equal(network.run(again, ["y"])[0], expected(again))
    assert (cuda.waits, cuda.allocations) == (waits + 1, allocations)


def test_results_are_the_caller_s(network) -> None:
    inputs = features()
    (first,) = network.run(inputs, ["y"])
    network.run(features(1), ["y"])
    np.testing.assert_array_equal(first, expected(inputs))


def test_runs_at_the_same_time_have_a_context_each(network, trt, cuda) -> None:
    pictures = [features(seed, (1, 4, 8, 8 + 4 * (seed % 3))) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda inputs: network.run(inputs, ["y"])[0], pictures))
    for inputs, array in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(array, expected(inputs))
    assert trt.contexts <= 4 * 3
    assert len(set(trt.runs)) <= 4 * 3 + 1  # and that in which all are prepared


def test_a_context_under_way_is_not_taken_by_another_run(network, trt) -> None:
    """While one thread is between launch and wait, another runs to its end."""
    second = threading.Event()
    staged = network._staged
    inputs = features()
    network.run(inputs, ["y"])
    lane = staged._idle[0]
    launch = lane._network.launch

    def launch_and_let_another_run(*arguments: Any) -> None:
        launch(*arguments)
        if not second.is_set():
            second.set()
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(network.run, features(1), ["y"]).result()[0]
            np.testing.assert_array_equal(other, expected(features(1)))

    lane._network.launch = launch_and_let_another_run
    np.testing.assert_array_equal(network.run(inputs, ["y"])[0], expected(inputs))
    assert trt.contexts == 2


def test_sizes_have_a_plan_each_and_keep_it(network, trt, options) -> None:
    for width in (8, 12, 8, 12, 16):
        inputs = features(shape=(1, 4, 8, width))
        np.testing.assert_array_equal(network.run(inputs, ["y"])[0], expected(inputs))
    assert (trt.builders, trt.loads) == (3, 3)
    assert len(list(PlanCache(options.cache_dir).records())) == 3


def test_plans_of_before_are_used(trt, options, library) -> None:
    engine = engines.tiny_factorized()
    sizes = [SizeRange.parse("2x2..8x8..16x24"), SizeRange.fixed(8, 12)]
    cache = PlanCache(options.cache_dir)
    build_plans(
        engine,
        find_library(library),
        [DEVICE.target],
        sizes,
        cache=cache,
        options=BuildOptions(optimization_level=2),
    )
    built = trt.builders
    network = make_runner(options).load("analysis", engine.graph("analysis"), exact=False)
    for shape in ((1, 4, 8, 12), (1, 4, 4, 6), (1, 4, 16, 24)):
        inputs = features(shape=shape)
        np.testing.assert_array_equal(network.run(inputs, ["y"])[0], expected(inputs))
    assert (trt.builders, trt.loads) == (built, 1)
    network.run(features(shape=(1, 4, 18, 24)), ["y"])
    assert (trt.builders, trt.loads) == (built + 1, 2)


def test_plans_with_tf32_are_not_used(trt, options, library) -> None:
    engine = engines.tiny_factorized()
    build_plans(
        engine,
        find_library(library),
        [DEVICE.target],
        [SizeRange.fixed(8, 12)],
        cache=PlanCache(options.cache_dir),
        options=BuildOptions(tf32=True),
    )
    built = trt.builders
    make_runner(options).load("analysis", engine.graph("analysis"), exact=False).run(
        features(), ["y"]
    )
    assert trt.builders == built + 1


def test_a_plan_that_is_not_taken_is_built_anew(network, trt, options, monkeypatch) -> None:
    network.run(features(), ["y"])
    cache = PlanCache(options.cache_dir)
    (record,) = cache.records()
    cache.keep(record.ingredients, b"of another version", 1)
    again = make_runner(options).load("analysis", network._plans._graph, exact=False)
    assert again.particulars({"f": SHAPE}) == f"plan {record.sha256}"
    np.testing.assert_array_equal(again.run(features(), ["y"])[0], expected(features()))
    assert (trt.builders, trt.loads) == (2, 2)
    assert next(iter(cache.records())).bytes > 100


def test_a_gpu_that_takes_no_plan_is_a_device_error(network, trt) -> None:
    trt.refusal = "CUDA driver version is insufficient"
    with pytest.raises(DeviceError, match="cannot be loaded: CUDA driver version"):
        network.run(features(), ["y"])


def test_a_graph_that_is_refused_is_named(network, trt) -> None:
    trt.failure = "no kernel for this"
    with pytest.raises(PlanError, match=r"^graph 'analysis', for sm_89: .*no kernel for this"):
        network.run(features(), ["y"])


def test_kernels_are_compiled_once(network, trt, options, library) -> None:
    network.on_device().outputs({"f": SHAPE})
    kept = list(PlanCache(options.cache_dir).folder.glob("*.kernels"))
    assert len(kept) == (1 if library == "tensorrt-rtx" else 0)
    again = make_runner(options).load("analysis", network._plans._graph, exact=False)
    again.run(features(), ["y"])
    assert again._plans.find({"f": SHAPE}).loaded.kernels() == (
        kept[0].read_bytes() if kept else b""
    )


class TestOnTheDevice:
    """Runs in the caller's memory and stream."""

    @pytest.fixture
    def device(self, network: Any) -> Any:
        return network.on_device()

    def arrays(self, cuda: FakeCuda, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Any:
        inputs = {"f": DeviceArray(cuda, shape, np.float32)}
        inputs["f"].set(features(seed, shape)["f"])
        out = expected(features(seed, shape))
        return inputs, {"y": DeviceArray(cuda, out.shape, out.dtype)}

    def test_it_says_what_comes_out(self, device) -> None:
        shape, dtype = device.outputs({"f": SHAPE})["y"]
        out = expected(features())
        assert (shape, dtype) == (out.shape, out.dtype)

    def test_runs_follow_each_other_without_waits_or_memory(self, device, cuda, trt) -> None:
        device.outputs({"f": SHAPE})
        stream = cuda.new_stream()
        runs = [self.arrays(cuda, seed) for seed in range(3)]
        waits, allocations = cuda.waits, cuda.allocations
        trt.runs.clear()
        for inputs, outputs in runs:
            device.launch(inputs, outputs, stream.ptr)
        assert (cuda.waits, cuda.allocations) == (waits, allocations)
        assert trt.runs == [stream.ptr] * 3
        for seed, (_, outputs) in enumerate(runs):
            np.testing.assert_array_equal(outputs["y"].get(), expected(features(seed)))

    def test_other_sizes_are_prepared_after_a_wait(self, device, cuda) -> None:
        stream = cuda.new_stream()
        for shape in (SHAPE, (1, 4, 8, 8), SHAPE):
            device.outputs({"f": shape})
            inputs, outputs = self.arrays(cuda, shape=shape)
            device.launch(inputs, outputs, stream.ptr)
        np.testing.assert_array_equal(outputs["y"].get(), expected(features()))

    def test_a_stream_that_is_gone_is_waited_for(self, device, cuda) -> None:
        """Its last run, and nothing else: another thread may record."""
        device.outputs({"f": SHAPE})
        (inputs, outputs), stream, other = self.arrays(cuda), cuda.new_stream(), cuda.new_stream()
        device.launch(inputs, outputs, stream.ptr)
        del stream
        other.begin_capture()
        device.outputs({"f": (1, 4, 8, 8)})
        out = expected(features())
        found = outputs["y"].data.memory[: out.nbytes].view(np.float32).reshape(out.shape)
        np.testing.assert_array_equal(found, out)

    def test_its_own_stream_is_recorded(self, device, cuda) -> None:
        """Behind a run that is under way there, which is waited for."""
        device.outputs({"f": SHAPE})
        (inputs, outputs), stream = self.arrays(cuda), cuda.new_stream()
        device.launch(inputs, outputs, stream.ptr)
        stream.begin_capture()
        device.launch(inputs, outputs, stream.ptr)
        graph = stream.end_capture()
        assert stream.idle
        inputs["f"].set(features(1)["f"])
        graph.launch(stream)
        np.testing.assert_array_equal(outputs["y"].get(), expected(features(1)))
        device.launch(inputs, outputs, stream.ptr)

    def test_another_stream_is_refused_until_prepared_again(self, device, cuda) -> None:
        device.outputs({"f": SHAPE})
        inputs, outputs = self.arrays(cuda)
        one, other = cuda.new_stream(), cuda.new_stream()
        device.launch(inputs, outputs, one.ptr)
        with pytest.raises(EngineError, match="on_device"):
            device.launch(inputs, outputs, other.ptr)
        device.outputs({"f": SHAPE})
        device.launch(inputs, outputs, other.ptr)

    def test_a_recording_is_replayed_with_what_is_there_then(self, device, cuda) -> None:
        """Recorded in another stream than the run before, which is waited for."""
        device.outputs({"f": SHAPE})
        assert device.capturable
        caller, recorder = cuda.new_stream(), cuda.new_stream()
        pictures = [self.arrays(cuda, seed) for seed in range(2)]
        device.launch(*pictures[0], caller.ptr)
        recorder.begin_capture()
        for inputs, outputs in pictures:
            device.launch(inputs, outputs, recorder.ptr)
        graph = recorder.end_capture()
        assert caller.idle
        for seed in (2, 3):
            for n, (inputs, _) in enumerate(pictures):
                inputs["f"].set(features(seed + n)["f"])
            graph.launch(caller)
            caller.synchronize()
            for n, (_, outputs) in enumerate(pictures):
                np.testing.assert_array_equal(outputs["y"].get(), expected(features(seed + n)))
        with pytest.raises(EngineError, match="on_device"):  # the caller's is still the caller's
            device.launch(inputs, outputs, recorder.ptr)

    def test_the_library_says_what_can_be_recorded(self, device, trt, library) -> None:
        assert not device.capturable  # nothing is known before there are shapes
        trt.capturable = False
        device.outputs({"f": SHAPE})
        assert device.capturable == (library == "tensorrt")

    def test_two_users_have_a_stream_each(self, network, cuda, trt) -> None:
        both = [(network.on_device(), cuda.new_stream(), self.arrays(cuda, n)) for n in (0, 1)]
        for device, _, _ in both:
            device.outputs({"f": SHAPE})
        for device, stream, (inputs, outputs) in both:
            device.launch(inputs, outputs, stream.ptr)
        for seed, (_, _, (_, outputs)) in enumerate(both):
            np.testing.assert_array_equal(outputs["y"].get(), expected(features(seed)))
        assert (trt.contexts, trt.loads) == (2, 1)

    def test_what_does_not_fit_is_refused_before_the_library_sees_it(
        self, device, cuda, trt
    ) -> None:
        stream = cuda.new_stream()
        inputs, outputs = self.arrays(cuda)
        with pytest.raises(EngineError, match="`outputs` must be called before"):
            device.launch(inputs, outputs, stream.ptr)
        device.outputs({"f": SHAPE})
        trt.runs.clear()
        small = {"f": DeviceArray(cuda, (1, 4, 8, 8), np.float32)}
        doubles = {"f": DeviceArray(cuda, SHAPE, np.float64)}
        gaps = DeviceArray(cuda, SHAPE, np.float32)
        told = {**gaps.__cuda_array_interface__, "strides": (2048, 512, 64, 4)}
        for wrong, message in (
            (small, r"float32 \[1, 4, 8, 8\]; it must be float32 \[1, 4, 8, 12\]"),
            (doubles, "float64"),
            ({"f": type("Gaps", (), {"__cuda_array_interface__": told})()}, "gaps"),
            (features(), "not an array in the device's memory"),
            ({}, "needs memory for"),
            ({**inputs, "g": inputs["f"]}, "needs memory for"),
        ):
            with pytest.raises(EngineError, match=message):
                device.launch(wrong, outputs, stream.ptr)
        with pytest.raises(EngineError, match=r"needs memory for \['y'\]"):
            device.launch(inputs, {}, stream.ptr)
        assert trt.runs == []

    def test_what_the_library_refuses_is_told_in_its_words(self, device, cuda, trt) -> None:
        device.outputs({"f": SHAPE})
        inputs, outputs = self.arrays(cuda)
        stream = cuda.new_stream()
        trt.run_fails = True
        with pytest.raises(EngineError, match=r"'analysis' in tensorrt.*: illegal instruction"):
            device.launch(inputs, outputs, stream.ptr)

    def test_shapes_that_the_graph_refuses(self, device, trt) -> None:
        trt.shapes_clash = True
        with pytest.raises(EngineError, match="sides do not match"):
            device.outputs({"f": SHAPE})

    def test_memory_that_is_not_there(self, device, trt) -> None:
        trt.memory_is_gone = True
        with pytest.raises(DeviceError, match="no context of the plan: out of memory"):
            device.outputs({"f": SHAPE})

    def test_memory_that_is_not_there_for_the_first_run(self, device, cuda) -> None:
        cuda.full = True
        with pytest.raises(DeviceError, match="no memory left for float32"):
            device.outputs({"f": SHAPE})
        cuda.full = False
        assert set(device.outputs({"f": SHAPE})) == {"y"}

    def test_other_inputs_are_refused(self, device, trt) -> None:
        device.outputs({"f": SHAPE})
        with pytest.raises(EngineError, match=r"takes \['f'\]; given: \['g'\]"):
            device.outputs({"g": SHAPE})
        assert trt.builders == 1


def test_inputs_and_outputs_that_arrays_cannot_hold(network, trt) -> None:
    trt.ports = trt.DataType.BF16
    with pytest.raises(EngineError, match="'f' is of the type BF16"):
        network.run(features(), ["y"])


def test_outputs_that_are_not_there(network) -> None:
    with pytest.raises(EngineError, match="no output 'z'"):
        network.run(features(), ["z"])


def test_a_failed_run_leaves_nothing_behind(network, trt) -> None:
    network.run(features(), ["y"])
    trt.run_fails = True
    with pytest.raises(EngineError, match="illegal instruction"):
        network.run(features(), ["y"])
    trt.run_fails = False
    np.testing.assert_array_equal(network.run(features(), ["y"])[0], expected(features()))
    assert trt.contexts == 2


def test_the_device_s_memory_goes_back_with_the_network(trt, options) -> None:
    """Contexts first, then the engine; and not when the garbage collector has the time."""
    engine = engines.tiny_factorized()
    network: Any = make_runner(options).load("analysis", engine.graph("analysis"), exact=False)
    for width in (8, 12):
        network.run(features(shape=(1, 4, 8, width)), ["y"])
    device = network.on_device()
    device.outputs({"f": SHAPE})
    assert len(trt.living) == 5  # two engines, three contexts
    gc.disable()
    try:
        del network, device
        assert len(trt.living) == 0
    finally:
        gc.enable()


def test_identity_and_the_plan_of_a_verdict(trt, options, library) -> None:
    runner = make_runner(options)
    assert runner.identity == (
        f"{library} 11.4.0, cuda NVIDIA L4 (sm_89, driver for CUDA 13.0), in the graph's "
        "precision, float32 without TF32"
    )
    engine = Engine.load(engines.hyperprior_parts().pack())
    encoder = Encoder(engine, options=options)
    encoder.encode(random_features(engine, (16, 16)))
    verdicts = [path.read_text() for path in (Path(options.cache_dir) / "verdicts").iterdir()]
    plans = {record.sha256 for record in PlanCache(options.cache_dir).records()}
    assert verdicts
    assert all(any(f"plan {plan}" in verdict for plan in plans) for verdict in verdicts)


def test_the_library_that_knows_the_gpu_is_taken(cuda, monkeypatch, tmp_path) -> None:
    options = RuntimeOptions(runner="tensorrt", device="cuda", coder="cpu", cache_dir=str(tmp_path))
    tensorrt_machine(monkeypatch, cuda, "tensorrt", "tensorrt-rtx")
    assert make_runner(options).identity.startswith("tensorrt 11.4.0")
    hopper = Device("NVIDIA H100", "sm_90", 132, 13000)
    tensorrt_machine(monkeypatch, cuda, "tensorrt-rtx", device=hopper)
    with pytest.raises(BackendUnavailableError, match=r"no plans for 'sm_90'.*fcmrt\[tensorrt\]"):
        make_runner(options)
    tensorrt_machine(monkeypatch, cuda)
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[tensorrt\].*fcmrt\[tensorrt-rtx\]"):
        make_runner(options)


def test_without_a_gpu_or_cupy(cuda, monkeypatch, options) -> None:
    def missing() -> Device:
        raise DeviceError("there is no NVIDIA driver here")

    tensorrt_machine(monkeypatch, cuda, "tensorrt-rtx")
    monkeypatch.setattr("fcmrt.tensorrt.library.PlanLibrary.device", property(lambda _: missing()))
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        make_runner(options)
    tensorrt_machine(monkeypatch, cuda, "tensorrt-rtx")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendUnavailableError, match=r"CuPy.*fcmrt\[cuda\]"):
        CudaMemory()
    monkeypatch.setitem(sys.modules, "cupy", cuda.cupy(devices=0))
    with pytest.raises(DeviceError, match="no GPU"):
        CudaMemory()
