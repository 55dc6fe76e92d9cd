"""The feature anchor: levels packed into a 10-bit frame that x265 codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from . import x265
from .packing import RANGE_BYTES, Frame, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]


class Packed(NamedTuple):
    """Coded features of one picture."""

    still: x265.Still
    ranges: Float32
    """float32 [levels, 2], minimum and maximum."""

    @property
    def size(self) -> int:
        """Bytes, without what is sent once for a stream."""
        return len(self.still.data) + RANGE_BYTES * len(self.ranges)


@dataclass(frozen=True, slots=True)
class FeaturesInX265:
    """One operating point; a `Coder` of features."""

    preset: x265.Preset
    qp: int

    @property
    def label(self) -> int:
        """The QP."""
        return self.qp

    def encode(self, features: Mapping[str, Float32]) -> Packed:
        """Pack and code the features of one picture (float32 `[C, H, W]`, finest first)."""
        plane, ranges = pack(features)
        return Packed(x265.encode_plane(plane, self.preset, self.qp), ranges)

    def round_trip(self, features: Mapping[str, Float32]) -> tuple[int, dict[str, Float32]]:
        """Give the bytes that the features of one picture take, and what is decoded from them."""
        coded = self.encode(features)
        frame = Frame(x265.decode_plane(coded.still), coded.ranges)
        shapes = {name: level.shape for name, level in features.items()}
        return coded.size, unpack(frame, shapes)
