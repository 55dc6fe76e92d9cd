"""What is measured: ways to send a picture to the back half, each at several operating points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Pixels = NDArray[np.uint8]
    Coded = tuple[int, Mapping[str, Float32]]

PLAIN = "none"  # the allocation of a codec that has one quality for all levels


class Coder(Protocol):
    """One operating point.

    What it codes is the features of one picture (float32 `[C, H, W]` by level, finest first) or,
    where the system says so, its pixels (uint8 `[H, W, 3]`, RGB).
    """

    @property
    def label(self) -> str | int:
        """Name of the operating point."""

    def encode(self, source: Any) -> object:
        """Code one picture; what is timed."""

    def round_trip(self, source: Any) -> tuple[int, Any]:
        """Give the bytes that one picture takes, and what is decoded from them."""


@dataclass(frozen=True, slots=True)
class System:
    """A codec with a way to spread its bytes over the levels, at several operating points."""

    codec: str
    coders: tuple[Coder, ...]
    few: tuple[Coder, ...]
    """Those of a quick run, and those that are timed: few, and spread over the range of bytes."""
    allocation: str = PLAIN
    family: str = ""
    """Of the engine, where it is one."""
    pixels: bool = False
    """Codes pixels; the whole network runs where they arrive."""
    parallel: bool = True
    """Whether a coder may run in several threads at once."""

    @property
    def name(self) -> str:
        """The codec, and its allocation where it has one."""
        return self.codec if self.allocation == PLAIN else f"{self.codec} ({self.allocation})"
