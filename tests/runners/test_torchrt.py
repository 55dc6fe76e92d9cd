"""Networks on PyTorch: whole engines against ONNX Runtime, options, and what is refused."""

from __future__ import annotations

import concurrent.futures
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import (
    BackendUnavailableError,
    ConfigError,
    DeviceError,
    DriftError,
    EngineError,
)
from fcmrt.runner import make_runner

from .. import engines
from ..features import random_features
from .tracing import ONNXRUNTIME, assert_near, distance, trace

torch = pytest.importorskip("torch")
settings = pytest.importorskip("fcmrt.runners.torchrt.settings")

TORCH = RuntimeOptions(runner="torch", threads=1)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-4),
        ({"optimise": False}, 1e-4),
        ({"precision": "float64"}, 1e-4),
        ({"precision": "float16"}, 3e-2),
        ({"precision": "bfloat16"}, 1e-1),
    ],
    ids=str,
)
def test_the_shipped_engine_agrees_with_onnx_runtime(
    options: dict[str, Any], tolerance: float
) -> None:
    engine = Engine.builtin()
    features = random_features(engine, (16, 16), scale=1)
    expected = trace(engine, features, ONNXRUNTIME)
    found = trace(engine, features, RuntimeOptions(runner="torch", threads=1, **options))
    assert_near(found, expected, tolerance)


@pytest.mark.parametrize("options", [{}, {"optimise": False}, {"precision": "float64"}], ids=str)
@pytest.mark.parametrize(
    "make", [engines.tiny_hyperprior, engines.tiny_context, engines.tiny_factorized]
)
def test_packets_pass_between_runners(make: Callable[[], Engine], options: dict[str, Any]) -> None:
    """The means and indexes of these engines are exact, so the integers are the same ones."""
    engine = make()
    torch_options = RuntimeOptions(runner="torch", threads=1, **options)
    for seed in range(4):
        features = random_features(engine, (17, 22), seed)
        for encoding, decoding in ((ONNXRUNTIME, torch_options), (torch_options, ONNXRUNTIME)):
            packet = Encoder(engine, options=encoding).encode(features)
            one, other = (Decoder(engine, options=options) for options in (encoding, decoding))
            for name, integers in one.integers(packet).items():
                again = other.integers(packet)[name]
                np.testing.assert_array_equal(again.symbols, integers.symbols)
                np.testing.assert_array_equal(again.indexes, integers.indexes)
            decoded = other.decode(packet)
            for name, level in one.decode(packet).items():
                assert distance(decoded[name], level) < 1e-5


def test_a_float_engine_drifts_loudly_or_not_at_all() -> None:
    """What comes back from the other runner is right, or a `DriftError`."""
    engine = Engine.builtin()
    for seed in range(6):
        features = random_features(engine, (16, 16), seed, scale=1)
        packet = Encoder(engine, options=ONNXRUNTIME).encode(features)
        expected = Decoder(engine, options=ONNXRUNTIME).decode(packet)
        try:
            decoded = Decoder(engine, options=TORCH).decode(packet)
        except DriftError:
            continue
        for name, level in expected.items():
            assert distance(decoded[name], level) < 1e-4
    packet = Encoder(engine, options=TORCH).encode(features)
    own = Decoder(engine, options=TORCH).decode(packet)
    assert {name: level.shape for name, level in own.items()} == {
        name: level.shape for name, level in features.items()
    }


def test_exact_graphs_run_in_float32_at_the_least() -> None:
    engine = engines.tiny_hyperprior()
    z = np.random.default_rng(0).integers(-400, 400, (1, 4, 3, 5)).astype(np.float32)
    outputs = ("y_mean", "y_index")
    graph = engine.graph("hyper_synthesis")
    expected = make_runner(ONNXRUNTIME).load("h", graph, exact=True).run({"z_hat": z}, outputs)
    runner = make_runner(RuntimeOptions(runner="torch", precision="bfloat16"))
    exact = runner.load("h", graph, exact=True).run({"z_hat": z}, outputs)
    coarse = runner.load("h", graph, exact=False).run({"z_hat": z}, outputs)
    assert all(np.array_equal(a, b) for a, b in zip(exact, expected, strict=True))
    assert not np.array_equal(coarse[0], expected[0])


def analysis(options: RuntimeOptions = TORCH) -> Any:
    return make_runner(options).load(
        "analysis", engines.tiny_factorized().graph("analysis"), exact=False
    )


def test_inputs_are_checked_by_name_and_type() -> None:
    x = np.zeros((1, 4, 8, 8), np.float32)
    network = analysis()
    with pytest.raises(EngineError, match=r"'analysis' takes \['f'\]; given: \['g'\]"):
        network.run({"g": x}, ["y"])
    with pytest.raises(EngineError, match="has no output 'x'"):
        network.run({"f": x}, ["x"])
    with pytest.raises(EngineError, match="input 'f' is float64"):
        network.run({"f": x.astype(np.float64)}, ["y"])
    with pytest.raises(EngineError, match=r"'analysis': node .* \(Conv\) fails in PyTorch"):
        network.run({"f": x[:, :3]}, ["y"])


