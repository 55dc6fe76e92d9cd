"""The pixel anchors: the picture itself is coded, and the whole network runs where it arrives.

"Remote inference" in MPEG's words. The picture is coded at the size that the network takes, without
the padding, in 8 bits and 4:2:0. As with features, what a stream sends once is not counted: the
parameter sets of x265, the boxes of AVIF around the coded picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from . import x265

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

AVIF_SPEED = 6  # Pillow's default
BOX_HEAD = 8  # bytes of a box's size and name


@dataclass(frozen=True, slots=True)
class PixelsInX265:
    """One operating point; a `Coder` of pixels."""

    preset: x265.Preset
    qp: int

    @property
    def label(self) -> int:
        """The QP."""
        return self.qp

    def encode(self, pixels: Pixels) -> x265.Still:
        """Code one picture (uint8 `[H, W, 3]`, RGB); odd sides are made even by their edge."""
        height, width = pixels.shape[:2]
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
        return x265.encode(frame, self.preset, self.qp)

    def round_trip(self, pixels: Pixels) -> tuple[int, Pixels]:
        """Give the bytes that one picture takes, and the decoded picture."""
        still = self.encode(pixels)
        height, width = pixels.shape[:2]
        decoded = x265.decode(still).to_ndarray(format="rgb24")
        return len(still.data), decoded[:height, :width]


@dataclass(frozen=True, slots=True)
class PixelsInAvif:
    """One operating point; a `Coder` of pixels."""

    quality: int
    """Of Pillow, 0 to 100."""

    @property
    def label(self) -> int:
        """The quality."""
        return self.quality

    def encode(self, pixels: Pixels) -> bytes:
        """Code one picture (uint8 `[H, W, 3]`, RGB) as a file."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(
            file,
            "AVIF",
            quality=self.quality,
            speed=AVIF_SPEED,
            subsampling="4:2:0",
            max_threads=x265.THREADS,
        )
        return file.getvalue()

    def round_trip(self, pixels: Pixels) -> tuple[int, Pixels]:
        """Give the bytes that one picture takes, and the decoded picture."""
        data = self.encode(pixels)
        with Image.open(io.BytesIO(data)) as image:
            return media_bytes(data), np.asarray(image.convert("RGB"))


def media_bytes(data: bytes) -> int:
    """Give the bytes of coded pictures in an AVIF file: the contents of its `mdat` boxes.

    Raises:
        ValueError: A box has no size of 32 bits of its own, or is cut off.
    """
    total = place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if size < BOX_HEAD or place + size > len(data):
            raise ValueError(f"box of {size} bytes at {place} of {len(data)}")
        if data[place + 4 : place + BOX_HEAD] == b"mdat":
            total += size - BOX_HEAD
        place += size
    return total
