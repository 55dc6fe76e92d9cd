"""Planted mistakes: every rule of onnxruntime-gpu's stand-in is broken once, to see it bite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .. import engines
from . import strict_onnxruntime
from .fake_cuda import DeviceArray, FakeCuda

SHAPE = (1, 4, 8, 12)


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def ort(cuda: FakeCuda) -> Any:
    return strict_onnxruntime.make_module(cuda)


def load(ort: Any, stream: Any = None, **changes: Any) -> Any:
    settings = {"device_id": "0", "use_tf32": "0"}
    if stream is not None:
        settings["user_compute_stream"] = str(stream.ptr)
    settings |= changes.pop("settings", {})
    options = ort.SessionOptions()
    if changes.pop("fallback", "0") == "0":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    arguments = {"enable_fallback": 0} | changes
    provider = (strict_onnxruntime.PROVIDER, settings)
    return ort.InferenceSession(
        engines.tiny_factorized().graph("analysis"), options, providers=[provider], **arguments
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enable_fallback": 1}, "fall back to the CPU"),
        ({"fallback": "1"}, "leave nodes to the CPU"),
        ({"settings": {"use_tf32": "1"}}, "TF32"),
        ({"settings": {"cudnn_conv_algo_search": "BEST"}}, "cudnn_conv_algo_search"),
        ({"settings": {"user_compute_stream": "57005"}}, "there is no stream"),
        ({"settings": {"user_compute_stream": "0"}}, "0 is no stream"),
    ],
    ids=str,
)
def test_sessions(ort: Any, changes: dict[str, Any], message: str) -> None:
    load(ort)
    with pytest.raises(AssertionError, match=message):
        load(ort, **changes)


def test_options_that_do_not_exist(ort: Any) -> None:
    with pytest.raises(KeyError, match="tf32"):
        load(ort, settings={"tf32": "0"})


def bound(ort: Any, cuda: FakeCuda, session: Any) -> Any:
    binding = session.io_binding()
    inputs = DeviceArray(cuda, SHAPE, np.float32)
    inputs.set(np.zeros(SHAPE, np.float32))
    (result,) = load(ort).run(["y"], {"f": np.zeros(SHAPE, np.float32)})
    output = DeviceArray(cuda, result.shape, result.dtype)
    binding.bind_input("f", "cuda", 0, np.float32, SHAPE, inputs.data.ptr)
    binding.bind_output("y", "cuda", 0, result.dtype.type, result.shape, output.data.ptr)
    return binding, inputs, output


def no_wait(ort: Any) -> Any:
    options = ort.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def test_runs(ort: Any, cuda: FakeCuda) -> None:
    stream = cuda.new_stream()
    session = load(ort, stream)
    binding, _inputs, output = bound(ort, cuda, session)
    session.run_with_iobinding(binding, no_wait(ort))
    stream.synchronize()
    assert np.isfinite(output.get()).all()
    with pytest.raises(AssertionError, match="waits"):
        session.run_with_iobinding(binding, ort.RunOptions())
    with pytest.raises(AssertionError, match="another session"):
        load(ort, stream).run_with_iobinding(binding, no_wait(ort))
    with pytest.raises(AssertionError, match="caller's stream"):
        session.run(["y"], {"f": np.zeros(SHAPE, np.float32)})
    binding.clear_binding_outputs()
    with pytest.raises(AssertionError, match="no outputs"):
        session.run_with_iobinding(binding, no_wait(ort))
    binding.clear_binding_inputs()
    with pytest.raises(RuntimeError, match="Required inputs"):
        session.run_with_iobinding(binding, no_wait(ort))


def test_a_stream_of_its_own(ort: Any, cuda: FakeCuda) -> None:
    session = load(ort)
    binding, _inputs, _output = bound(ort, cuda, session)
    with pytest.raises(AssertionError, match="not the caller's"):
        session.run_with_iobinding(binding, no_wait(ort))


def test_memory(ort: Any, cuda: FakeCuda) -> None:
    stream = cuda.new_stream()
    session = load(ort, stream)
    binding, _inputs, output = bound(ort, cuda, session)
    address = output.data.ptr
    with pytest.raises(AssertionError, match="another device"):
        binding.bind_output("y", "cpu", 0, np.float32, (1,), address)
    with pytest.raises(AssertionError, match="nobody's memory"):
        binding.bind_output("y", "cuda", 0, np.float32, (1 << 20,), address)
    session.run_with_iobinding(binding, no_wait(ort))
    del output
    with pytest.raises(AssertionError, match="memory of y was given back"):
        stream.synchronize()
