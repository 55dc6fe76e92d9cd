"""One graph in PyTorch on arrays in a device's memory that another library owns."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch

from ...errors import EngineError
from .network import TorchNetwork
from .operator import Tensor
from .pools import drop_pools, make_pool

Shapes = Mapping[str, tuple[int, ...]]

_ALIGNMENT = 32  # bytes; up to here PyTorch tells cuDNN how an address is aligned


class DeviceTorchNetwork(TorchNetwork):
    """A `TorchNetwork` that is a `fcmrt.runner.DeviceNetwork` as well.

    PyTorch allocates from a pool of this network's own, and within it separately for each stream.
    So if a recording has a stream to itself, it has its memory to itself.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._cuda = self._placement.device.type == "cuda"
        self._pool = None
        if self._cuda:
            drop_pools()
            self._pool = make_pool(self)
        self._outputs: dict[tuple[tuple[str, tuple[int, ...]], ...], Any] = {}

    def on_device(self) -> DeviceTorchNetwork:
        """See `fcmrt.runner.DeviceCapable.on_device`; all users are given this one."""
        return self

    @property
    def capturable(self) -> bool:
        """See `DeviceNetwork`; a run that copies values from the host cannot be recorded."""
        return not self._program.reads_host

    @property
    def any_stream(self) -> bool:
        """See `DeviceNetwork`."""
        return True

    def outputs(self, inputs: Shapes) -> Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]:
        """See `DeviceNetwork.outputs`."""
        key = tuple(sorted(inputs.items()))
        if key not in self._outputs:
            drop_pools()
            zeros = {
                name: torch.zeros(shape, dtype=self._port_type(name)).numpy()
                for name, shape in inputs.items()
            }
            names = list(self._program.outputs)
            found = self.run(zeros, names)
            self._outputs[key] = {
                name: (array.shape, array.dtype) for name, array in zip(names, found, strict=True)
            }
        ports: Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]] = self._outputs[key]
        return ports

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        """See `DeviceNetwork.launch`."""
        self._check(inputs, list(outputs))
        try:
            try:
                self._launch(inputs, outputs, stream)
            except torch.OutOfMemoryError:
                if not self._cuda or self._recorded(stream):
                    raise
                # Not every version of PyTorch frees idle memory of other pools before it fails to
                # allocate from one.
                torch.cuda.empty_cache()
                self._launch(inputs, outputs, stream)
        except torch.OutOfMemoryError as error:
            raise self._no_memory(error) from error

    def _launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        with self._settings, torch.inference_mode(), self._in_stream(stream):
            registers = self._program.run(
                {name: self._placed(name, array) for name, array in inputs.items()}
            )
            for name, array in outputs.items():
                self._view(name, array).copy_(registers[self._program.outputs[name]])

    @contextlib.contextmanager
    def _in_stream(self, stream: int) -> Any:
        if not self._cuda:
            yield
            return
        with torch.cuda.use_mem_pool(self._pool), torch.cuda.stream(self._stream(stream)):
            yield

    def _recorded(self, stream: int) -> bool:
        """Whether launches into a stream are being recorded."""
        with torch.cuda.stream(self._stream(stream)):
            return bool(torch.cuda.is_current_stream_capturing())

    def _stream(self, address: int) -> Any:
        device = self._placement.device
        # Both addresses are the default stream, but PyTorch takes an external stream at 0 for one
        # of its own, and refuses one at 1.
        if address in (0, 1):
            return torch.cuda.default_stream(device)
        return torch.cuda.ExternalStream(address, device)

    def _view(self, name: str, array: Any) -> Tensor:
        """The array as a tensor, without a copy; it has the port's type."""
        tensor = torch.as_tensor(array, device="cuda") if self._cuda else torch.from_numpy(array)
        if tensor.dtype != self._port_type(name):
            raise EngineError(f"{self._place}: {name!r} is {tensor.dtype}")
        return tensor

    def _placed(self, name: str, array: Any) -> Tensor:
        value = self._placement.put(self._view(name, array))
        # A picture of a batch may begin anywhere. If cuDNN chose an algorithm by that, the last
        # bits would depend on the picture's place in the batch.
        return value if value.data_ptr() % _ALIGNMENT == 0 else value.clone()
