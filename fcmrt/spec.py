"""The specifications of an engine's tensors, and the arithmetic of sizes, steps and qualities.

Sizes are `(height, width)` in cells. Strides count cells of the finest feature level, whose stride
is 1: a tensor of stride 4 has a quarter of the finest level's rows, rounded up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from .arguments import real
from .errors import ConfigError, ShapeError

Size = tuple[int, int]
DType = Literal["float32", "int32"]
Mechanism = Literal["step", "gain"]
Parity = Literal["even", "odd"]
PaddingMode = Literal["reflect", "replicate", "zero"]

UNIT_STEP = 1 << 16
"""The step width of latents that do not follow the quality: 1.0 in units of 2^-16."""

GAIN_STEPS = 16
"""Step numbers from one trained gain to the next."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of the schedule, `[1, channels, height, width]`."""

    channels: int
    stride: int
    """In cells of the finest level."""
    dtype: DType


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One level of the features that the codec takes and gives back."""

    name: str
    channels: int
    stride: int
    """In cells of the finest level; the finest has 1."""

    @property
    def tensor(self) -> TensorSpec:
        """The level as a tensor of the schedule."""
        return TensorSpec(self.channels, self.stride, "float32")


@dataclasses.dataclass(frozen=True, slots=True)
class LatentSpec:
    """Integers that one code step codes: a source tensor, or a part of it, quantised.

    Means and indexes are tensors at the source's stride, with all of the source's channels or only
    the latent's. The dequantised tensor has all of the source's channels and is zero outside of the
    latent.
    """

    source: str
    """The float tensor that the encoder quantises."""
    tables: str
    indexes: str | None
    """An int32 tensor of unclipped table indexes. None: the table is the channel's number, counted
    from the start of `channels`; written as "channel" in the manifest."""
    means: str | None
    """An int32 tensor in units of 2^-mean_bits; None: no means."""
    step: bool
    """Whether the packet's quality step applies; False: the step is 1."""
    skip: int
    """Elements whose table index is below it are not coded; 0: all are."""
    channels: tuple[int, int] | None = None
    """Which channels of the source, end excluded; None: all."""
    parity: Parity | None = None
    """Which cells of the checkerboard, by row + column; None: both."""

    def channel_range(self, source: TensorSpec) -> tuple[int, int]:
        """Returns the channels of the source that the latent takes, end excluded."""
        return (0, source.channels) if self.channels is None else self.channels


@dataclasses.dataclass(frozen=True, slots=True)
class Padding:
    """How features are brought to the sizes that the graphs run at."""

    multiple: int
    """Height and width of the finest level are rounded up to it, in cells."""
    mode: PaddingMode
    align: Literal["start", "center"]
    """Where the features lie: at the top left, or in the middle (the odd cell below, right)."""


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)


def level_sizes(features: Sequence[FeatureSpec], height: int, width: int) -> tuple[Size, ...]:
    """Returns the sizes of all levels if the finest has `height` times `width` cells."""
    return tuple((_ceil_div(height, f.stride), _ceil_div(width, f.stride)) for f in features)


def require_related(features: Sequence[FeatureSpec], sizes: Sequence[Size]) -> None:
    """Refuses sizes that levels of one picture cannot have.

    A level's sides are the finest level's over the stride, rounded up or down; as networks pad in
    different ways, they may be one cell more or less.

    Args:
        features: The levels.
        sizes: Size of each, in the same order.

    Raises:
        ShapeError: They belong to different pictures, or are in another order.
    """
    finest = next(size for f, size in zip(features, sizes, strict=True) if f.stride == 1)
    for feature, size in zip(features, sizes, strict=True):
        for side, whole in zip(size, finest, strict=True):
            least, most = whole // feature.stride - 1, _ceil_div(whole, feature.stride) + 1
            if not least <= side <= most:
                found = ", ".join(
                    f"{f.name} {s[0]} x {s[1]} (stride {f.stride})"
                    for f, s in zip(features, sizes, strict=True)
                )
                raise ShapeError(
                    f"these are not levels of one picture: {found}; {feature.name} must have about "
                    f"1/{feature.stride} of the finest level's rows and columns. Check their order"
                )


