"""The runners on a real GPU, where there is one: whole engines, exact graphs, the caller's memory.

Nothing here has ever run if the suite says "skipped". Under FCMRT_REQUIRE_CUDA=1 a missing GPU is a
failure; a library that is not there is skipped, with what it lacks. Under FCMRT_REQUIRE_ORT_CUDA=1
an ONNX Runtime without its CUDA provider is a failure, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import BackendUnavailableError, DeviceError
from fcmrt.exact import bring_up
from fcmrt.runner import make_runner
from fcmrt.schedule import Run

from ..features import random_features
from .tracing import ONNXRUNTIME, assert_near, distance, trace

BUILTIN = ("lmsfc-v1-nanodet", "lmsfc-v2-nanodet")
GPU_REQUIRED = os.environ.get("FCMRT_REQUIRE_CUDA") == "1"
PROVIDER_REQUIRED = os.environ.get("FCMRT_REQUIRE_ORT_CUDA") == "1"

pytestmark = pytest.mark.cuda


@pytest.fixture(params=["onnxruntime", "tensorrt"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> RuntimeOptions:
    found = RuntimeOptions(runner=request.param, device="cuda", cache_dir=str(tmp_path))
    try:
        make_runner(found)
    except BackendUnavailableError as error:
        if PROVIDER_REQUIRED and request.param == "onnxruntime":
            raise
        pytest.skip(str(error))
    except DeviceError as error:
        if GPU_REQUIRED:
            raise
        pytest.skip(str(error))
    return found


@pytest.mark.parametrize("name", BUILTIN)
def test_shipped_engines_are_near_the_cpu(options: RuntimeOptions, name: str) -> None:
    engine = Engine.builtin(name)
    given = random_features(engine, (24, 16), scale=1)
    if name == BUILTIN[0]:  # the other one's graphs see decoded integers
        assert_near(trace(engine, given, options), trace(engine, given, ONNXRUNTIME), 1e-4)
    packet = Encoder(engine, options=ONNXRUNTIME).encode(given)
    decoded = Decoder(engine, options=options).decode(packet)
    for level, array in Decoder(engine, options=ONNXRUNTIME).decode(packet).items():
        assert distance(decoded[level], array) < 1e-4


@pytest.mark.parametrize("name", BUILTIN)
def test_exact_graphs_are_exact(options: RuntimeOptions, name: str) -> None:
    engine = Engine.builtin(name)
    runner = make_runner(options)
    runs = {step.graph: step for step in engine.manifest.decode if isinstance(step, Run)}
    padded = (64, 64)
    for graph in engine.manifest.exact:
        model, proof = engine.exact_graph(graph)
        network = runner.load(graph, engine.graph(graph), exact=True)
        shapes = {key: engine.manifest.shape(key, padded) for key in runs[graph].inputs}
        verdict = bring_up(model, proof, network, shapes, runs[graph].outputs)
        assert verdict.exact, (graph, verdict.differing, verdict.values)


@pytest.mark.parametrize("name", BUILTIN)
def test_packets_pass_between_gpu_and_cpu(options: RuntimeOptions, name: str) -> None:
    engine = Engine.builtin(name)
    for seed in range(3):
        given = random_features(engine, (17, 22), seed, scale=1)
        for encoding, decoding in ((options, ONNXRUNTIME), (ONNXRUNTIME, options)):
            packet = Encoder(engine, options=encoding).encode(given)
            mine = Decoder(engine, options=encoding).integers(packet)
            for latent, integers in Decoder(engine, options=decoding).integers(packet).items():
                np.testing.assert_array_equal(integers.symbols, mine[latent].symbols)
                np.testing.assert_array_equal(integers.indexes, mine[latent].indexes)


@pytest.mark.parametrize("recorded", [False, True])
def test_the_caller_s_memory_and_stream(options: RuntimeOptions, recorded: bool) -> None:
    """Many runs, in a stream or recorded, waited for once, give what host runs give."""
    cupy = pytest.importorskip("cupy")
    engine = Engine.builtin()
    step = next(step for step in engine.manifest.encode if isinstance(step, Run))
    network: Any = make_runner(options).load(step.graph, engine.graph(step.graph), exact=False)
    device, stream = network.on_device(), cupy.cuda.Stream(non_blocking=True)
    pictures = []
    for seed in range(8):
        drawn = random_features(engine, (16, 16), seed, scale=1)
        pictures.append({name: drawn[name][None] for name in step.inputs})
    told = device.outputs({name: array.shape for name, array in pictures[0].items()})
    if recorded and not device.capturable:
        pytest.skip("this library's runs cannot be recorded")
    inputs = [{name: cupy.asarray(a) for name, a in picture.items()} for picture in pictures]
    outputs = [{name: cupy.empty(*port) for name, port in told.items()} for _ in pictures]
    cupy.cuda.runtime.deviceSynchronize()
    if recorded:
        stream.begin_capture()
    for given, results in zip(inputs, outputs, strict=True):
        device.launch(given, results, stream.ptr)
    if recorded:
        stream.end_capture().launch(stream)
    stream.synchronize()
    for picture, results in zip(pictures, outputs, strict=True):
        for name, wanted in zip(step.outputs, network.run(picture, step.outputs), strict=True):
            assert distance(cupy.asnumpy(results[name]), wanted) < 1e-5
