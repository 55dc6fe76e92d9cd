"""A latent of a batch of pictures: a row of elements for each picture, in coding order."""

from __future__ import annotations

import numpy as np

from ..elements import elements_of
from ..kernels.api import index_dtype
from ..kernels.cuda import planes, values
from ..kernels.cuda.batch_decoder import BatchDecoder
from ..kernels.cuda.batch_encoder import BatchStep
from ..kernels.cuda.device import DeviceArray
from ..kernels.cuda.elements import Elements
from ..spec import Size
from .graph_run import Tensors
from .machine import DeviceMachine
from .steps import BatchSteps


class LatentRows:
    """One latent's integers, and the launches that quantise, code and dequantise them.

    Args:
        machine: The engine, ready to run.
        name: Name of the latent.
        tensors: The batch's; read at each launch.
        padded: Size of the padded finest level, in cells.
        packets: Number of packets in the batch.
        steps: The batch's quantiser steps.
        findings: int32 `[packets]`, set to 1 where a packet's values are not finite; None for
            decoding.
    """

    def __init__(
        self,
        machine: DeviceMachine,
        name: str,
        tensors: Tensors,
        padded: Size,
        packets: int,
        steps: BatchSteps,
        findings: DeviceArray | None = None,
    ) -> None:
        manifest, self._device = machine.manifest, machine.device
        self._latent = latent = manifest.latents[name]
        source = manifest.tensors[latent.source]
        self._tensors = tensors
        self._mean_bits = manifest.mean_bits
        self._steps = steps.of(name)
        self._findings = findings
        self._shifts = steps.shifts(name)
        self._tables = machine.tables(latent)
        elements = elements_of(latent, source, padded)
        first, end = latent.channel_range(source)
        self._selection = planes.Selection(first, end - first, latent.parity)
        self._rows = (packets, max(1, elements.count))
        self._counts = self._device.upload(np.full(packets, elements.count, np.uint32))
        self._channels: DeviceArray | None = None
        if latent.indexes is None:
            numbers = np.resize(elements.channels, self._rows[1])
            self._channels = self._device.upload(np.tile(numbers, (packets, 1)))
        self._rooms: dict[str, DeviceArray] = {}
        self._means: DeviceArray | None = None
        self.symbols = self._room("symbols", np.int32)
        self.capacity = self._rows[1]

    def _room(self, role: str, dtype: type[np.generic]) -> DeviceArray:
        if role not in self._rooms:
            self._rooms[role] = self._device.zeros(self._rows, dtype)
        return self._rooms[role]

    def _is_all_of(self, tensor: DeviceArray) -> bool:
        selection = self._selection
        return selection.parity is None and int(tensor.shape[1]) == selection.channels

    def _gather(self, name: str, role: str) -> DeviceArray:
        """Gathers the latent's elements of a tensor that has the source's channels or its own."""
        tensor = self._tensors[name]
        if self._is_all_of(tensor):
            return tensor.reshape(self._rows)
        selection = self._selection
        if int(tensor.shape[1]) == selection.channels:
            selection = selection._replace(first=0)
        rows = self._room(role, tensor.dtype.type)
        planes.gather_elements(self._device, tensor, selection, self._counts, rows)
        return rows

    def _gather_prior(self) -> Elements:
        """Gathers the means, and the table indexes, which are not shifted yet."""
        latent = self._latent
        self._means = None if latent.means is None else self._gather(latent.means, "means")
        indexes = self._channels
        if latent.indexes is not None:
            indexes = self._gather(latent.indexes, "indexes")
        return Elements(indexes, self._counts, self._tables.count, latent.skip, *self._shifts)

    def quantize(self) -> None:
        """Turns the source's values into symbols."""
        elements = self._gather_prior()
        values.quantize(
            self._device,
            self._gather(self._latent.source, "values"),
            self._means,
            self._mean_bits,
            self._steps,
            elements,
            self.symbols,
            self._clipped(),
            self._findings,
        )

    def _clipped(self) -> DeviceArray:
        return self._room("clipped", index_dtype(self._tables.count))

    def coded(self) -> BatchStep:
        """Returns the latent's code step for the encoder."""
        elements = Elements(self._clipped(), self._counts, self._tables.count, self._latent.skip)
        return BatchStep(elements, self._tables, self.symbols)

    def decode(self, decoder: BatchDecoder) -> None:
        """Decodes the symbols; this is the decoder's next step."""
        decoder.step(self._gather_prior(), self._tables, self.symbols)

    def dequantize(self, target: DeviceArray) -> None:
        """Turns symbols into the values that the networks see, `[packets, C, H, W]`."""
        whole = self._is_all_of(target)
        rows = target.reshape(self._rows) if whole else self._room("values", np.float32)
        values.dequantize(
            self._device,
            self.symbols,
            self._means,
            self._mean_bits,
            self._steps,
            self._counts,
            rows,
        )
        if not whole:
            planes.scatter_elements(self._device, rows, self._selection, target)

    def add_checks(self, number: int, checks: DeviceArray) -> None:
        """Adds the check of its integers to uint32 `[packets]`.

        Args:
            number: The latent's place in the order of coding, from 0.
            checks: Sums of checks, modulo 2^32.
        """
        values.add_checks(self._device, self.symbols, self._counts, 2 * number, checks)
        if self._means is not None:
            values.add_checks(self._device, self._means, self._counts, 2 * number + 1, checks)
