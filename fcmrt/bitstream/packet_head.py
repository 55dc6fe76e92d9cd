"""The fields of a packet; `packet_syntax` has their bytes.

Rules: `docs/format.md`, section 7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..errors import BitstreamError, ConfigError
from .importance import EVEN, Importance
from .varint import U32_MAX, zigzag

LANES = (1, 2, 4, 8, 16, 32)
MAX_SEGMENTS = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes of the levels, where a packet carries them itself."""

    sizes: tuple[tuple[int, int], ...]
    """Height and width, at least 1: of the finest level alone, or of every level (2 or more)."""

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ConfigError("a geometry needs the size of at least one level")
        for height, width in self.sizes:
            if not (1 <= height <= U32_MAX and 1 <= width <= U32_MAX):
                raise ConfigError(f"a level cannot have a size of {height} x {width}")

    @classmethod
    def of_levels(cls, sizes: Sequence[tuple[int, int]], strides: Sequence[int]) -> Geometry:
        """Chooses the shorter form that holds the sizes of all levels.

        Args:
            sizes: Height and width of every level, in the engine's order.
            strides: Stride of every level, in cells of the finest, whose stride is 1.

        Raises:
            ConfigError: There is not one stride for each size, or none that is 1.
        """
        if len(sizes) != len(strides) or 1 not in strides:
            raise ConfigError(f"{len(sizes)} sizes do not go with the strides {tuple(strides)}")
        finest = cls((sizes[strides.index(1)],))
        return finest if finest._derived(strides) == tuple(sizes) else cls(tuple(sizes))

    def level_sizes(self, strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Returns height and width of every level.

        Args:
            strides: Stride of every level, in cells of the finest, whose stride is 1.

        Raises:
            BitstreamError: There are sizes for another number of levels, or for every level
                although the finest level's would do.
        """
        if len(self.sizes) == 1:
            return self._derived(strides)
        if len(self.sizes) != len(strides):
            raise BitstreamError(
                f"the packet has sizes of {len(self.sizes)} levels, the engine has {len(strides)}"
            )
        if len(self.of_levels(self.sizes, strides).sizes) == 1:
            raise BitstreamError("the packet carries all sizes where the finest would do")
        return self.sizes

    def _derived(self, strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
        height, width = self.sizes[0]
        return tuple((-(-height // stride), -(-width // stride)) for stride in strides)


@dataclasses.dataclass(frozen=True, slots=True)
class PacketHead:
    """The fields of a packet that come before its segments."""

    lanes: int
    """States of a segment: 1, 2, 4, 8, 16 or 32."""

    step: int
    """Number of the quality step, a signed 32-bit integer."""

    geometry: Geometry | None
    """Sizes of the levels; None: those of the stream header."""

    words: tuple[int, ...]
    """Number of 16-bit words of each segment, for 1 to 256 segments."""

    escape_bytes: int
    """Length of the escape section; 0: there is none."""

    importance: Importance = EVEN
    """Where the step differs from `step`."""

    def __post_init__(self) -> None:
        if self.lanes not in LANES:
            raise ConfigError(f"lanes is {self.lanes}; it must be 1, 2, 4, 8, 16 or 32")
        zigzag(self.step)
        if not 1 <= len(self.words) <= MAX_SEGMENTS:
            raise ConfigError(f"there are {len(self.words)} segments; there must be 1 to 256")
        if min(self.words) < 0 or max(self.words) > U32_MAX:
            raise ConfigError("a segment's number of words is out of range")
        if not 0 <= self.escape_bytes <= U32_MAX:
            raise ConfigError(f"escape_bytes is {self.escape_bytes}")

    @property
    def segment_bytes(self) -> int:
        """Length of all segments in bytes, states and words."""
        return 4 * self.lanes * len(self.words) + 2 * sum(self.words)
