"""Quantiser, its inverse, check, and costs at other steps, for rows in a device's memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..rules import inverse_step
from . import shapes
from .device import Argument, Device, DeviceArray
from .elements import Elements, row_arguments
from .prepared import CudaTables

_NUMBERS = 256


class Steps(NamedTuple):
    """Quantiser steps of a batch; arrays are borrowed until the launches are over."""

    table: DeviceArray
    """As made by `step_table`."""
    numbers: DeviceArray | None
    """int8 `[packets, capacity]`: each element's step number; None: `of_packets` has them."""
    of_packets: DeviceArray | None
    """int32 `[packets]`: each packet's step number; None: `numbers` has them."""


def step_table(first: int, widths: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Makes a `StepTable` of quantize.h: widths, and the bits of their inverses; uint32 `[512]`.

    Args:
        first: Step number of the first width, -128 to 127.
        widths: In units of 2^-16, at most 256.
    """
    table = np.zeros(2 * _NUMBERS, np.uint32)
    places = np.arange(first, first + len(widths)) % _NUMBERS
    table[places] = widths
    inverses = np.array([inverse_step(int(width)) for width in widths], np.float32)
    table[_NUMBERS + places] = inverses.view(np.uint32)
    return table


def quantize(
    device: Device,
    values: DeviceArray,
    means: DeviceArray | None,
    mean_bits: int,
    steps: Steps,
    elements: Elements,
    symbols: DeviceArray,
    clipped: DeviceArray,
    findings: DeviceArray | None = None,
) -> None:
    """Computes symbols and clipped table indexes in one pass.

    Args:
        device: Where the arrays are.
        values: float32 `[packets, capacity]`.
        means: int32 of that shape in units of 2^-mean_bits, or None: 0.
        mean_bits: 0 to 16.
        steps: The quantiser steps.
        elements: Table indexes, what is subtracted from them, and the skip threshold.
        symbols: int32 of that shape, written.
        clipped: uint8 or uint16 of that shape, written.
        findings: int32 `[packets]`, set to 1 for packets that have NaN or infinity, otherwise left
            alone.
    """
    device.launch(
        "quantize",
        elements.grid,
        shapes.THREADS,
        values,
        means,
        np.float32(2.0**-mean_bits),
        *steps,
        *elements.index_arguments(),
        *elements.row_arguments(),
        symbols,
        clipped,
        np.uint32(clipped.dtype.itemsize),
        findings,
    )


def dequantize(
    device: Device,
    symbols: DeviceArray,
    means: DeviceArray | None,
    mean_bits: int,
    steps: Steps,
    counts: DeviceArray,
    values: DeviceArray,
) -> None:
    """Computes the values of symbols; arrays as for `quantize`, `counts` as in `Elements`."""
    packets, capacity = symbols.shape
    device.launch(
        "dequantize",
        (shapes.chunks(capacity), packets, 1),
        shapes.THREADS,
        symbols,
        means,
        np.uint32(16 - mean_bits),
        *steps,
        *row_arguments(counts, capacity),
        values,
    )


def shift_indexes(device: Device, elements: Elements, clipped: DeviceArray) -> None:
    """Shifts and clips table indexes into uint8 or uint16 `[packets, capacity]`."""
    *where, _ = elements.index_arguments()
    device.launch(
        "shift_indexes",
        elements.grid,
        shapes.THREADS,
        *where,
        *elements.row_arguments(),
        clipped,
        np.uint32(clipped.dtype.itemsize),
    )


def add_checks(
    device: Device, values: DeviceArray, counts: DeviceArray, salt: int, checks: DeviceArray
) -> None:
    """Adds the check of each row of values to the packets' checks, modulo 2^32.

    Args:
        device: Where the arrays are.
        values: int32 `[packets, capacity]`.
        counts: As in `Elements`.
        salt: Taken modulo 2^32 (`docs/format.md`, section 6).
        checks: uint32 `[packets]`, added to.
    """
    packets, capacity = values.shape
    device.launch(
        "add_checks",
        (shapes.chunks(capacity), packets, 1),
        shapes.THREADS,
        values,
        *row_arguments(counts, capacity),
        np.uint32(salt & 0xFFFFFFFF),
        checks,
    )


def price_steps(
    device: Device,
    values: DeviceArray,
    means: DeviceArray | None,
    mean_bits: int,
    table: DeviceArray,
    candidates: DeviceArray,
    elements: Elements,
    tables: CudaTables,
    bits: DeviceArray,
) -> None:
    """Adds up what a code step would cost at other quantiser steps, for rate control.

    Args:
        device: Where the arrays are.
        values: float32 `[packets, capacity]`.
        means: As for `quantize`.
        mean_bits: As for `quantize`.
        table: As made by `step_table`.
        candidates: int32 `[candidates]`, step numbers; indexes are shifted by them.
        elements: Unshifted table indexes; its own shifts are ignored.
        tables: The step's table set.
        bits: uint64 `[packets, candidates]` in units of 2^-8 bits, added to; includes the bytes of
            escapes.
    """
    if candidates.shape[0] == 0:
        return
    at, width, _, _, count, skip = elements.index_arguments()
    chunks, packets, _ = elements.grid
    where: tuple[Argument, ...] = (at, width, count, skip)
    device.launch(
        "price_steps",
        (chunks, packets, int(candidates.shape[0])),
        shapes.THREADS,
        values,
        means,
        np.float32(2.0**-mean_bits),
        table,
        candidates,
        *where,
        *elements.row_arguments(),
        tables.data,
        np.uint32(tables.word_bytes),
        bits,
    )
