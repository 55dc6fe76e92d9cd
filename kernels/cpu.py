"""Launches the native kernels: checks the arrays, calls, and turns statuses into errors."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, ClosedError
from ..tables import CdfTables
from . import NATIVE, _cpu, checks
from .api import (
    F32,
    I32,
    CodedPayload,
    CodeStep,
    Indexes,
    PreparedTables,
    StepMap,
    Symbols,
    index_dtype,
)
from .checks import Status
from .rules import choose_layout

atexit.register(_cpu.stop_helpers)


def available() -> list[str]:
    """Names of the implementations that this processor can run, the fastest first."""
    return [name for name in NATIVE if _cpu.loops(name) is not None]


class NativeKernels:
    """C++ loops for one instruction set.

    They run without the interpreter's lock. All native implementations share prepared tables, and
    the process's helper threads, which start when first needed and end with the interpreter; a
    forked child starts its own.

    Args:
        name: One of `fcmrt.kernels.NATIVE`.
        threads: See `Kernels.threads`.

    Raises:
        BackendUnavailableError: This processor cannot run them.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        loops = _cpu.loops(name)
        if loops is None:
            raise BackendUnavailableError(
                f"this processor cannot run the {name!r} kernels; it can run "
                f"{', '.join(available())}"
            )
        self.name = name
        self.threads = threads
        self._loops = loops

    def prepare(self, tables: CdfTables) -> PreparedTables:
        return _cpu.Tables(tables.offsets, tables.sizes, tables.freqs)

    def plan(
        self, steps: Sequence[CodeStep], overhead_permille: int, min_lanes: int
    ) -> tuple[int, int]:
        checks.require_steps(steps, _cpu.Tables)
        status, cost_q8, largest = self._loops.measure(list(steps), self.threads)
        if status != Status.OK:
            raise checks.steps_error(Status(status))
        return choose_layout(cost_q8 >> 11, largest, overhead_permille, min_lanes)

    def encode(
        self,
        steps: Sequence[CodeStep],
        lanes: int,
        segments: int,
        check: int,
        *,
        out: Any = None,
    ) -> CodedPayload:
        checks.require_steps(steps, _cpu.Tables)
        checks.require_layout(lanes, segments)
        buffer = None if out is None else checks.require_buffer(out)
        coded = self._loops.encode(
            list(steps), lanes, segments, check & 0xFFFFFFFF, self.threads, buffer
        )
        return _payload(coded, buffer)[1]

    def pack(
        self,
        steps: Sequence[CodeStep],
        overhead_permille: int,
        min_lanes: int,
        check: int,
        *,
        out: Any = None,
    ) -> tuple[int, CodedPayload]:
        checks.require_steps(steps, _cpu.Tables)
        checks.require_overhead(overhead_permille, min_lanes)
        buffer = None if out is None else checks.require_buffer(out)
        coded = self._loops.pack(
            list(steps), overhead_permille, min_lanes, check & 0xFFFFFFFF, self.threads, buffer
        )
        return _payload(coded, buffer)

    def decoder(
        self, segments: Any, words: Sequence[int], escapes: Any, lanes: int
    ) -> NativeDecoder:
        return NativeDecoder(self._loops, segments, words, escapes, lanes, self.threads)

    def check(self, values: I32, salt: int) -> int:
        checks.require_array("values", values, (np.int32,))
        return int(self._loops.check(values, salt & 0xFFFFFFFF))

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
        symbols = np.empty(len(values), np.int32)
        clipped: Indexes = np.empty(len(values), index_dtype(table_count))
        self._loops.quantize(
            values, means, mean_bits, step, indexes, shifts, table_count, skip, symbols, clipped
        )
        return symbols, clipped

    def dequantize(
        self, symbols: I32, means: I32 | None, mean_bits: int, step: int | StepMap
    ) -> F32:
        checks.require_array("symbols", symbols, (np.int32,))
        checks.require_grid(means, len(symbols), mean_bits, step)
        values = np.empty(len(symbols), np.float32)
        self._loops.dequantize(symbols, means, mean_bits, step, values)
        return values

    def shift_indexes(
        self, indexes: npt.NDArray[np.integer], shift: int | StepMap, table_count: int
    ) -> Indexes:
        shifts = checks.shifts_of(indexes, shift)
        checks.require_indexes(indexes, shifts, table_count, None)
        clipped: Indexes = np.empty(len(indexes), index_dtype(table_count))
        self._loops.shift_indexes(indexes, shifts, table_count, clipped)
        return clipped


def _payload(
    coded: tuple[Any, ...], buffer: npt.NDArray[np.uint8] | None
) -> tuple[int, CodedPayload]:
    """Returns lanes and payload.

    Args:
        coded: What native encoding returns: status, lanes, words, segments and escapes; the last
            two as bytes, or as their sizes where there is a buffer.
        buffer: The caller's; None: there is none.

    Raises:
        ConfigError: The steps could not be encoded.
        ShapeError: The buffer is too small.
    """
    if coded[0] != Status.OK:
        raise checks.steps_error(Status(coded[0]))
    _, lanes, words, segments, escapes = coded
    if buffer is None:
        return lanes, CodedPayload(segments, words, escapes)
    return lanes, checks.payload_in(buffer, segments, words, escapes)


class NativeDecoder:
    """`StepDecoder` of `NativeKernels`; the native object keeps the packet's bytes alive."""

    def __init__(
        self,
        loops: _cpu.Loops,
        segments: Any,
        words: Sequence[int],
        escapes: Any,
        lanes: int,
        threads: int,
    ) -> None:
        checks.require_payload(segments, words, lanes)
        self._native = _cpu.Decoder(
            loops,
            np.frombuffer(segments, np.uint8),
            list(words),
            np.frombuffer(escapes, np.uint8),
            lanes,
            threads,
        )
        self._finished = False
        if self._native.status != Status.OK:
            raise checks.packet_error(Status(self._native.status))

    def step(
        self, indexes: Indexes, tables: PreparedTables, skip: int, *, out: Symbols | None = None
    ) -> Symbols:
        if self._finished:
            raise ClosedError("the packet was decoded to its end")
        checks.require_array("indexes", indexes, (np.uint8, np.uint16))
        checks.require_range("skip", skip, 0, (1 << 31) - 1)
        symbols = checks.require_output(out, len(indexes))
        prepared = checks.require_prepared(tables, _cpu.Tables)
        status = self._native.step(indexes, prepared, skip, symbols)
        if status != Status.OK:
            raise checks.packet_error(Status(status))
        return symbols

    def finish(self) -> int:
        status, check = self._native.finish()
        if status != Status.OK:
            raise checks.packet_error(Status(status))
        self._finished = True
        return int(check)
