"""A stand-in for onnxruntime-gpu that forgives nothing: its CUDA provider, on a `FakeCuda`.

Sessions compute on the CPU, by the real library and its real IO binding, in the stand-in GPU's
memory and when the stream is waited for. Undefined behaviour is a failure: addresses that are
nobody's, memory given back before the run is over, streams that are not there. So are the library's
ways to fall back to the CPU, and waiting where nobody asked for it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as real

from .fake_cuda import FakeCuda

PROVIDER = "CUDAExecutionProvider"

# Those of OrtCUDAProviderOptionsV2 that exist in every version that fcmrt takes.
PROVIDER_OPTIONS = {
    "device_id": {"0"},
    "use_tf32": {"0", "1"},
    "cudnn_conv_algo_search": {"EXHAUSTIVE", "HEURISTIC", "DEFAULT"},
    "cudnn_conv_use_max_workspace": {"0", "1"},
    "do_copy_in_default_stream": {"0", "1"},
}


class SessionOptions(real.SessionOptions):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        assert type(key) is type(value) is str
        self._entries[key] = value
        if key != "session.disable_cpu_ep_fallback":  # which the CPU below could not keep
            super().add_session_config_entry(key, value)


class RunOptions(real.RunOptions):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        assert type(key) is type(value) is str
        self._entries[key] = value


class IOBinding:
    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, tuple[Any, ...]] = {}
        self._outputs: dict[str, tuple[Any, ...]] = {}

    def bind_input(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: type,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        self._check(device_type, device_id, element_type, shape, buffer_ptr)
        assert name in {port.name for port in self._session.get_inputs()}
        self._inputs[name] = (element_type, shape, buffer_ptr)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: type | None = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        self._check(device_type, device_id, element_type, shape, buffer_ptr)
        assert name in {port.name for port in self._session.get_outputs()}
        self._outputs[name] = (element_type, shape, buffer_ptr)

    def clear_binding_inputs(self) -> None:
        self._inputs = {}

    def clear_binding_outputs(self) -> None:
        self._outputs = {}

    def _check(self, device_type: str, device_id: int, element: Any, shape: Any, at: Any) -> None:
        assert (device_type, device_id) == ("cuda", 0), "memory of another device is copied"
        assert isinstance(element, type)
        assert type(at) is int
        size = int(np.prod(shape)) * np.dtype(element).itemsize
        assert self._session._cuda.holds(at, size, "device"), "nobody's memory"


class InferenceSession:
    """One of a module's; see `make_module`."""

    _module: Any
    _cuda: FakeCuda

    def __init__(
        self,
        path_or_bytes: bytes,
        sess_options: SessionOptions,
        providers: Sequence[tuple[str, Mapping[str, str]]],
        *,
        enable_fallback: int = 1,
    ) -> None:
        assert not enable_fallback, "would fall back to the CPU"
        assert sess_options._entries.get("session.disable_cpu_ep_fallback") == "1", (
            "would leave nodes to the CPU"
        )
        ((name, settings),) = providers
        assert name == PROVIDER
        settings = dict(settings)
        stream = settings.pop("user_compute_stream", None)
        assert stream != "0", "0 is no stream: it would run in one of its own"
        for key, value in settings.items():
            assert value in PROVIDER_OPTIONS[key], key
        assert settings.get("use_tf32") == "0", "TF32 is on if nobody switches it off"
        self._settings = settings
        self._stream = None if stream is None else self._cuda.stream(int(stream))
        if self._module.refusal is not None:
            raise RuntimeError(self._module.refusal)
        self._real = real.InferenceSession(
            path_or_bytes, sess_options, providers=["CPUExecutionProvider"]
        )
        self._module.sessions.append(self)

    def get_providers(self) -> list[str]:
        started = [] if self._module.provider_fails else [PROVIDER]
        return [*started, "CPUExecutionProvider"]

    def get_inputs(self) -> Any:
        return self._real.get_inputs()

    def get_outputs(self) -> Any:
        return self._real.get_outputs()

    def run(self, output_names: list[str], input_feed: dict[str, Any]) -> Any:
        assert self._stream is None, "copies on the caller's stream, and waits for it"
        return self._real.run(output_names, input_feed)

    def io_binding(self) -> IOBinding:
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions) -> None:
        assert iobinding._session is self, "the binding of another session"
        assert run_options._entries.get("disable_synchronize_execution_providers") == "1", "waits"
        assert self._stream is not None, "runs in a stream that is not the caller's"
        wanted = {port.name for port in self.get_inputs()}
        if iobinding._inputs.keys() != wanted:
            raise RuntimeError(f"Required inputs {sorted(wanted - iobinding._inputs.keys())}")
        assert iobinding._outputs, "no outputs"
        self._stream.put(self._work(dict(iobinding._inputs), dict(iobinding._outputs)))
        self._module.runs.append(self._stream.ptr)

    def _work(
        self, inputs: dict[str, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]]
    ) -> Callable[[], None]:
        def compute() -> None:
            binding = self._real.io_binding()
            for bind, ports in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
                for name, (element, shape, address) in ports.items():
                    size = int(np.prod(shape)) * np.dtype(element).itemsize
                    assert self._cuda.holds(address, size, "device"), (
                        f"the memory of {name} was given back"
                    )
                    bind(name, "cpu", 0, element, shape, address)
            self._real.run_with_iobinding(binding)

        return compute


def make_module(cuda: FakeCuda, providers: Sequence[str] = (PROVIDER,)) -> Any:
    """Makes a module of its own.

    Set `refusal` and no graph loads, `provider_fails` and sessions are left with the CPU, as the
    library does where cuDNN is missing. `sessions` are all that were made, `runs` the streams of
    all runs by binding.
    """
    module: Any = types.ModuleType("onnxruntime")
    module.__version__ = "1.31.1"
    module.get_available_providers = lambda: [*providers, "CPUExecutionProvider"]
    module.GraphOptimizationLevel = real.GraphOptimizationLevel
    module.SessionOptions = SessionOptions
    module.RunOptions = RunOptions
    module.preload_dlls = lambda: print("no cuDNN in site-packages")
    module.refusal = None
    module.provider_fails = False
    module.sessions = []
    module.runs = []
    module.InferenceSession = type(
        "InferenceSession", (InferenceSession,), {"_module": module, "_cuda": cuda}
    )
    return module
