"""Networks on ONNX Runtime, on a CUDA device."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError, EngineError
from ..gpu import first_device
from .cuda_memory import address_of, shape_of
from .onnxrt import OnnxRuntimeNetwork, import_onnxruntime, session_options

_PROVIDER = "CUDAExecutionProvider"
_DEVICE, _NUMBER = "cuda", 0

Ports = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and element type of inputs or outputs, by name."""


class OnnxRuntimeCudaRunner:
    """Runs graphs with ONNX Runtime's CUDA provider, on the first GPU.

    Nothing falls back to the CPU: a graph with a node that the provider lacks is refused. Float32
    products do not use TF32, unless cuDNN has no other algorithm for a convolution.

    For exact graphs, convolutions come from cuDNN's fallback list with little workspace, which has
    plain sums of products; for others, cuDNN's heuristics choose. Neither proves anything: the
    check before a graph's first run finds out whether it is exact here.

    Args:
        options: `threads` and `optimise` have an effect here.

    Raises:
        BackendUnavailableError: ONNX Runtime is not installed, or without its CUDA provider.
        DeviceError: There is no GPU.
    """

    name = "onnxruntime"

    def __init__(self, options: RuntimeOptions) -> None:
        self._onnxruntime = import_onnxruntime()
        known = self._onnxruntime.get_available_providers()
        if _PROVIDER not in known:
            raise BackendUnavailableError(
                f"device 'cuda': ONNX Runtime {self._onnxruntime.__version__} is installed without "
                f"{_PROVIDER} (it has {', '.join(known)}); to replace it: pip uninstall -y "
                "onnxruntime; pip install 'fcmrt[cuda]'"
            )
        self._options = options
        self._device = first_device()
        _load_cuda_libraries(self._onnxruntime)

    @property
    def identity(self) -> str:
        """See `fcmrt.runner.Runner.identity`."""
        return (
            f"onnxruntime {self._onnxruntime.__version__}, cuda {self._device}, "
            f"{'optimised' if self._options.optimise else 'not optimised'}, in the graph's "
            "precision, float32 without TF32"
        )

    def load(self, name: str, graph: bytes, *, exact: bool) -> OnnxRuntimeCudaNetwork:
        """See `fcmrt.runner.Runner.load`."""
        settings = {
            "device_id": str(_NUMBER),
            "use_tf32": "0",
            "cudnn_conv_algo_search": "DEFAULT" if exact else "HEURISTIC",
            "cudnn_conv_use_max_workspace": "0" if exact else "1",
        }
        return OnnxRuntimeCudaNetwork(name, graph, self._onnxruntime, self._options, settings)


