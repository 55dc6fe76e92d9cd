"""The protocols of libraries that run networks, and how one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from .config import RuntimeOptions


class Network(Protocol):
    """One graph, ready to run; safe to be run by several threads at once."""

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs the graph once.

        Args:
            inputs: By name, `[1, C, H, W]`, C-contiguous; borrowed until the call returns.
            outputs: Names of the outputs wanted.

        Returns:
            The outputs in the order asked for; owned by the caller.

        Raises:
            EngineError: The graph does not accept the inputs, or fails on them.
        """


class DeviceNetwork(Protocol):
    """One graph that reads and writes a device's memory; for one user at a time."""

    @property
    def capturable(self) -> bool:
        """Whether `launch` may be recorded in a CUDA graph, at the shapes prepared last.

        The recording may be replayed as long as the network lives and, unless `any_stream`, is not
        prepared again; each replay must come after all earlier runs of the network.
        """

    @property
    def any_stream(self) -> bool:
        """Whether it runs at all shapes that it was prepared for, in any stream.

        Otherwise it runs only in the stream of its first launch, and maybe only at the shapes
        prepared last.
        """

    def outputs(
        self, inputs: Mapping[str, tuple[int, ...]]
    ) -> Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]:
        """Prepares for inputs of these shapes; may take long, and wait for the device.

        Returns:
            Shape and element type of every output, by name.

        Raises:
            EngineError: The graph does not accept the inputs.
        """

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        """Puts one run into a stream, and does not wait for it.

        Args:
            inputs: By name, `[1, C, H, W]`, C-contiguous arrays in the device's memory with
                `__cuda_array_interface__`, of shapes that `outputs` was asked for; borrowed until
                the run is over.
            outputs: Likewise, to be written, of the shapes and types that `outputs` gave.
            stream: The CUDA stream, as an address.

        Raises:
            EngineError: The library refuses; the outputs are undefined then.
        """


class DeviceCapable(Protocol):
    """A network that can also run in a device's memory."""

    def on_device(self) -> DeviceNetwork:
        """Returns the graph for one user, who keeps it until its runs are over.

        Raises:
            BackendUnavailableError, DeviceError: A library or a GPU that it needs is missing.
        """


@runtime_checkable
class Particular(Protocol):
    """A network whose results depend on more than its runner's identity says."""

    def particulars(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """Returns what else the last bits depend on for inputs of these shapes, in words."""


def identity_of(runner: Runner, network: Network, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Returns everything that the results of one network depend on, in words."""
    if isinstance(network, Particular):
        return f"{runner.identity}, {network.particulars(shapes)}"
    return runner.identity


class Runner(Protocol):
    """A library that turns graphs into networks."""

    name: str

    @property
    def identity(self) -> str:
        """What the last bits of a float network depend on, in words.

        Library, version, device and instruction set or GPU, threads, optimisations, precision.
        """

    def load(self, name: str, graph: bytes, *, exact: bool) -> Network:
        """Prepares one graph.

        Args:
            name: The graph's name in the engine, for errors.
            graph: An ONNX model, already checked by `Engine`.
            exact: Whether it is on an engine's exact path: sums of integers that float32 holds. It
                never runs in a narrower type, whatever `RuntimeOptions.precision` says.

        Raises:
            EngineError: The library cannot run the graph.
        """


def make_runner(options: RuntimeOptions) -> Runner:
    """Makes the runner that the options ask for, and no other.

    Raises:
        BackendUnavailableError: Its library is not installed.
        DeviceError: The device is not there.
    """
    if options.runner == "torch":
        from .runners.torchrt import TorchRunner

        return TorchRunner(options)
    if options.runner == "reference":
        from .runners.reference import ReferenceRunner

        return ReferenceRunner()
    if options.runner == "tensorrt":
        from .runners.tensorrt import TensorRTRunner

        return TensorRTRunner(options)
    if options.device == "cuda":
        from .runners.onnxrt_cuda import OnnxRuntimeCudaRunner

        return OnnxRuntimeCudaRunner(options)
    from .runners.onnxrt import OnnxRuntimeRunner

    return OnnxRuntimeRunner(options)
