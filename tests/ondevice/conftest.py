"""Encoders and decoders on the emulator, whose networks the host runs in the device's arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions, executor
from fcmrt.ondevice import machine
from fcmrt.onnxgraph import read_graph
from fcmrt.runner import make_runner
from tests import engines, level_engine
from tests.simt.emulator import EmulatedDevice, EmulatorError, build

HOST = RuntimeOptions(threads=1)

RECORDED = 0xC0
"""The stream in which launches are recorded; not the caller's, as on a GPU."""

PARTS: dict[str, Callable[[], engines.EngineParts]] = {
    "hyperprior": engines.hyperprior_parts,
    "context": engines.context_parts,
    "levels": level_engine.level_parts,
    "factorized": engines.factorized_parts,
    "gain": engines.gain_parts,
}


class StrictDevice(EmulatedDevice):
    """The emulator, which fails if the host waits between a call's first launch and its last."""

    def __init__(self) -> None:
        super().__init__(build())
        self.replays = 0
        self.begin()

    def begin(self, strict: bool = False) -> None:
        """Begins a call."""
        self.launched = self.waited = 0
        self._strict = strict

    @property
    def capturing(self) -> bool:
        """Whether this thread's launches are recorded."""
        return self._recorded is not None

    def _note_launch(self) -> None:
        self.launched += 1
        if self._strict and self.waited:
            raise EmulatorError("the host waited between launches")

    def _note_wait(self) -> None:
        self.waited += self.launched > 0

    def do(self, work: Callable[[], None]) -> None:
        super().do(lambda: (self._note_launch(), work())[1])

    def write(self, target: Any, values: Any) -> None:
        self._note_launch()
        super().write(target, values)

    def fetch(self, *arrays: Any) -> Callable[[], list[npt.NDArray[Any]]]:
        get = super().fetch(*arrays)

        def wait() -> list[npt.NDArray[Any]]:
            self._note_wait()
            return get()

        return wait

    def wait(self, mark: None) -> None:
        self._note_wait()
        super().wait(mark)

    def capture(self, launches: Callable[[], None]) -> Any:
        caller, device = self.stream, self
        self.stream = RECORDED
        try:
            recording = super().capture(launches)
        finally:
            self.stream = caller

        class Counted:
            def replay(self) -> None:
                device.replays += 1
                recording.replay()

        return Counted()


class HostNetwork:
    """A network of the host that reads and writes the emulator's arrays when it is its turn."""

    capturable = any_stream = True

    def __init__(self, network: Any, names: Sequence[str], device: StrictDevice) -> None:
        self._network = network
        self._names = names
        self._device = device

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> Any:
        return self._network.run(inputs, outputs)

    def on_device(self) -> HostNetwork:
        return self

    def outputs(self, inputs: Mapping[str, tuple[int, ...]]) -> Any:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
        found = self._network.run(zeros, self._names)
        pairs = zip(self._names, found, strict=True)
        return {name: (array.shape, array.dtype) for name, array in pairs}

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        assert stream == self._device.stream
        assert self.capturable or not self._device.capturing, "it cannot be recorded"
        for array in (*inputs.values(), *outputs.values()):
            assert array.flags.c_contiguous
            assert array.shape[0] == 1

        def work() -> None:
            found = self._network.run(inputs, list(outputs))
            for target, array in zip(outputs.values(), found, strict=True):
                assert (target.shape, target.dtype) == (array.shape, array.dtype)
                target[...] = array

        self._device.do(work)


class OnDevice:
    """What the tests know of the device that encoders and decoders are given."""

    def __init__(self, device: StrictDevice, options: RuntimeOptions) -> None:
        self.device = device
        self.options = options

    def encoder(self, engine: Engine, **arguments: Any) -> Encoder:
        return Encoder(engine, options=self.options, **arguments)

    def decoder(self, engine: Engine, **arguments: Any) -> Decoder:
        return Decoder(engine, options=self.options, **arguments)


@pytest.fixture(scope="session")
def strict_device() -> StrictDevice:
    return StrictDevice()


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ondevice")


@pytest.fixture
def there(
    monkeypatch: pytest.MonkeyPatch, strict_device: StrictDevice, _cache: Path
) -> Iterator[OnDevice]:
    """Engines that are loaded while this is there run on the emulator, if asked to."""

    class Runner:
        def __init__(self, options: RuntimeOptions) -> None:
            self._runner = make_runner(HOST)
            self.name = "host"
            self.identity = f"{self._runner.identity}, for {options.device}"

        def load(self, name: str, graph: bytes, *, exact: bool) -> HostNetwork:
            network = self._runner.load(name, graph, exact=exact)
            names = [port.name for port in read_graph(graph, name).outputs]
            return HostNetwork(network, names, strict_device)

    def make(options: RuntimeOptions) -> Any:
        return Runner(options) if options.device == "cuda" else make_runner(options)

    monkeypatch.setattr(executor, "make_runner", make)
    monkeypatch.setattr(machine, "make_device", lambda: strict_device)
    strict_device.begin()
    options = RuntimeOptions(
        device="cuda", runner="torch", coder="cuda", threads=1, cache_dir=str(_cache)
    )
    yield OnDevice(strict_device, options)
    strict_device.begin()


@pytest.fixture(params=PARTS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each kind of engine, loaded anew, so that no encoder of another device is shared."""
    return Engine.load(PARTS[request.param]().pack())


class Resident:
    """Stands for an array of another library in the device's memory, as pycuda's `GPUArray`.

    It has a pointer, `gpudata`, and tells of itself by `__cuda_array_interface__` alone.
    """

    def __init__(self, device: EmulatedDevice, array: npt.NDArray[Any]) -> None:
        self._memory = device.upload(array)
        self.gpudata = self._memory.ctypes.data
        self.shape, self.dtype = array.shape, array.dtype
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.gpudata, False),
            "strides": self._memory.strides,
            "stream": None,
            "version": 3,
        }

    def get(self) -> npt.NDArray[Any]:
        return np.array(self._memory)
