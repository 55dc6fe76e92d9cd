"""The elements of a code step in a device's memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import shapes
from .device import Argument, DeviceArray


class Elements(NamedTuple):
    """Table indexes of one code step of a batch; arrays are borrowed until the launches are over.

    Rows are packets.
    """

    indexes: DeviceArray
    """uint8, uint16 or int32 `[packets, capacity]`."""
    counts: DeviceArray
    """uint32 `[packets]`: how many elements at the beginning of each row are in use."""
    table_count: int
    skip: int
    """Elements whose index is below this are not coded; 0: all are."""
    shifts: DeviceArray | None = None
    """int32 `[packets]`: what is subtracted from a packet's indexes, which are then clipped."""
    numbers: DeviceArray | None = None
    """int8 `[packets, capacity]`: what is subtracted element by element instead."""

    @property
    def packets(self) -> int:
        """Number of rows."""
        return int(self.indexes.shape[0])

    @property
    def capacity(self) -> int:
        """Length of a row."""
        return int(self.indexes.shape[1])

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks that go over all elements."""
        return shapes.chunks(self.capacity), self.packets, 1

    def index_arguments(self) -> tuple[Argument, ...]:
        """The kernels' first arguments: where indexes come from, and which are coded."""
        return (
            self.indexes,
            np.uint32(self.indexes.dtype.itemsize),
            self.shifts,
            self.numbers,
            np.uint32(self.table_count),
            np.uint32(self.skip),
        )

    def row_arguments(self) -> tuple[Argument, ...]:
        """The kernels' arguments that say how blocks share the rows."""
        return row_arguments(self.counts, self.capacity)


def row_arguments(counts: DeviceArray, capacity: int) -> tuple[Argument, ...]:
    """Returns the kernels' arguments that say how blocks share rows of `capacity` elements."""
    return counts, np.uint32(capacity), np.uint32(shapes.chunk_size(capacity))
