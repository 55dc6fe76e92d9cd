"""The interface of the other implementations, on top of batches of one packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ClosedError
from ...tables import CdfTables
from .. import checks
from ..api import (
    F32,
    I8,
    I32,
    MAX_SEGMENTS,
    CodedPayload,
    CodeStep,
    Indexes,
    PreparedTables,
    StepMap,
    Symbols,
    index_dtype,
)
from ..checks import Status
from . import values as launches
from .batch_decoder import BatchDecoder, Payload
from .batch_encoder import BatchEncoder, BatchStep, Layout, most_segments
from .device import Device, DeviceArray
from .elements import Elements
from .prepared import CudaTables


class CudaKernels:
    """`Kernels` on a device, for arrays in the host's memory.

    Arrays are copied to the device and back, and every call waits for it; for data that stays on
    the device there are `BatchEncoder` and `BatchDecoder`.

    Args:
        device: Where to run; None: the GPU that CuPy has chosen.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU.
    """

    name = "cuda"
    threads = 1

    def __init__(self, device: Device | None = None) -> None:
        if device is None:
            from .cupy_device import CupyDevice

            device = CupyDevice()
        self.device = device

    def prepare(self, tables: CdfTables) -> PreparedTables:
        return CudaTables(tables, self.device)

    def plan(
        self, steps: Sequence[CodeStep], overhead_permille: int, min_lanes: int
    ) -> tuple[int, int]:
        checks.require_steps(steps, CudaTables)
        checks.require_overhead(overhead_permille, min_lanes)
        encoder = self._encoder(steps, MAX_SEGMENTS)
        encoder.plan(self._rows(steps), Layout(overhead_permille, min_lanes))
        _require_encoded(encoder)
        return encoder.layouts()[0]

    def encode(
        self,
        steps: Sequence[CodeStep],
        lanes: int,
        segments: int,
        check: int,
        *,
        out: Any = None,
    ) -> CodedPayload:
        checks.require_steps(steps, CudaTables)
        checks.require_layout(lanes, segments)
        layout = Layout(lanes=lanes, segments=segments)
        return self._encode(steps, segments, layout, check, out)[1]

    def pack(
        self,
        steps: Sequence[CodeStep],
        overhead_permille: int,
        min_lanes: int,
        check: int,
        *,
        out: Any = None,
    ) -> tuple[int, CodedPayload]:
        checks.require_steps(steps, CudaTables)
        checks.require_overhead(overhead_permille, min_lanes)
        most = most_segments([len(step.symbols) for step in steps], overhead_permille)
        return self._encode(steps, most, Layout(overhead_permille, min_lanes), check, out)

    def _encode(
        self, steps: Sequence[CodeStep], most: int, layout: Layout, check: int, out: Any
    ) -> tuple[int, CodedPayload]:
        buffer = None if out is None else checks.require_buffer(out)
        encoder = self._encoder(steps, most)
        check_array = self.device.upload(np.array([check & 0xFFFFFFFF], np.uint32))
        encoder.encode(self._rows(steps), layout, check_array)
        _require_encoded(encoder)
        lanes, _ = encoder.layouts()[0]
        coded = encoder.payloads()[0]
        assert coded is not None
        if buffer is None:
            return lanes, coded
        placed = checks.payload_in(buffer, len(coded.segments), coded.words, len(coded.escapes))
        whole = np.frombuffer(bytes(coded.segments) + bytes(coded.escapes), np.uint8)
        buffer[: len(whole)] = whole
        return lanes, placed

    def _encoder(self, steps: Sequence[CodeStep], most: int) -> BatchEncoder:
        return BatchEncoder(self.device, 1, most, [len(step.symbols) for step in steps])

    def _rows(self, steps: Sequence[CodeStep]) -> list[BatchStep]:
        rows = []
        for step in steps:
            tables = checks.require_prepared(step.tables, CudaTables)
            elements = self.elements(step.indexes, tables.count, step.skip)
            rows.append(BatchStep(elements, tables, self._row(step.symbols.astype(np.int32))))
        return rows

    def _row(self, array: npt.NDArray[Any]) -> DeviceArray:
        return self.device.upload(array.reshape(1, -1))

    def elements(
        self,
        indexes: npt.NDArray[np.integer],
        table_count: int,
        skip: int,
        shifts: int | I8 | None = None,
    ) -> Elements:
        """Uploads table indexes as a batch of one row.

        Args:
            indexes: `[n]`, on the host.
            table_count: Number of tables.
            skip: Elements whose index is below this are not coded.
            shifts: What to subtract before clipping; None: the indexes are clipped already.
        """
        counts = self.device.upload(np.array([len(indexes)], np.uint32))
        row = self._row(indexes)
        if isinstance(shifts, np.ndarray):
            return Elements(row, counts, table_count, skip, numbers=self._row(shifts))
        shift = None if shifts is None else self.device.upload(np.array([shifts], np.int32))
        return Elements(row, counts, table_count, skip, shifts=shift)

    def _steps(self, step: int | StepMap) -> launches.Steps:
        if isinstance(step, StepMap):
            table = self.device.upload(launches.step_table(step.first, step.widths))
            return launches.Steps(table, self._row(step.numbers), None)
        table = self.device.upload(launches.step_table(0, np.array([step], np.uint32)))
        return launches.Steps(table, None, self.device.zeros((1,), np.int32))

    def decoder(self, segments: Any, words: Sequence[int], escapes: Any, lanes: int) -> CudaDecoder:
        return CudaDecoder(self, Payload(segments, words, escapes, lanes))

    def check(self, values: I32, salt: int) -> int:
        checks.require_array("values", values, (np.int32,))
        total = self.device.zeros((1,), np.uint32)
        counts = self.device.upload(np.array([len(values)], np.uint32))
        launches.add_checks(self.device, self._row(values), counts, salt, total)
        return int(self.device.download(total)[0])

    def quantize(
        self,
        values: F32,
        means: I32 | None,
        mean_bits: int,
        step: int | StepMap,
        indexes: npt.NDArray[np.integer],
        shift: int | None,
        table_count: int,
        skip: int,
    ) -> tuple[I32, Indexes]:
        shifts = checks.shifts_to_quantize(
            values, means, mean_bits, step, indexes, shift, table_count, skip
        )
        n = len(values)
        symbols = self.device.empty((1, n), np.int32)
        clipped = self.device.empty((1, n), index_dtype(table_count))
        launches.quantize(
            self.device,
            self._row(values),
            None if means is None else self._row(means),
            mean_bits,
            self._steps(step),
            self.elements(indexes, table_count, skip, shifts),
            symbols,
            clipped,
        )
        return self._host(symbols), self._host(clipped)

    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int | StepMap
    ) -> F32:
        checks.require_array("symbols", symbols, (np.int32,))
        checks.require_grid(means, len(symbols), mean_bits, step)
        values = self.device.empty((1, len(symbols)), np.float32)
        launches.dequantize(
            self.device,
            self._row(symbols),
            None if means is None else self._row(means),
            mean_bits,
            self._steps(step),
            self.device.upload(np.array([len(symbols)], np.uint32)),
            values,
        )
        found: F32 = self._host(values)
        return found

    def shift_indexes(
        self, indexes: npt.NDArray[np.integer], shift: int | StepMap, table_count: int
    ) -> Indexes:
        shifts = checks.shifts_of(indexes, shift)
        checks.require_indexes(indexes, shifts, table_count, None)
        clipped = self.device.empty((1, len(indexes)), index_dtype(table_count))
        launches.shift_indexes(self.device, self.elements(indexes, table_count, 0, shifts), clipped)
        found: Indexes = self._host(clipped)
        return found

    def _host(self, row: DeviceArray) -> Any:
        return self.device.download(row).reshape(-1)


class CudaDecoder:
    """`StepDecoder` of `CudaKernels`; the packet's bytes are copied to the device."""

    def __init__(self, kernels: CudaKernels, payload: Payload) -> None:
        checks.require_payload(payload.segments, payload.words, payload.lanes)
        sizes = (memoryview(payload.segments).nbytes, memoryview(payload.escapes).nbytes)
        self._kernels = kernels
        self._batch = BatchDecoder(kernels.device, 1, len(payload.words), *sizes)
        self._batch.load([payload])
        self._finished = False
        self._require_decoded()

    def _require_decoded(self) -> None:
        status = Status(int(self._batch.statuses()[0]))
        if status != Status.OK:
            raise checks.packet_error(status)

    def step(
        self, indexes: Indexes, tables: PreparedTables, skip: int, *, out: Symbols | None = None
    ) -> Symbols:
        if self._finished:
            raise ClosedError("the packet was decoded to its end")
        self._require_decoded()
        checks.require_array("indexes", indexes, (np.uint8, np.uint16))
        checks.require_range("skip", skip, 0, (1 << 31) - 1)
        target = checks.require_output(out, len(indexes))
        prepared = checks.require_prepared(tables, CudaTables)
        device = self._kernels.device
        symbols = device.empty((1, len(indexes)), np.int32)
        elements = self._kernels.elements(indexes, prepared.count, skip)
        self._batch.step(elements, prepared, symbols)
        self._require_decoded()
        wide = device.download(symbols).reshape(-1)
        np.copyto(target, wide, casting="unsafe")
        if target.dtype != np.int32 and (target != wide).any():
            self._batch.fail(Status.SYMBOL_TOO_WIDE)
            raise checks.packet_error(Status.SYMBOL_TOO_WIDE)
        return target

    def finish(self) -> int:
        if not self._finished:
            self._batch.close()
        self._require_decoded()
        self._finished = True
        return int(self._batch.checks()[0])


def _require_encoded(encoder: BatchEncoder) -> None:
    status = Status(int(encoder.statuses()[0]))
    if status != Status.OK:
        raise checks.steps_error(status)
