"""One graph in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch

from ...errors import DeviceError, EngineError
from ...onnxgraph import Graph
from ..ending import RUNS
from .operator import Tensor
from .program import Placement, Program
from .settings import Settings

# By TensorProto.DataType; float32 ports are float32 outside, whatever type the runner computes in.
_PORT_TYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool}


class TorchNetwork:
    """A graph, ready to run.

    Args:
        name: The graph's name in the engine.
        graph: The graph.
        placement: Where it runs.
        settings: Of PyTorch, while it runs.
        threads: Threads of one run; None: as many as PyTorch is set to.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        placement: Placement,
        settings: Settings,
        threads: int | None,
    ) -> None:
        self._place = f"graph {name!r}"
        self._types = {port.name: port.dtype for port in (*graph.inputs, *graph.outputs)}
        for port, dtype in self._types.items():
            if dtype not in _PORT_TYPES:
                raise EngineError(f"{self._place}: {port!r} has the element type {dtype}")
        self._placement = placement
        self._settings = settings
        self._threads = threads
        try:
            with RUNS, settings:
                self._program = Program(graph, placement, self._place)
        except torch.OutOfMemoryError as error:
            raise self._no_memory(error) from error

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`."""
        self._check(inputs, outputs)
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with RUNS, self._settings, torch.inference_mode():
                tensors = {name: self._take(name, array) for name, array in inputs.items()}
                registers = self._program.run(tensors)
                taken = {_memory(tensor) for tensor in tensors.values()}
                return [self._give(name, registers, taken) for name in outputs]
        except torch.OutOfMemoryError as error:
            raise self._no_memory(error) from error

    def _port_type(self, name: str) -> Any:
        """The `torch.dtype` in which a port's values come in or go out."""
        return _PORT_TYPES[self._types[name]]

    def _check(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> None:
        if inputs.keys() != self._program.inputs.keys():
            raise EngineError(
                f"{self._place} takes {sorted(self._program.inputs)}; given: {sorted(inputs)}"
            )
        for name in outputs:
            if name not in self._program.outputs:
                raise EngineError(f"{self._place} has no output {name!r}")

    def _take(self, name: str, array: npt.NDArray[Any]) -> Tensor:
        # PyTorch shares an array's memory only if it is writeable.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        if tensor.dtype != self._port_type(name):
            raise EngineError(f"{self._place}: input {name!r} is {array.dtype}")
        return self._placement.put(tensor)

    def _give(self, name: str, registers: list[Any], taken: set[int]) -> npt.NDArray[Any]:
        tensor = registers[self._program.outputs[name]]
        tensor = tensor.to("cpu", self._port_type(name)).contiguous()
        if _memory(tensor) in taken or _memory(tensor) in self._program.constants:
            tensor = tensor.clone()  # what the caller gets must share memory with nothing else
        taken.add(_memory(tensor))
        array: npt.NDArray[Any] = tensor.numpy()
        return array

    def _no_memory(self, error: Exception) -> DeviceError:
        return DeviceError(f"{self._place} does not fit {self._placement.device}: {error}")


def _memory(tensor: Tensor) -> int:
    """Returns the address of a tensor's storage, which other tensors may share."""
    address: int = tensor.untyped_storage().data_ptr()
    return address
