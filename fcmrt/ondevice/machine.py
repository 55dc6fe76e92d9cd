"""An engine made ready to run in a device's memory."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError, ConfigError
from ..exact import cache_folder
from ..executor import Executor
from ..kernels.cuda.device import Device, DeviceArray, Mark
from ..kernels.cuda.prepared import CudaTables
from ..manifest import Manifest
from ..processor import describe_processor
from ..runner import DeviceCapable, DeviceNetwork, Network
from ..runner_check import RunnerCheck, Shapes
from ..schedule import Run, Side
from ..spec import LatentSpec
from .placement import Place, Placements, Question

Result = TypeVar("Result")

_KEPT = 8

Outputs = Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]


class DeviceMachine:
    """Networks, tables and turns of one engine on one device.

    Encoders and decoders of the same engine and options share one. Its networks have one user at a
    time: whoever launches has the `turn`.

    Args:
        executor: Of the engine; loads the networks.
        device: Where everything is done.
        options: How.
    """

    def __init__(self, executor: Executor, device: Device, options: RuntimeOptions) -> None:
        self.executor = executor
        self.device = device
        self.manifest: Manifest = executor.manifest
        self.captures = options.cuda_graphs
        """Whether launches are recorded in CUDA graphs, where their networks can be."""
        self._tables: dict[str, CudaTables] = {}
        # Not the way of `Executor.run`: what passes in one need not in the other.
        self._check = RunnerCheck(
            executor.engine,
            lambda name, shapes: f"{executor.identity_of(name, shapes)}, in the device's memory",
            cache_folder(options.cache_dir),
        )
        self._coder = options.coder
        self._placements = Placements(cache_folder(options.cache_dir))
        self._lock = threading.Lock()
        self._last: Mark | None = None
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._retired: list[Any] = []  # launches may still read and write them

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Lets one user launch, after all that the one before has launched.

        Buffers and what networks keep between runs are used again, maybe in another stream.
        """
        with self._lock:
            if self._last is not None:
                self.device.after(self._last)
                if self._retired:
                    self.device.wait(self._last)
            self._retired.clear()
            try:
                yield
            finally:
                self._last = self.device.mark()

    def quicker(
        self,
        side: Side,
        pictures: int,
        elements: int,
        ways: Mapping[Place, Callable[[], Result]],
    ) -> Result:
        """Codes where the options say; with "auto", where it is quicker (`Placements.run`).

        Args:
            side: Which way.
            pictures: Of the batch.
            elements: Of all latents of one picture.
            ways: How it is done.
        """
        if self._coder != "auto":
            return ways["cuda"]()
        kernels = self.executor.kernels
        question = Question(
            side,
            self.executor.engine.digest_hex,
            f"{self.device.name}; {self.executor.identity}; {describe_processor()}; "
            f"{kernels.name}, {kernels.threads} threads; graphs: {self.captures}",
            pictures,
            elements,
        )
        return self._placements.run(question, ways, lambda: self.device.wait(self.device.mark()))

    def kept(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Returns the buffers and launches for a key, making them if they are not there.

        The few that were asked for last are kept. Asked for in a turn; making may wait.
        """
        if not self._any_stream:
            key = (key, self.device.stream)
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._retired.append(self._kept.popitem(last=False))
        self._kept.move_to_end(key)
        found: Result = self._kept[key]
        return found

    def tables(self, latent: LatentSpec) -> CudaTables:
        """Returns the tables of a latent; asked for in a turn."""
        name = latent.tables
        if name not in self._tables:
            self._tables[name] = CudaTables(self.executor.engine.tables(name), self.device)
        return self._tables[name]

    def runs(self) -> bool:
        """Whether the runner's networks read and write the device's memory."""
        return _in_memory(self._first_network())

    def _first_network(self) -> Network:
        run = next(step for step in self.manifest.decode if isinstance(step, Run))
        return self.executor.network(run.graph)

    @functools.cached_property
    def _any_stream(self) -> bool:
        """Whether launches that are kept may be made in another stream than before."""
        network = self._first_network()
        return _in_memory(network) and network.on_device().any_stream

    def network(self, name: str) -> DeviceNetwork:
        """Returns the network of a graph, for the launches of batches of one size.

        Raises:
            ConfigError: The runner's networks take arrays of the host.
        """
        network = self.executor.network(name)
        if not _in_memory(network):
            raise ConfigError(
                f"the runner of graph {name!r} ({self.executor.identity}) does not read the GPU's "
                "memory, which coder='cuda' needs; ask for coder='cpu', or for another runner"
            )
        return network.on_device()

    def prepare(self, network: DeviceNetwork, step: Run, shapes: Shapes) -> Outputs:
        """Makes a graph's network ready for inputs of such shapes; may wait.

        One of the exact path is checked (`RunnerCheck`), launched as it will be.

        Args:
            network: The graph's.
            step: Names the graph, and its outputs.
            shapes: Of the inputs, each of one picture.

        Returns:
            Shape and element type of the outputs.

        Raises:
            InexactRunnerError: The check failed.
            EngineError: The graph does not accept the inputs.
        """
        check = _HostArrays(self.device, network)
        self._check.require(step.graph, check, shapes, step.outputs)
        return network.outputs(shapes)


class _HostArrays:
    """A device's network as one that takes arrays of the host; waits."""

    def __init__(self, device: Device, network: DeviceNetwork) -> None:
        self._device = device
        self._network = network

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        device = self._device
        told = self._network.outputs({name: array.shape for name, array in inputs.items()})
        given = {name: device.upload(np.ascontiguousarray(a)) for name, a in inputs.items()}
        found: dict[str, DeviceArray] = {name: device.zeros(*port) for name, port in told.items()}
        self._network.launch(given, found, device.stream)
        return device.fetch(*(found[name] for name in outputs))()


def _in_memory(network: Network) -> TypeGuard[DeviceCapable]:
    return hasattr(network, "on_device")


def make_device() -> Device:
    """The GPU that CuPy has chosen.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """
    from ..kernels.cuda.cupy_device import CupyDevice

    return CupyDevice()


def machine_for(executor: Executor, options: RuntimeOptions) -> DeviceMachine | None:
    """Returns the machine that all encoders and decoders of an engine share.

    None where the coder is on the host: if the options say so, and if they leave it open and CuPy
    is not installed or the runner does not read a GPU's memory.

    Raises:
        BackendUnavailableError, DeviceError: As `make_device`.
    """
    if options.device == "cpu" or options.coder == "cpu":
        return None
    try:
        machine = executor.engine.shared(
            ("on device", options), lambda: DeviceMachine(executor, make_device(), options)
        )
    except BackendUnavailableError:
        if options.coder == "auto":
            return None
        raise
    return machine if options.coder == "cuda" or machine.runs() else None
