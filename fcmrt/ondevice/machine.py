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
"""Shape and element type of a graph's outputs, by name."""


class DeviceMachine:
    """Networks, tables and buffers of one engine on one device.

    Encoders and decoders of the same engine and options share one. Its networks have one user at a
    time: whoever launches holds the `turn`.

    Args:
        executor: The engine's; loads the networks.
        device: Where everything is done.
        options: The user's options.
    """

    def __init__(self, executor: Executor, device: Device, options: RuntimeOptions) -> None:
        self.executor = executor
        self.device = device
        self.manifest: Manifest = executor.manifest
        self.captures = options.cuda_graphs
        """Whether launches are recorded in CUDA graphs, where their networks can be."""
        self._tables: dict[str, CudaTables] = {}
        # `Executor.run` takes another way; a network that passes there need not pass here.
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
        """Lets one user launch, ordered after everything that the user before has launched.

        The order is needed because users share buffers, and what networks keep between runs, but
        may use different streams.
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
            side: Whether to encode or to decode.
            pictures: Number of pictures in the batch.
            elements: Number of elements in all latents of one picture.
            ways: What does it, by place.
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

        Only the few that were used last are kept. Call it in a turn; making them may wait.
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
        """Returns the tables of a latent; call it in a turn."""
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
        """Whether launches that are kept may be replayed in another stream."""
        network = self._first_network()
        return _in_memory(network) and network.on_device().any_stream

    def network(self, name: str) -> DeviceNetwork:
        """Returns a new handle on a graph's network, for the launches of batches of one size.

        Raises:
            ConfigError: The runner's networks only take arrays on the host.
        """
        network = self.executor.network(name)
        if not _in_memory(network):
            raise ConfigError(
                f"the runner of graph {name!r} ({self.executor.identity}) does not read the GPU's "
                "memory, which coder='cuda' needs; ask for coder='cpu', or for another runner"
            )
        return network.on_device()

    def prepare(self, network: DeviceNetwork, step: Run, shapes: Shapes) -> Outputs:
        """Prepares a graph's network for inputs of these shapes; may wait.

        A network of the exact path is checked (`RunnerCheck`), launched as it will be.

        Args:
            network: The graph's.
            step: Names the graph, and its outputs.
            shapes: Shapes of the inputs, for one picture.

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
    """Makes a device's network take and return arrays on the host; waits."""

    def __init__(self, device: Device, network: DeviceNetwork) -> None:
        self._device = device
        self._network = network

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        device = self._device
        ports = self._network.outputs({name: array.shape for name, array in inputs.items()})
        given = {name: device.upload(np.ascontiguousarray(a)) for name, a in inputs.items()}
        found: dict[str, DeviceArray] = {name: device.zeros(*port) for name, port in ports.items()}
        self._network.launch(given, found, device.stream)
        return device.fetch(*(found[name] for name in outputs))()


def _in_memory(network: Network) -> TypeGuard[DeviceCapable]:
    return hasattr(network, "on_device")


def make_device() -> Device:
    """Returns the GPU that CuPy has chosen.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """
    from ..kernels.cuda.cupy_device import CupyDevice

    return CupyDevice()


def machine_for(executor: Executor, options: RuntimeOptions) -> DeviceMachine | None:
    """Returns the machine that all encoders and decoders of an engine share.

    None if the coder runs on the host: because the options say so, or because they leave it open
    and CuPy is not installed or the runner cannot read a GPU's memory.

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
