"""ONNX Runtime on a GPU on paper: bindings, streams, and no way back to the CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcmrt import Encoder, Engine, RuntimeOptions
from fcmrt.errors import BackendUnavailableError, DeviceError, EngineError
from fcmrt.runner import make_runner
from fcmrt.runners import onnxrt_cuda

from .. import engines
from ..features import random_features
from . import strict_onnxruntime
from .fake_cuda import DeviceArray, FakeCuda
from .on_paper import DEVICE
from .tracing import ONNXRUNTIME, assert_near, trace

SHAPE = (1, 4, 8, 12)


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def ort(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = strict_onnxruntime.make_module(cuda)
    monkeypatch.setattr(onnxrt_cuda, "import_onnxruntime", lambda: module)
    monkeypatch.setattr(onnxrt_cuda, "first_device", lambda: DEVICE)
    return module


@pytest.fixture
def options(tmp_path: Path) -> RuntimeOptions:
    return RuntimeOptions(device="cuda", coder="cpu", threads=1, cache_dir=str(tmp_path))


@pytest.fixture
def network(ort: Any, options: RuntimeOptions) -> Any:
    engine = engines.tiny_factorized()
    return make_runner(options).load("analysis", engine.graph("analysis"), exact=False)


def features(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(picture: Any) -> Any:
    engine = engines.tiny_factorized()
    plain = make_runner(ONNXRUNTIME).load("analysis", engine.graph("analysis"), exact=False)
    return plain.run({"f": picture}, ["y"])[0]


def arrays(cuda: FakeCuda, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Any:
    picture = features(seed, shape)
    inputs = {"f": DeviceArray(cuda, shape, np.float32)}
    inputs["f"].set(picture)
    out = expected(picture)
    return inputs, {"y": DeviceArray(cuda, out.shape, out.dtype)}


def test_engines_give_what_the_cpu_gives(ort, options) -> None:
    engine = Engine.builtin()
    given = random_features(engine, (16, 16), scale=1)
    assert_near(trace(engine, given, options), trace(engine, given, ONNXRUNTIME), 1e-6)
    engine = engines.tiny_context()
    given = random_features(engine, (17, 22))
    assert Encoder(engine, options=options).encode(given) == Encoder(engine).encode(given)


def test_exact_graphs_get_no_searched_convolutions(ort, options) -> None:
    engine = engines.tiny_hyperprior()
    runner = make_runner(options)
    for exact in (True, False):
        runner.load("hyper_synthesis", engine.graph("hyper_synthesis"), exact=exact)
    careful, free = (session._settings for session in ort.sessions)
    assert careful["cudnn_conv_algo_search"] == "DEFAULT"
    assert careful["cudnn_conv_use_max_workspace"] == "0"
    # Never one that is found by timing, which may find another the next time.
    assert free["cudnn_conv_algo_search"] == "HEURISTIC"


def test_runs_follow_each_other_in_the_caller_s_stream(network, cuda, ort) -> None:
    device, stream = network.on_device(), cuda.new_stream()
    out = expected(features())
    assert device.outputs({"f": SHAPE}) == {"y": (out.shape, out.dtype)}
    runs = [arrays(cuda, seed) for seed in range(3)]
    waits = cuda.waits
    for inputs, outputs in runs:
        device.launch(inputs, outputs, stream.ptr)
    assert cuda.waits == waits
    assert ort.runs == [stream.ptr] * 3
    assert len(ort.sessions) == 2  # the host's, and the stream's
    for seed, (_, outputs) in enumerate(runs):
        np.testing.assert_array_equal(outputs["y"].get(), expected(features(seed)))


@pytest.mark.parametrize("address", [0, 1])
def test_runs_follow_each_other_in_the_default_stream(network, cuda, address) -> None:
    device = network.on_device()
    device.outputs({"f": SHAPE})
    inputs, outputs = arrays(cuda)
    device.launch(inputs, outputs, address)
    assert not cuda.default.idle
    cuda.default.synchronize()
    np.testing.assert_array_equal(outputs["y"].get(), expected(features()))


def test_sizes_are_asked_for_once(network, cuda) -> None:
    device, stream = network.on_device(), cuda.new_stream()
    for shape in (SHAPE, (1, 4, 8, 8), SHAPE):
        device.outputs({"f": shape})
        inputs, outputs = arrays(cuda, shape=shape)
        device.launch(inputs, outputs, stream.ptr)
        np.testing.assert_array_equal(outputs["y"].get(), expected(features(shape=shape)))
    host = network._host._session._real
    ran = []
    network._host._session._real = type("Counted", (), {"run": lambda *a: ran.append(a)})()
    device.outputs({"f": SHAPE})
    network._host._session._real = host
    assert ran == []


def test_a_stream_has_a_session(network, cuda, ort) -> None:
    device = network.on_device()
    device.outputs({"f": SHAPE})
    one, other = cuda.new_stream(), cuda.new_stream()
    inputs, outputs = arrays(cuda)
    device.launch(inputs, outputs, one.ptr)
    with pytest.raises(EngineError, match=r"its session keeps, .*on_device"):
        device.launch(inputs, outputs, other.ptr)
    second = network.on_device()
    second.outputs({"f": SHAPE})
    second.launch(inputs, outputs, other.ptr)
    assert ort.runs == [one.ptr, other.ptr]


def test_memory_of_an_earlier_run_is_not_bound_any_more(ort, options, cuda) -> None:
    """Whoever asks for one output of two must not have the other written to where it once was."""
    engine = engines.tiny_hyperprior()
    step = next(step for step in engine.manifest.decode if getattr(step, "graph", "") != "")
    network = make_runner(options).load(step.graph, engine.graph(step.graph), exact=True)
    assert len(step.outputs) > 1
    device, stream = network.on_device(), cuda.new_stream()
    shapes = {name: engine.manifest.shape(name, (8, 8)) for name in step.inputs}
    told = device.outputs(shapes)
    inputs = {name: DeviceArray(cuda, shape, np.float32) for name, shape in shapes.items()}
    for array in inputs.values():
        array.set(np.zeros(array.shape, np.float32))
    outputs = {name: DeviceArray(cuda, *told[name]) for name in step.outputs}
    device.launch(inputs, outputs, stream.ptr)
    stream.synchronize()
    first, *_ = step.outputs
    kept = {first: outputs[first]}
    del outputs
    device.launch(inputs, kept, stream.ptr)
    stream.synchronize()


def test_what_does_not_fit_is_refused(network, cuda, ort) -> None:
    device, stream = network.on_device(), cuda.new_stream()
    inputs, outputs = arrays(cuda)
    with pytest.raises(EngineError, match="`outputs` was not called"):
        device.launch(inputs, outputs, stream.ptr)
    device.outputs({"f": SHAPE})
    with pytest.raises(EngineError, match="`outputs` was not called"):
        device.launch({}, outputs, stream.ptr)
    with pytest.raises(EngineError, match=r"has the outputs \['y'\]; given: \['z'\]"):
        device.launch(inputs, {"z": outputs["y"]}, stream.ptr)
    with pytest.raises(EngineError, match=r"given: \[\]"):
        device.launch(inputs, {}, stream.ptr)
    with pytest.raises(EngineError, match="not an array in the device's memory"):
        device.launch({"f": features()}, outputs, stream.ptr)
    doubles = {"f": DeviceArray(cuda, SHAPE, np.float64)}
    with pytest.raises(EngineError, match="it must be float32"):
        device.launch(doubles, outputs, stream.ptr)
    with pytest.raises(EngineError, match="it must be"):
        device.launch(inputs, {"y": DeviceArray(cuda, (1, 1, 1, 1), np.float32)}, stream.ptr)
    assert ort.runs == []
    with pytest.raises(EngineError, match="'analysis'"):
        device.outputs({"g": SHAPE})


def test_what_the_library_refuses_is_an_engine_error(network, cuda, monkeypatch) -> None:
    device, stream = network.on_device(), cuda.new_stream()
    device.outputs({"f": SHAPE})
    inputs, outputs = arrays(cuda)

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 700")

    monkeypatch.setattr(strict_onnxruntime.InferenceSession, "run_with_iobinding", fail)
    with pytest.raises(EngineError, match="'analysis' in ONNX Runtime failed: CUDA failure 700"):
        device.launch(inputs, outputs, stream.ptr)


def test_nothing_falls_back_to_the_cpu(ort, options) -> None:
    engine = engines.tiny_factorized()
    runner = make_runner(options)
    ort.provider_fails = True
    with pytest.raises(EngineError, match="CUDAExecutionProvider did not start"):
        runner.load("analysis", engine.graph("analysis"), exact=False)
    ort.refusal = "nodes that are assigned to the default CPU EP"
    with pytest.raises(EngineError, match=r"GPU alone: nodes that are .*'torch'"):
        runner.load("analysis", engine.graph("analysis"), exact=False)


def test_a_build_without_cuda_is_refused(cuda, monkeypatch, options) -> None:
    module = strict_onnxruntime.make_module(cuda, providers=())
    monkeypatch.setattr(onnxrt_cuda, "import_onnxruntime", lambda: module)
    with pytest.raises(BackendUnavailableError, match=r"has CPUExecutionProvider.*fcmrt\[cuda\]"):
        make_runner(options)


def test_the_build_that_is_installed_here_has_no_cuda(options) -> None:
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[cuda\]"):
        make_runner(options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(BackendUnavailableError, match="needs ONNX Runtime"):
            make_runner(options)


def test_no_gpu_is_a_device_error(ort, options, monkeypatch) -> None:
    def missing() -> None:
        raise DeviceError("there is no NVIDIA driver here")

    monkeypatch.setattr(onnxrt_cuda, "first_device", missing)
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        make_runner(options)


def test_libraries_that_pip_brought_are_looked_for_without_a_word(
    ort, options, monkeypatch, capsys
) -> None:
    looked = []
    speak = ort.preload_dlls
    monkeypatch.setattr(ort, "preload_dlls", lambda: looked.append(speak()))
    make_runner(options)
    assert len(looked) == 1
    assert capsys.readouterr().out == ""
    monkeypatch.delattr(ort, "preload_dlls")  # of before 1.21
    make_runner(options)


def test_identity(ort) -> None:
    told = make_runner(RuntimeOptions(device="cuda", optimise=False)).identity
    assert told == (
        "onnxruntime 1.31.1, cuda NVIDIA L4 (sm_89, driver for CUDA 13.0), not optimised, in the "
        "graph's precision, float32 without TF32"
    )
