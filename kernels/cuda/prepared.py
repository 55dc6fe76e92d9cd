"""Table sets in the layout of `tables.cuh`, and tables of costs and reciprocals of frequencies."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...tables import PROB_BITS, CdfTables
from ..rules import log2_q8
from .device import Device, DeviceArray

SHARED_LIMIT = 48 * 1024
"""Bytes of shared memory that a block has on every architecture without opting in to more."""

_SCALE = 1 << PROB_BITS
_BUCKET_BITS = range(1, PROB_BITS + 1)  # in a bucket of two slots none is far
_SHIFT = 5
_ESCAPE = 1 << 15

# The share of a table's slots that may be far, that is, more than one event behind their hint, so
# that a lane makes its warp wait. The first share with which a set fits shared memory is taken; if
# there is none the last, as what is read from global memory had better be small.
_FAR = (1 / 64, 1 / 32, 1 / 16, 1 / 8)


class CudaTables:
    """A table set in a device's memory; immutable, any launch of that device may read it.

    Args:
        tables: The table set.
        device: Where it goes.
    """

    def __init__(self, tables: CdfTables, device: Device) -> None:
        self.count = tables.count
        packed = pack_tables(tables)
        self.word_bytes = packed.words.nbytes
        self.device = device
        self.data: DeviceArray = device.upload(_joined(packed))

    @property
    def shared(self) -> bool:
        """Whether decoders copy its words into shared memory."""
        return self.word_bytes <= SHARED_LIMIT


class PackedTables(NamedTuple):
    """A table set in the layout of `tables.cuh`, part by part."""

    ranges: npt.NDArray[np.uint32]
    """`[tables, 4]`."""
    words: npt.NDArray[np.uint32]
    """`[n]`, a multiple of 16 bytes."""
    entries: npt.NDArray[np.uint32]
    """`[events, 2]`."""


def pack_tables(tables: CdfTables) -> PackedTables:
    """Lays out a table set, with hints of two bytes if the words fit shared memory, else four."""
    freqs = tables.freqs.astype(np.int64)
    ends = np.cumsum(freqs)
    events = (ends - freqs) % _SCALE << 16 | freqs
    events[tables.starts[1:] - 1] |= _ESCAPE
    starts = tables.starts[:-1].astype(np.int64)
    ranges = np.stack((starts, tables.sizes, tables.offsets, np.zeros_like(starts)), axis=1)
    entries = np.stack((events, _costs()[freqs]), axis=1)
    return PackedTables(
        ranges.astype(np.uint32), _pack_words(tables, events), entries.astype(np.uint32)
    )


def _pack_words(tables: CdfTables, events: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    firsts = 2 * tables.count + tables.starts[:-1].astype(np.int64) + np.arange(tables.count)
    # Behind each table's events, one that begins after all slots.
    events = np.insert(events, tables.starts[1:], _SCALE << 16)
    begin = 4 * (2 * tables.count + len(events))  # of the hints, in bytes

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
        run = _joined(parts)
        return np.pad(run, (0, -len(run) % 16)).view(np.uint32)

    if begin <= SHARED_LIMIT:
        for far in _FAR:
            words = packed(_buckets(tables, far), np.uint16)
            if words.nbytes <= SHARED_LIMIT:
                return words
    return packed(_buckets(tables, _FAR[-1]), np.uint32)


def _joined(parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    return np.concatenate([part.view(np.uint8).reshape(-1) for part in parts])


class _Buckets(NamedTuple):
    """The buckets of one table."""

    bits: int
    """Binary logarithm of their length in slots."""
    hints: npt.NDArray[np.int64]
    """For each bucket, the number of the event that holds its first slot."""


def _buckets(tables: CdfTables, far: float) -> list[_Buckets]:
    """Finds each table's longest buckets in which at most the share `far` of its slots is far."""
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
    """Returns the share of slots that are more than one event behind their bucket's hint.

    Args:
        numbers: The event of each slot, `[16384]`.
        bits: Binary logarithm of the buckets' length.
    """
    rows = numbers.reshape(-1, 1 << bits)
    return float(np.mean(rows - rows[:, :1] > 1))


@functools.cache
def reciprocals() -> npt.NDArray[np.uint32]:
    """Returns the factor of `near_quotient` (encode.cuh) for each frequency: uint32 `[16385]`."""
    freqs = range(1, _SCALE + 1)
    values = [min((1 << 31 + freq.bit_length()) // freq, (1 << 32) - 1) for freq in freqs]
    return np.array([0, *values], np.uint32)


@functools.cache
def _costs() -> npt.NDArray[np.uint16]:
    """Returns an event's cost in units of 2^-8 bits, for each frequency: uint16 `[16385]`."""
    values = [0, *(PROB_BITS * 256 - log2_q8(freq) for freq in range(1, _SCALE + 1))]
    return np.array(values, np.uint16)