class OnnxRuntimeCudaNetwork:
    """A graph on the GPU; see `fcmrt.runner.Network`.

    Args:
        name: The graph's name in the engine.
        graph: The graph, an ONNX model.
        onnxruntime: The library.
        options: The caller's.
        settings: Of the CUDA provider.
    """

    def __init__(
        self,
        name: str,
        graph: bytes,
        onnxruntime: Any,
        options: RuntimeOptions,
        settings: Mapping[str, str],
    ) -> None:
        self.place = f"graph {name!r} in ONNX Runtime"
        self.onnxruntime = onnxruntime
        self._graph = graph
        self._options = options
        self._settings = settings
        session = self.session()
        self.inputs = tuple(port.name for port in session.get_inputs())
        self.outputs = tuple(port.name for port in session.get_outputs())
        self._host = OnnxRuntimeNetwork(name, session)

    def session(self, stream: int | None = None) -> Any:
        """Loads the graph once more.

        Args:
            stream: The CUDA stream of all its runs; None: one of its own.

        Raises:
            EngineError: The CUDA provider cannot run the whole graph.
        """
        settings = dict(self._settings)
        if stream is not None:
            # To the library 0 means none given; to CUDA 1 is the default stream, as 0 is.
            settings["user_compute_stream"] = str(stream or 1)
        options = session_options(self.onnxruntime, self._options)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = self.onnxruntime.InferenceSession(
                self._graph, options, providers=[(_PROVIDER, settings)], enable_fallback=0
            )
        except Exception as error:  # the library's exceptions share no base but Exception
            raise EngineError(
                f"{self.place} cannot run on the GPU alone: {error}; the runner 'torch' may be "
                "able to run it there"
            ) from error
        if _PROVIDER not in session.get_providers():
            raise EngineError(
                f"{self.place}: {_PROVIDER} did not start; `fcmrt doctor` says what is installed, "
                "and ONNX Runtime's documentation which CUDA and cuDNN it needs"
            )
        return session

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`; ONNX Runtime copies to the device and back."""
        return self._host.run(inputs, outputs)

    def on_device(self) -> OnnxRuntimeDeviceNetwork:
        """See `fcmrt.runner.DeviceCapable.on_device`."""
        return OnnxRuntimeDeviceNetwork(self)


class OnnxRuntimeDeviceNetwork:
    """A graph on arrays in the device's memory; see `fcmrt.runner.DeviceNetwork`.

    A session keeps the stream that it was made with. So this network belongs to the stream of its
    first launch, which loads the graph once more; other streams are refused.

    Args:
        network: The graph.
    """

    def __init__(self, network: OnnxRuntimeCudaNetwork) -> None:
        self._network = network
        self._known: dict[tuple[tuple[str, tuple[int, ...]], ...], Ports] = {}
        self._session: Any = None
        self._binding: Any = None
        self._stream: int | None = None
        options = network.onnxruntime.RunOptions()
        # Otherwise the library waits for the stream at the end of a run.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._run_options = options

    @property
    def capturable(self) -> bool:
        """See `fcmrt.runner.DeviceNetwork.capturable`."""
        return False

    @property
    def any_stream(self) -> bool:
        """See `fcmrt.runner.DeviceNetwork.any_stream`."""
        return False

    def outputs(self, inputs: Mapping[str, tuple[int, ...]]) -> Ports:
        """See `fcmrt.runner.DeviceNetwork.outputs`; runs the graph once, on zeros."""
        key = _key(inputs)
        if key not in self._known:
            zeros = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
            names = self._network.outputs
            found = self._network.run(zeros, names)
            self._known[key] = {
                name: (array.shape, array.dtype) for name, array in zip(names, found, strict=True)
            }
        return dict(self._known[key])

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        """See `fcmrt.runner.DeviceNetwork.launch`."""
        place = self._network.place
        shapes = {name: shape_of(name, array, place) for name, array in inputs.items()}
        results = self._known.get(_key(shapes))
        if results is None:
            raise EngineError(f"{place}: `outputs` was not called for inputs of {shapes}")
        unknown = sorted(outputs.keys() - results.keys())
        if unknown or not outputs:
            raise EngineError(f"{place} has the outputs {sorted(results)}; given: {unknown}")
        self._settle(stream)
        binding = self._binding
        binding.clear_binding_inputs()
        binding.clear_binding_outputs()
        single = np.dtype(np.float32)
        for name, shape in shapes.items():
            address = address_of(name, inputs[name], shape, single, place)
            binding.bind_input(name, _DEVICE, _NUMBER, single.type, shape, address)
        for name, array in outputs.items():
            shape, dtype = results[name]
            address = address_of(name, array, shape, dtype, place)
            binding.bind_output(name, _DEVICE, _NUMBER, dtype.type, shape, address)
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception as error:  # the library's exceptions share no base but Exception
            raise EngineError(f"{place} failed: {error}") from error

    def _settle(self, stream: int) -> None:
        """Loads the graph for the stream of the first launch; refuses any other stream."""
        if self._session is None:
            self._session = self._network.session(stream)
            self._binding = self._session.io_binding()
            self._stream = stream
        elif stream != self._stream:
            raise EngineError(
                f"{self._network.place} runs in the stream {self._stream:#x}, which its session "
                f"keeps, and was given {stream:#x}: use another network for it (`on_device`)"
            )


def _load_cuda_libraries(onnxruntime: Any) -> None:
    """Loads CUDA and cuDNN from pip's packages if they are there, not only from the system."""
    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            preload()


def _key(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((name, tuple(shape)) for name, shape in shapes.items()))
