"""Table sets in the layout of `tables.cuh`, and what coding needs of a frequency."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ...tables import PROB_BITS, CdfTables
from ..reference import log2_q8
from .device import Device, DeviceArray

SHARED_LIMIT = 48 * 1024
"""Bytes of shared memory that a block of every architecture gets without asking."""

_SCALE = 1 << PROB_BITS
_BUCKET_BITS = range(4, PROB_BITS + 1)
_SHIFT = 5

# How many events a decoder may go on from a hint, on average over the slots: the first figure that
# lets a set fit shared memory is taken, else the first of all.
_STEPS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)


class CudaTables:
    """A table set in a device's memory; immutable, any launch of that device may read it.

    Args:
        tables: The table set.
        device: Where it goes.
    """

    def __init__(self, tables: CdfTables, device: Device) -> None:
        self.count = tables.count
        self.event_count = len(tables.freqs)
        layout = pack_tables(tables)
        self.bytes = len(layout)
        self.device = device
        self.data: DeviceArray = device.upload(layout)

    @property
    def shared(self) -> bool:
        """Whether decoders copy it into shared memory."""
        return self.bytes <= SHARED_LIMIT


def pack_tables(tables: CdfTables) -> npt.NDArray[np.uint8]:
    """Heads, events and hints of a table set, one after the other: uint8, a multiple of 16."""
    numbers = np.arange(len(tables.freqs)) - np.repeat(tables.starts[:-1], tables.sizes + 1)
    ends = np.cumsum(tables.freqs, dtype=np.int64)
    cum = (ends - tables.freqs) % _SCALE
    events = (cum | tables.freqs.astype(np.int64) << 16).astype(np.uint32)
    # The mean number of a slot's event, table by table; what hints save is taken off it.
    means = np.add.reduceat(tables.freqs * numbers, tables.starts[:-1]) / _SCALE
    fixed = 16 * tables.count + 4 * len(events)
    first = None
    for steps in _STEPS:
        places, hints = _hints(tables, cum, means, steps)
        parts = (_heads(tables, places), events, hints)
        packed = np.concatenate([part.view(np.uint8).reshape(-1) for part in parts])
        packed = np.pad(packed, (0, -len(packed) % 16))
        first = packed if first is None else first
        if len(packed) <= SHARED_LIMIT:
            return packed
        if fixed > SHARED_LIMIT:
            break
    assert first is not None
    return first


def _heads(tables: CdfTables, places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    columns = (tables.starts[:-1], tables.sizes, tables.offsets, places)
    return np.stack(columns, axis=1).astype(np.int64).astype(np.uint32)


def _hints(
    tables: CdfTables,
    cum: npt.NDArray[np.int64],
    means: npt.NDArray[np.float64],
    steps: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Where each table's hints begin and how long its buckets are, and all hints."""
    places = np.empty(tables.count, np.int64)
    parts = []
    used = 0
    for t in range(tables.count):
        begins = cum[tables.starts[t] : tables.starts[t + 1]]
        for bits in reversed(_BUCKET_BITS):
            slots = np.arange(0, _SCALE, 1 << bits)
            hints = np.searchsorted(begins, slots, side="right") - 1
            if means[t] - hints.mean() <= steps or bits == _BUCKET_BITS[0]:
                break
        places[t] = used << _SHIFT | bits
        used += len(hints)
        parts.append(hints.astype(np.uint16))
    return places, np.concatenate(parts)


@functools.cache
def reciprocals() -> npt.NDArray[np.uint64]:
    """`encode_reciprocal` of rans.h for each frequency: uint64 `[16385]`, 0 for frequency 0."""
    values = [0, *(((1 << 46) + freq - 1) // freq for freq in range(1, _SCALE + 1))]
    return np.array(values, np.uint64)


@functools.cache
def costs() -> npt.NDArray[np.uint16]:
    """Bits of an event, in units of 2^-8, for each frequency: uint16 `[16385]`."""
    values = [0, *(PROB_BITS * 256 - log2_q8(freq) for freq in range(1, _SCALE + 1))]
    return np.array(values, np.uint16)
