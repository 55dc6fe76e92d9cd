"""Feature levels packed into one frame of 10-bit samples, as MPEG's test model for features does.

The channels of a level are tiled, side by side, in rows; the finest level decides the frame's
width (with the largest divisor of its channels that is not above their root as the number of its
rows), the coarser ones are tiled into the same width below it. Samples are the values between the
minimum and the maximum, in 1023 steps.

The test model sends one range with each frame, which holds one tensor, its levels having been
reduced to one before. Here levels stay apart, so each is a tensor with a range of its own: two
float32, counted. One range for all levels takes more bytes at the distances that matter
(benchmarks/README.md). Values are rounded to the nearest step, where the test model's anchors round
down.

Source: CompressAI-Vision's tiling and its "feature anchor" quantiser.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Shape = tuple[int, ...]

LARGEST = 2**10 - 1
RANGE_BYTES = 2 * 4  # minimum and maximum of a level


class Frame(NamedTuple):
    """Packed features of one picture."""

    plane: NDArray[np.uint16]
    """uint16 [H, W], 0 to 1023."""
    ranges: Float32
    """float32 [levels, 2], minimum and maximum."""


class Tiling(NamedTuple):
    """Rows and columns of a level's tiles."""

    rows: int
    columns: int


def tilings(shapes: Mapping[str, Shape]) -> dict[str, Tiling]:
    """Give the tiling of every level.

    Args:
        shapes: Channels, height and width of each level, finest first.
    """
    found: dict[str, Tiling] = {}
    frame_width = 0
    for name, (channels, _, width) in shapes.items():
        if not found:
            rows = max(d for d in range(1, math.isqrt(channels) + 1) if channels % d == 0)
            frame_width = channels // rows * width
        columns = frame_width // width
        found[name] = Tiling(-(-channels // columns), columns)
    return found


def pack(features: Mapping[str, Float32]) -> Frame:
    """Pack the features of one picture.

    Args:
        features: float32 `[C, H, W]` by level, finest first.
    """
    parts, ranges = [], []
    layout = tilings({name: level.shape for name, level in features.items()})
    first = next(iter(features))
    frame_width = layout[first].columns * features[first].shape[2]
    for name, level in features.items():
        low, high = level.min(), level.max()
        step = float(high - low) / LARGEST or 1.0  # a constant level: any step will do
        samples = np.rint((level.astype(np.float64) - low) / step)
        blank = np.rint(samples.mean())  # what no channel fills; costs next to nothing
        (rows, columns), (channels, height, width) = layout[name], level.shape
        tiles = np.full((rows * columns, height, width), blank)
        tiles[:channels] = samples
        part = np.full((rows * height, frame_width), blank)
        part[:, : columns * width] = (
            tiles.reshape(rows, columns, height, width)
            .transpose(0, 2, 1, 3)
            .reshape(rows * height, columns * width)
        )
        parts.append(part)
        ranges.append((low, high))
    return Frame(np.concatenate(parts).astype(np.uint16), np.array(ranges, np.float32))


def unpack(frame: Frame, shapes: Mapping[str, Shape]) -> dict[str, Float32]:
    """Undo `pack`, but for the rounding.

    Args:
        frame: Packed features, decoded ones perhaps.
        shapes: Channels, height and width of each level, finest first.

    Returns:
        float32 `[C, H, W]` by level, owned.
    """
    features, top = {}, 0
    layout = tilings(shapes)
    for (name, (channels, height, width)), (low, high) in zip(
        shapes.items(), frame.ranges.astype(np.float64), strict=True
    ):
        rows, columns = layout[name]
        part = frame.plane[top : top + rows * height, : columns * width]
        top += rows * height
        tiles = part.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
        samples = tiles.reshape(rows * columns, height, width)[:channels]
        features[name] = (low + samples * ((high - low) / LARGEST)).astype(np.float32)
    return features