def padded_size(features: Sequence[FeatureSpec], sizes: Sequence[Size], padding: Padding) -> Size:
    """Returns the canonical size of the finest level: the least allowed one that holds all levels.

    Args:
        features: The levels; `padding.multiple` is a multiple of their strides.
        sizes: Size of each level, in the same order.
        padding: The engine's rule.

    Returns:
        `(height, width)` in cells of the finest level; each level is padded to that by its stride.

    Raises:
        ShapeError: There is not one size for each level, or a size is below 1.
    """
    if len(sizes) != len(features):
        raise ShapeError(f"got {len(sizes)} feature levels; the engine has {len(features)}")
    for feature, size in zip(features, sizes, strict=True):
        if min(size) < 1:
            raise ShapeError(f"feature {feature.name!r} has {size[0]} x {size[1]} cells")

    def side(axis: int) -> int:
        least = max(s[axis] * f.stride for f, s in zip(features, sizes, strict=True))
        return _ceil_div(least, padding.multiple) * padding.multiple

    return side(0), side(1)


def margins(size: Size, padded: Size, padding: Padding) -> tuple[int, int, int, int]:
    """Returns the cells that pad a level of `size` to `padded`: `(top, bottom, left, right)`."""
    rows, columns = padded[0] - size[0], padded[1] - size[1]
    top, left = (rows // 2, columns // 2) if padding.align == "center" else (0, 0)
    return top, rows - top, left, columns - left


def edge_mode(padding: Padding, size: Size, sides: tuple[int, int, int, int]) -> PaddingMode:
    """Returns how a level is padded: a map smaller than its padding cannot be mirrored.

    Args:
        padding: The engine's rule.
        size: Size of the level.
        sides: Cells to add, as `margins` gives them.
    """
    top, bottom, left, right = sides
    if padding.mode == "reflect" and (max(top, bottom) >= size[0] or max(left, right) >= size[1]):
        return "replicate"
    return padding.mode


def tensor_size(tensor: TensorSpec, padded: Size) -> Size:
    """Returns the size of a tensor when the finest level is padded to `padded`."""
    return _ceil_div(padded[0], tensor.stride), _ceil_div(padded[1], tensor.stride)


def count_elements(latent: LatentSpec, source: TensorSpec, padded: Size) -> int:
    """Returns the number of elements of a latent, skipped ones included, at a canonical size."""
    start, stop = latent.channel_range(source)
    height, width = tensor_size(source, padded)
    cells = height * width
    if latent.parity is not None:
        # The top left cell is even, so if the number of cells is odd, one more of them is even.
        cells = (cells + 1) // 2 if latent.parity == "even" else cells // 2
    return (stop - start) * cells


@dataclasses.dataclass(frozen=True, slots=True)
class StepTable:
    """The engine's quality steps."""

    first: int
    """The step number `d` of the first value."""
    values: tuple[int, ...]
    """Step widths in units of 2^-16, strictly increasing, u32."""

    @property
    def last(self) -> int:
        """The step number `d` of the last value."""
        return self.first + len(self.values) - 1

    def width(self, d: int) -> int:
        """Returns a step's width in units of 2^-16.

        Raises:
            ConfigError: `d` is not in the table.
        """
        if not self.first <= d <= self.last:
            raise ConfigError(f"step {d} is not in the engine's table, {self.first} to {self.last}")
        return self.values[d - self.first]


ONE_STEP = StepTable(0, (UNIT_STEP,))
"""The table of engines whose latents do not follow steps."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quality:
    """The quality levels that a user chooses from, and what the step number `d` acts on.

    There are two mechanisms: with "step" `d` chooses the quantiser's step; with "gain" the step is
    1, and graphs off the exact path scale the latents by an additional input, the `position`.
    """

    levels: tuple[int, ...]
    """The step number `d` of each level, strictly decreasing; level 1, the first, has the fewest
    bytes."""
    default: int
    """1 to the number of levels."""
    input: str | None = None
    """Name of the tensor, float32 `[1, 1, 1, 1]`, that holds the `position`; None: the mechanism is
    "step"."""

    @property
    def mechanism(self) -> Mechanism:
        """The mechanism: "step" or "gain"."""
        return "step" if self.input is None else "gain"

    def position(self, d: int) -> float:
        """Returns a step number's place among the trained gains: -d / 16, exact."""
        return -d / GAIN_STEPS

    def shift(self, quality: float) -> int:
        """Returns the step number `d` of a quality level.

        Args:
            quality: 1 (fewest bytes) to the number of levels; between two levels `d` is
                interpolated and rounded to the nearest integer, ties to even.

        Raises:
            ConfigError: Not a number, or out of range.
        """
        value = real(quality, "quality")
        if not 1 <= value <= len(self.levels):
            raise ConfigError(f"quality is {quality}; this engine has 1 to {len(self.levels)}")
        below = math.floor(value)
        low = self.levels[below - 1]
        high = self.levels[min(below, len(self.levels) - 1)]
        return round(low + (high - low) * Fraction(value - below))
