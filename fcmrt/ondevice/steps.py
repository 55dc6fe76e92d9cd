"""The quantiser steps of a batch in a device's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..kernels.api import StepMap
from ..kernels.cuda.device import DeviceArray
from ..kernels.cuda.values import Steps, step_table
from ..manifest import Manifest
from ..spec import UNIT_STEP, Size, count_elements
from ..step_maps import StepMaps
from .machine import DeviceMachine

_TABLE = 256  # steps that a table of the kernels holds


class PictureStep(NamedTuple):
    """The quantiser steps of a picture."""

    number: int
    """The picture's step number, `d`."""
    maps: StepMaps | None
    """Where the step differs from `d`; None: nowhere."""


class StepsKey(NamedTuple):
    """What the launches depend on of a batch's steps; the rest is read on the device."""

    block: int
    """Which block of 256 of the engine's steps holds those of all pictures."""
    mapped: bool
    """Whether elements have steps of their own."""


def steps_key(manifest: Manifest, step: PictureStep) -> StepsKey:
    """Returns the key of a picture's steps; pictures with equal keys may share a batch."""
    gains = manifest.quality.input is not None
    block = 0 if gains else (step.number - manifest.steps.first) // _TABLE
    return StepsKey(block, step.maps is not None)


class BatchSteps:
    """The steps of a batch of pictures; `load` replaces them by those of the next batch.

    Args:
        machine: The engine, ready to run.
        padded: Size of the padded finest level, in cells.
        packets: Number of packets in the batch.
        key: The same for all pictures.
    """

    def __init__(self, machine: DeviceMachine, padded: Size, packets: int, key: StepsKey) -> None:
        manifest, self._device = machine.manifest, machine.device
        self._manifest = manifest
        first = manifest.steps.first + _TABLE * key.block
        widths = manifest.steps.values[_TABLE * key.block :][:_TABLE]
        self._table = self._device.upload(step_table(first, np.array(widths, np.uint32)))
        one = step_table(0, np.array([UNIT_STEP], np.uint32))
        self._zeros = self._device.zeros((packets,), np.int32)
        self._unit = Steps(self._device.upload(one), None, self._zeros)
        self._numbers = self._device.zeros((packets,), np.int32)
        self.position: DeviceArray | None = None
        """float32 `[packets, 1, 1, 1]`; None: no graph reads it."""
        if manifest.quality.input is not None:
            self.position = self._device.zeros((packets, 1, 1, 1), np.float32)
        self._maps = {
            name: self._device.zeros((packets, max(1, count)), np.int8)
            for name, latent in manifest.latents.items()
            if key.mapped and latent.step
            for count in [count_elements(latent, manifest.tensors[latent.source], padded)]
        }

    def load(self, pictures: Sequence[PictureStep]) -> None:
        """Copies the steps of all pictures to the device."""
        write = self._device.write
        write(self._numbers, np.array([picture.number for picture in pictures], np.int32))
        if self.position is not None:
            positions = [self._manifest.quality.position(p.number) for p in pictures]
            write(self.position, np.array(positions, np.float32).reshape(-1, 1, 1, 1))
        for name, array in self._maps.items():
            rows = np.zeros(array.shape, np.int8)
            for row, picture in zip(rows, pictures, strict=True):
                steps = picture.number if picture.maps is None else picture.maps.steps(name)
                if isinstance(steps, StepMap):
                    row[: len(steps.numbers)] = steps.numbers
                else:
                    row[:] = steps
            write(array, rows)

    def of(self, name: str) -> Steps:
        """Returns the steps of a latent."""
        if not self._manifest.latents[name].step:
            return self._unit
        if name in self._maps:
            return Steps(self._table, self._maps[name], None)
        return Steps(self._table, None, self._numbers)

    def shifts(self, name: str) -> tuple[DeviceArray | None, DeviceArray | None]:
        """Returns what to subtract from a latent's table indexes: by packet, or by element."""
        latent = self._manifest.latents[name]
        if latent.indexes is None or not latent.step:
            return self._zeros, None
        if name in self._maps:
            return None, self._maps[name]
        return self._numbers, None
