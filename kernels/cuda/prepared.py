"""Table sets in the layout of `tables.cuh`, and what coding needs of a frequency."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...tables import PROB_BITS, CdfTables
from ..reference import log2_q8
from .device import Device, DeviceArray

SHARED_LIMIT = 48 * 1024
"""Bytes of shared memory that a block of every architecture gets without asking."""

_SCALE = 1 << PROB_BITS
_BUCKET_BITS = range(1, PROB_BITS + 1)  # no slot of two is far
_SHIFT = 5
_ESCAPE = 1 << 15

# The share of a table's slots that may be more than one event behind their hint, so that a lane
# makes its warp wait: the first figure that lets a set fit shared memory is taken, else the first.
_FAR = (1 / 64, 1 / 32, 1 / 16, 1 / 8)


class CudaTables:
    """A table set in a device's memory; immutable, any launch of that device may read it.

    Args:
        tables: The table set.
        device: Where it goes.
    """

    def __init__(self, tables: CdfTables, device: Device) -> None:
        self.count = tables.count
        ranges, words = pack_tables(tables)
        self.word_bytes = words.nbytes
        self.device = device
        packed = [part.view(np.uint8).reshape(-1) for part in (ranges, words)]
        self.data: DeviceArray = device.upload(np.concatenate(packed))

    @property
    def shared(self) -> bool:
        """Whether decoders copy its words into shared memory."""
        return self.word_bytes <= SHARED_LIMIT


def pack_tables(tables: CdfTables) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """A table set's ranges, `[tables, 4]`, and its words: `[n]`, a multiple of 16 bytes.

    Hints are of two bytes if the words fit shared memory, else of four.
    """
    firsts = 2 * tables.count + tables.starts[:-1].astype(np.int64) + np.arange(tables.count)
    ends = np.cumsum(tables.freqs, dtype=np.int64)
    events = (ends - tables.freqs) % _SCALE << 16 | tables.freqs.astype(np.int64)
    events[tables.starts[1:] - 1] |= _ESCAPE
    # Behind each table one that begins after all slots.
    events = np.insert(events, tables.starts[1:], _SCALE << 16)
    begin = 4 * (2 * tables.count + len(events))  # of the hints, in bytes
    columns = (firsts, tables.sizes, tables.offsets, np.zeros_like(firsts))
    ranges = np.stack(columns, axis=1).astype(np.uint32)

    def packed(buckets: Sequence[_Buckets], hint: npt.DTypeLike) -> npt.NDArray[np.uint32]:
        hints = [first + own.hints for first, own in zip(firsts, buckets, strict=True)]
        sizes = [np.dtype(hint).itemsize * len(own) for own in hints]
        places = begin + np.cumsum([0, *sizes[:-1]])
        bits = [own.bits for own in buckets]
        heads = np.stack([places << _SHIFT | bits, tables.offsets - firsts], axis=1)
        parts = (
            heads.astype(np.uint32),
            events.astype(np.uint32),
            np.concatenate(hints).astype(hint),
        )
        run = np.concatenate([part.view(np.uint8).reshape(-1) for part in parts])
        return np.pad(run, (0, -len(run) % 16)).view(np.uint32)

    if begin <= SHARED_LIMIT:
        for far in _FAR:
            words = packed(_buckets(tables, far), np.uint16)
            if words.nbytes <= SHARED_LIMIT:
                return ranges, words
    return ranges, packed(_buckets(tables, _FAR[0]), np.uint32)


class _Buckets(NamedTuple):
    """How long a table's buckets are, as a binary logarithm, and the event of each's first slot."""

    bits: int
    hints: npt.NDArray[np.int64]


def _buckets(tables: CdfTables, far: float) -> list[_Buckets]:
    """For each table the longest buckets that leave no more than a share `far` of its slots far."""
    found = []
    for t in range(tables.count):
        freqs = tables.freqs[tables.starts[t] : tables.starts[t + 1]]
        numbers = np.repeat(np.arange(len(freqs)), freqs)
        # Longer buckets leave no fewer slots far.
        fitting = bisect.bisect_right(_BUCKET_BITS, far, key=lambda bits: _far(numbers, bits))
        bits = _BUCKET_BITS[fitting - 1]
        found.append(_Buckets(bits, numbers[:: 1 << bits]))
    return found


def _far(numbers: npt.NDArray[np.int64], bits: int) -> float:
    """The share of slots whose event is beyond the one behind that of their bucket's first slot."""
    rows = numbers.reshape(-1, 1 << bits)
    return float(np.mean(rows - rows[:, :1] > 1))


@functools.cache
def reciprocals() -> npt.NDArray[np.uint32]:
    """What `near_quotient` of encode.cuh takes of each frequency: uint32 `[16385]`."""
    freqs = range(1, _SCALE + 1)
    values = [min((1 << 31 + freq.bit_length()) // freq, (1 << 32) - 1) for freq in freqs]
    return np.array([0, *values], np.uint32)


@functools.cache
def costs() -> npt.NDArray[np.uint16]:
    """Bits of an event, in units of 2^-8, for each frequency: uint16 `[16385]`."""
    values = [0, *(PROB_BITS * 256 - log2_q8(freq) for freq in range(1, _SCALE + 1))]
    return np.array(values, np.uint16)
