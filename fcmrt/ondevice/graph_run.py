"""Runs a graph over a batch of pictures, one picture at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import EngineError
from ..kernels.cuda.device import DeviceArray
from ..kernels.cuda.planes import place_planes
from ..schedule import Run
from ..spec import Size, tensor_size
from .machine import DeviceMachine

Tensors = dict[str, DeviceArray]
"""By name, `[packets, C, H, W]`."""


class GraphRun:
    """The runs of one step of a schedule, between arrays of a batch.

    Args:
        machine: The engine, ready to run.
        step: The step.
        tensors: Holds the inputs; the outputs are added to it.
        padded: Size of the padded finest level, in cells.
        packets: Number of packets in the batch.

    Raises:
        InexactRunnerError: The graph is not exact at this size.
        EngineError: An output is not as the manifest says.
    """

    def __init__(
        self, machine: DeviceMachine, step: Run, tensors: Tensors, padded: Size, packets: int
    ) -> None:
        self._device = machine.device
        self._network = machine.network(step.graph)
        self._packets = packets
        self._inputs = {name: tensors[name] for name in step.inputs}
        shapes = {name: (1, *array.shape[1:]) for name, array in self._inputs.items()}
        ports = machine.prepare(self._network, step, shapes)
        self.capturable = self._network.capturable
        self._outputs: Tensors = {}
        self._cropped: Tensors = {}
        for name in step.outputs:
            spec = machine.manifest.tensors[name]
            shape, dtype = ports[name]
            wanted = (1, spec.channels, *tensor_size(spec, padded))
            holds = len(shape) == 4 and all(
                side >= least for side, least in zip(shape[2:], wanted[2:], strict=True)
            )
            if np.dtype(dtype) != spec.dtype or shape[:2] != wanted[:2] or not holds:
                raise EngineError(
                    f"tensor {name!r} comes out as {np.dtype(dtype)} {list(shape)}; the manifest "
                    f"says {spec.dtype} {list(wanted)}"
                )
            tensors[name] = machine.device.zeros((packets, *wanted[1:]), spec.dtype)
            self._outputs[name] = tensors[name]
            if shape != wanted:
                self._cropped[name] = tensors[name]
                self._outputs[name] = machine.device.zeros((packets, *shape[1:]), spec.dtype)
        for name in ports.keys() - self._outputs.keys():  # some libraries write all or nothing
            shape, dtype = ports[name]
            self._outputs[name] = machine.device.zeros((packets, *shape[1:]), dtype)

    def launch(self) -> None:
        """Runs the graph for every picture."""
        for n in range(self._packets):
            self._network.launch(
                _picture(self._inputs, n), _picture(self._outputs, n), self._device.stream
            )
        for name, target in self._cropped.items():
            place_planes(self._device, self._outputs[name], target)


def _picture(tensors: Mapping[str, DeviceArray], n: int) -> Tensors:
    return {name: array[n : n + 1] for name, array in tensors.items()}
