"""A packet's importance: where the quality step differs from the picture's.

Rules: `docs/format.md`, sections 7 and 8; `importance_syntax` has the bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from ..arguments import instance, sequence, whole
from ..errors import ConfigError
from .varint import U32_MAX

MAX_GROUPS = 64
MAX_OFFSET = 255
MAX_BLOCK_BITS = 12
MAX_BLOCKS = 1 << 16
MAX_RECTANGLES = 256


class Rectangle(NamedTuple):
    """A rectangle of blocks that share one offset; place and size are counted in blocks."""

    row: int
    column: int
    rows: int
    columns: int
    offset: int
    """Steps to add to those of the elements here, not 0; negative: finer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Regions:
    """Offsets of parts of the picture, on a grid of blocks; 0 everywhere else.

    Each grid of offsets has exactly one list of rectangles. Going through the blocks row by row, a
    rectangle begins at each block that has an offset and is in no rectangle yet; it grows to the
    right, and then downwards, as long as blocks have the same offset and are in no rectangle yet.
    """

    block_bits: int
    """Side of a block: 2^block_bits cells of the padded finest level; 0 to 12."""

    rectangles: tuple[Rectangle, ...]
    """1 to 256, disjoint, by row and column of the first block."""

    def __post_init__(self) -> None:
        rectangles = tuple(_rectangle(r) for r in sequence(self.rectangles, "rectangles"))
        object.__setattr__(self, "rectangles", rectangles)
        bits = whole(self.block_bits, "block_bits", 0, MAX_BLOCK_BITS)
        object.__setattr__(self, "block_bits", bits)
        if not 1 <= len(self.rectangles) <= MAX_RECTANGLES:
            raise ConfigError(
                f"there are {len(self.rectangles)} rectangles; there must be 1 to {MAX_RECTANGLES}"
            )
        for number, rectangle in enumerate(self.rectangles):
            _check_rectangle(rectangle)
            _check_form(rectangle, self.rectangles[number + 1 :])


def _rectangle(value: object) -> Rectangle:
    numbers = sequence(value, "a rectangle")
    if len(numbers) != len(Rectangle._fields):
        raise ConfigError(
            f"a rectangle is {', '.join(Rectangle._fields)}; not {len(numbers)} parts"
        )
    return Rectangle(*(whole(number, "a number of a rectangle") for number in numbers))


def _check_rectangle(rectangle: Rectangle) -> None:
    row, column, rows, columns, offset = rectangle
    if min(row, column) < 0 or min(rows, columns) < 1:
        raise ConfigError(f"{rectangle} has no blocks, or lies above or left of the picture")
    if max(row + rows, column + columns) > MAX_BLOCKS:
        raise ConfigError(f"{rectangle} reaches beyond {MAX_BLOCKS} blocks")
    if not 1 <= abs(offset) <= MAX_OFFSET:
        raise ConfigError(f"{rectangle} has an offset that is 0 or beyond {MAX_OFFSET}")


def _check_form(rectangle: Rectangle, later: Sequence[Rectangle]) -> None:
    """Checks one rectangle against those after it: order, overlap, and whether it can grow."""
    row, column, rows, columns, offset = rectangle
    below = 0
    for other in later:
        if other[:2] <= (row, column):
            raise ConfigError("the rectangles are not in order")
        if other.row > row + rows:
            break
        shared = min(column + columns, other.column + other.columns) - max(column, other.column)
        if other.row < row + rows and shared > 0:
            raise ConfigError("two rectangles overlap")
        if other.offset == offset and other.row == row + rows:
            below += max(shared, 0)
        if other.offset == offset and other[:2] == (row, column + columns):
            raise ConfigError("a rectangle could go on to the right")
    if below == columns:
        raise ConfigError("a rectangle could go on downwards")


@dataclasses.dataclass(frozen=True, slots=True)
class Importance:
    """Where in a picture the quality step differs from the packet's `d`.

    The step number of an element is `d`, plus the offset of its group, plus 1 if its channel is one
    of the group's first `mix`, plus the offset of its region; clipped to the engine's table. False
    if it is `d` everywhere. Groups are those of `fcmrt.groups`, in their order; zeros at the end of
    `offsets` and `mix` are dropped.
    """

    offsets: tuple[int, ...] = ()
    """By group, steps added to `d`, -255 to 255; negative: finer."""

    mix: tuple[int, ...] = ()
    """By group, how many of its first channels take one step more; less than all."""

    regions: Regions | None = None
    """Offsets of parts of the picture; None: there are none."""

    def __post_init__(self) -> None:
        for field in ("offsets", "mix"):
            given = sequence(getattr(self, field), field)
            numbers = [whole(number, f"a number of {field}") for number in given]
            while numbers and not numbers[-1]:
                numbers.pop()
            if len(numbers) > MAX_GROUPS:
                raise ConfigError(f"{field} has {len(numbers)} groups; at most 64 can be")
            object.__setattr__(self, field, tuple(numbers))
        if self.regions is not None:
            instance(self.regions, Regions, "regions")
        if any(abs(offset) > MAX_OFFSET for offset in self.offsets):
            raise ConfigError(f"an offset of {self.offsets} is beyond {MAX_OFFSET}")
        if any(not 0 <= count <= U32_MAX for count in self.mix):
            raise ConfigError(f"a mix of {self.mix} is no number of channels")

    def __bool__(self) -> bool:
        return bool(self.offsets or self.mix or self.regions)

    @property
    def groups(self) -> int:
        """Number of groups up to the last one that has an offset or a mix."""
        return max(len(self.offsets), len(self.mix))

    def offset(self, group: int) -> int:
        """Returns the offset of a group, given its number from 0."""
        return self.offsets[group] if group < len(self.offsets) else 0

    def mixed(self, group: int) -> int:
        """Returns how many first channels of a group take one step more."""
        return self.mix[group] if group < len(self.mix) else 0


EVEN = Importance()
"""The same step everywhere."""
