"""Host arrays through a network that works in the device's memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from ..runner import DeviceNetwork
from .cuda_memory import CudaMemory, download, upload

_MOST_IDLE = 8


class StagedRuns:
    """Copies host arrays to the device, runs a network, and copies the results back.

    Each of several concurrent runs has a lane of its own: a device network, a stream, and pinned
    memory to copy through, ready for one set of shapes. The last eight lanes are kept.

    Args:
        place: What runs, for errors.
        memory: The GPU's.
        make: Makes a device network for one more lane.
    """

    def __init__(self, place: str, memory: CudaMemory, make: Callable[[], DeviceNetwork]) -> None:
        self._place = place
        self._memory = memory
        self._make = make
        self._idle: list[_Lane] = []
        self._lock = threading.Lock()

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`; waits once, at the end."""
        shapes = {name: array.shape for name, array in inputs.items()}
        with self._memory.device():
            lane = self._take(shapes)
            # A lane whose run has failed is not used again.
            results = lane.run(inputs, outputs)
        with self._lock:
            self._idle = [*self._idle, lane][-_MOST_IDLE:]
        return results

    def _take(self, shapes: Mapping[str, tuple[int, ...]]) -> _Lane:
        """Takes an idle lane that is ready for these shapes, or makes one."""
        with self._lock:
            for lane in self._idle:
                if lane.shapes == shapes:
                    self._idle.remove(lane)
                    return lane
        return _Lane(self._place, self._memory, self._make())


class _Lane:
    """All that one run needs to itself; for one thread at a time."""

    def __init__(self, place: str, memory: CudaMemory, network: DeviceNetwork) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._place = place
        self._memory = memory
        self._network = network
        self._stream = memory.stream()
        self._host: dict[str, npt.NDArray[Any]] = {}
        self._device: dict[str, Any] = {}
        self._types: dict[str, np.dtype[Any]] = {}
        self._results: tuple[str, ...] = ()

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        types = {name: array.dtype for name, array in inputs.items()}
        shapes = {name: array.shape for name, array in inputs.items()}
        if (shapes, types) != (self.shapes, self._types):
            self._prepare(shapes, types)
        for name in outputs:
            if name not in self._results:
                raise EngineError(f"{self._place} has no output {name!r}")
        try:
            for name, array in inputs.items():
                np.copyto(self._host[name], array)
                upload(self._host[name], self._device[name], self._stream)
            self._network.launch(
                {name: self._device[name] for name in inputs},
                {name: self._device[name] for name in self._results},
                self._stream.ptr,
            )
            for name in outputs:
                download(self._device[name], self._host[name], self._stream)
        finally:
            # The memory must not be freed or reused before what is in the stream is done with it.
            self._stream.synchronize()
        return [self._host[name].copy() for name in outputs]

    def _prepare(self, shapes: dict[str, tuple[int, ...]], types: dict[str, np.dtype[Any]]) -> None:
        self.shapes, self._types = {}, {}  # until all is ready, in case something fails
        results = self._network.outputs(shapes)
        ports = {name: (shape, types[name]) for name, shape in shapes.items()} | dict(results)
        self._host = {name: self._memory.pinned(*port) for name, port in ports.items()}
        self._device = {
            name: self._memory.empty(shape, dtype, self._stream)
            for name, (shape, dtype) in ports.items()
        }
        self._results = tuple(results)
        self.shapes, self._types = shapes, types
