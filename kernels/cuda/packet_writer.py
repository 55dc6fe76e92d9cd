"""Writes the packets of a batch on the device, with their fields and checksums."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Sequence

import numpy as np

from ...errors import ConfigError, ShapeError
from . import shapes
from .batch_encoder import BatchEncoder
from .device import Device, DeviceArray

_MOST_VARINT = 5
_MOST_CHECKSUM = 4
_DIGEST_BYTES = 32
_CRC32_FINAL = 0xFFFFFFFF


class PacketWriter:
    """Adds fields and checksums to what a `BatchEncoder` has coded.

    Args:
        device: Where the work is done.
        encoder: Codes the batch.
        engine_digest: SHA-256 of the engine's manifest, 32 bytes; goes into the checksums.
        front_bytes: Room for the front of one packet.

    Raises:
        ConfigError: The digest has another length.
    """

    def __init__(
        self, device: Device, encoder: BatchEncoder, engine_digest: bytes, front_bytes: int
    ) -> None:
        if len(engine_digest) != _DIGEST_BYTES:
            raise ConfigError(
                f"the engine digest has {len(engine_digest)} bytes; it must have {_DIGEST_BYTES}"
            )
        packets, most = encoder.segments.packets, encoder.segments.most
        self._device = device
        self._encoder = encoder
        self._starts = (
            np.uint32(binascii.crc_hqx(engine_digest, 0xFFFF)),
            np.uint32(zlib.crc32(engine_digest) ^ _CRC32_FINAL),
        )
        self._fronts = device.zeros((packets, front_bytes), np.uint8)
        self._front_bytes = device.zeros((packets,), np.uint32)
        self._begins = device.zeros((packets,), np.uint32)
        fields = front_bytes + _MOST_VARINT * (most + 1)
        self.out: DeviceArray = device.empty(
            (packets, fields + encoder.payload_capacity + _MOST_CHECKSUM), np.uint8
        )

    def load(self, fronts: Sequence[bytes]) -> None:
        """Copies the packets' beginnings to the device.

        Args:
            fronts: For each packet, what `fcmrt.bitstream.packet_front` gives.

        Raises:
            ShapeError: They are too many, too few or too long for the buffers.
        """
        rows = np.zeros(self._fronts.shape, np.uint8)
        if len(fronts) != len(rows):
            raise ShapeError(f"{len(fronts)} fronts for a batch of {len(rows)}")
        for row, front in zip(rows, fronts, strict=True):
            if not 1 <= len(front) <= len(row):
                raise ShapeError(
                    f"a front has {len(front)} bytes; the buffers are for 1 to {len(row)}"
                )
            row[: len(front)] = np.frombuffer(front, np.uint8)
        self._device.write(self._fronts, rows)
        self._device.write(self._front_bytes, np.array([len(f) for f in fronts], np.uint32))

    def write(self) -> None:
        """Writes the packets that the encoder has coded to the rows of `out`; only launches."""
        launch, encoder = self._device.launch, self._encoder
        own = encoder.segments
        row = np.uint64(self.out.shape[1])
        launch(
            "write_heads",
            (-(-own.packets // shapes.THREADS), 1, 1),
            shapes.THREADS,
            self._fronts,
            np.uint32(self._fronts.shape[1]),
            self._front_bytes,
            own.lanes,
            own.counts,
            np.uint32(own.packets),
            np.uint32(own.most),
            own.words,
            encoder.escape_bytes,
            self.out,
            row,
            self._begins,
            own.status,
        )
        encoder.gather(self.out, self._begins)
        launch(
            "seal_packets",
            (own.packets, 1, 1),
            shapes.THREADS,
            self.out,
            row,
            self._begins,
            encoder.sizes,
            *self._starts,
            own.status,
        )

    def packets(self) -> list[bytes | None]:
        """Returns the packets, None for those that failed; waits for the device."""
        get = self._device.download
        sizes, statuses = get(self._encoder.sizes), self._encoder.statuses()
        return [
            None if status else get(self.out[b, : int(size)]).tobytes()
            for b, (size, status) in enumerate(zip(sizes, statuses, strict=True))
        ]