def test_inputs_that_may_not_be_written_are_taken() -> None:
    x = random_features(engines.tiny_factorized(), (8, 8))["f"][None]
    (expected,) = analysis().run({"f": x}, ["y"])
    x.setflags(write=False)
    (found,) = analysis().run({"f": x}, ["y"])
    np.testing.assert_array_equal(found, expected)


def test_a_graph_that_is_damaged_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="graph 'broken'"):
        make_runner(TORCH).load("broken", b"\x08\x07", exact=False)


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[torch\]"):
        make_runner(TORCH)


def test_a_missing_device_is_an_error_and_no_reason_to_use_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device 'cuda': PyTorch .*ask for device 'cpu'"):
        make_runner(RuntimeOptions(runner="torch", device="cuda"))


def test_exhausted_memory_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    network = analysis()

    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("no more")

    network._program._calls[0].function = exhausted
    with pytest.raises(DeviceError, match="'analysis' does not fit cpu: no more"):
        network.run({"f": np.zeros((1, 4, 8, 8), np.float32)}, ["y"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "'onnxruntime' computes in the type that each graph says"),
        ({"runner": "tensorrt"}, "runner 'tensorrt' runs on 'cuda', not 'cpu'"),
        ({"runner": "reference", "device": "cuda"}, "'reference' runs on 'cpu', not 'cuda'"),
        (
            {"runner": "tensorrt", "device": "cuda", "precision": "float16"},
            "cannot be told float16; the runner 'torch' can, and `fcmrt export --precision`",
        ),
        ({"runner": "openvino"}, "runner 'openvino' is not known; there are onnxruntime, torch"),
        ({"runner": "torch", "device": "tpu"}, "device 'tpu' is not known"),
        ({"runner": "torch", "precision": "int8"}, "precision 'int8' is not known"),
    ],
)
def test_what_does_not_exist_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RuntimeOptions(**options)


def test_identities_tell_all_that_results_depend_on() -> None:
    def identity(**options: Any) -> str:
        return make_runner(RuntimeOptions(**options)).identity

    alike = identity(runner="torch", threads=1)
    assert alike == identity(runner="torch", threads=1, kernels="reference")
    assert alike.startswith(f"torch {torch.__version__}, cpu ")
    assert alike.endswith("optimised, float32")
    others = [
        identity(threads=1),
        identity(threads=1, optimise=False),
        identity(threads=2),
        identity(runner="torch", threads=2),
        identity(runner="torch", threads=1, optimise=False),
        identity(runner="torch", threads=1, precision="float64"),
    ]
    assert len({alike, *others}) == 7


def test_the_number_of_threads_is_set() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            network = analysis(RuntimeOptions(runner="torch", threads=threads))
            network.run({"f": np.zeros((1, 4, 8, 8), np.float32)}, ["y"])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_settings_are_held_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others than a run wants, so that each is seen to change."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    before = [getattr(owner, name) for owner, name in settings._places()]
    seen = []
    for optimise in (True, False):
        network = analysis(RuntimeOptions(runner="torch", optimise=optimise))
        call = network._program._calls[0]
        real = call.function
        call.function = lambda *arguments, real=real: (
            seen.append([getattr(owner, name) for owner, name in settings._places()]),
            real(*arguments),
        )[1]
        network.run({"f": np.zeros((1, 4, 8, 8), np.float32)}, ["y"])
    assert [values[0] for values in seen] == [True, False]
    benchmark, deterministic, *precisions = seen[0][2:]
    assert (benchmark, deterministic) == (False, True)
    assert all(value in (False, "ieee") for value in precisions)
    assert seen[0][1:] == seen[1][1:]
    assert [getattr(owner, name) for owner, name in settings._places()] == before


def test_threads_with_other_settings_wait_for_each_other() -> None:
    networks = [
        analysis(RuntimeOptions(runner="torch", threads=1, optimise=optimise))
        for optimise in (True, False)
    ]
    x = random_features(engines.tiny_factorized(), (16, 16))["f"][None]
    expected = [network.run({"f": x}, ["y"])[0] for network in networks]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: networks[i % 2].run({"f": x}, ["y"])[0], range(80)))
    for i, array in enumerate(found):
        np.testing.assert_array_equal(array, expected[i % 2])


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("FCMRT_REQUIRE_CUDA") != "1",
    reason="needs a CUDA device",
)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("float16", 3e-2)])
def test_the_shipped_engine_on_a_cuda_device(precision: Any, tolerance: float) -> None:
    engine = Engine.builtin()
    features = random_features(engine, (24, 16), scale=1)
    expected = trace(engine, features, ONNXRUNTIME)
    options = RuntimeOptions(runner="torch", device="cuda", precision=precision)
    assert_near(trace(engine, features, options), expected, tolerance)
