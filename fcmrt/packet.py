"""A coded picture: bytes that remember when they are due and what they stand for."""

from __future__ import annotations

from typing import Any

from .arguments import whole


def presentation_time(pts: Any) -> int:
    """Checks a presentation time that a user has passed; ConfigError if it is not one."""
    return whole(pts, "pts", -(1 << 63), (1 << 63) - 1)


class Packet(bytes):
    """One coded access unit: `bytes` with a few additional fields.

    Slicing, joining and the like give plain `bytes`; comparing and hashing look at the bytes
    alone. Pickling and copying keep the fields.

    Args:
        data: The coded bytes; copied.
        pts: Presentation time in units of the stream's time base; None: unknown.
        elements: Number of feature values that the packet stands for; None: unknown.
    """

    pts: int | None
    elements: int | None

    def __new__(
        cls,
        data: bytes | bytearray | memoryview = b"",
        *,
        pts: int | None = None,
        elements: int | None = None,
    ) -> Packet:
        """Makes a packet of a copy of `data`."""
        packet = super().__new__(cls, data)
        packet.pts = pts
        packet.elements = elements
        return packet

    @property
    def size(self) -> int:
        """Length in bytes, checksum included."""
        return len(self)

    @property
    def bits_per_element(self) -> float | None:
        """Coded bits per feature value; None: the number of values is unknown."""
        return 8 * len(self) / self.elements if self.elements else None

    def __repr__(self) -> str:
        parts = [f"{len(self)} bytes"]
        if self.pts is not None:
            parts.append(f"pts {self.pts}")
        rate = self.bits_per_element
        if rate is not None:
            parts.append(f"{rate:.4g} bits/element")
        return f"<fcmrt.Packet {', '.join(parts)}>"

    # bytes has its own __str__, which would print the contents.
    __str__ = __repr__
