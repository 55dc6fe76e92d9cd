"""The segments of a batch, and which warps code them (`seats.cuh`)."""

from __future__ import annotations

import numpy as np

from . import shapes
from .device import Device, DeviceArray

_KINDS = 6
_LANES = 32


class Segments:
    """What encoder and decoder keep of a batch's segments in a device's memory.

    Args:
        device: The device.
        packets: Number of packets in the batch.
        most: Segments that a packet may have.
    """

    def __init__(self, device: Device, packets: int, most: int) -> None:
        self._device = device
        self.packets = packets
        self.most = most
        self.lanes: DeviceArray = device.zeros((packets,), np.uint32)
        self.counts: DeviceArray = device.zeros((packets,), np.uint32)
        self.states: DeviceArray = device.empty((packets, most, _LANES), np.uint32)
        self.words: DeviceArray = device.empty((packets, most, 2), np.uint32)
        self.status: DeviceArray = device.zeros((packets,), np.int32)
        self.firsts: DeviceArray = device.empty((_KINDS + 1,), np.uint32)
        self.seated: DeviceArray = device.empty((packets * most,), np.uint32)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks that have seats for as many segments as there can be."""
        return shapes.warp_blocks(self.packets * self.most), 1, 1

    def seat(self) -> None:
        """Gives each segment its warp."""
        self._device.launch(
            "seat_segments",
            (1, 1, 1),
            min(shapes.SEATING_THREADS, -(-self.packets // shapes.WARP) * shapes.WARP),
            self.lanes,
            self.counts,
            self.status,
            np.uint32(self.packets),
            np.uint32(self.most),
            self.firsts,
            self.seated,
        )
