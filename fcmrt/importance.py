"""Importance from what users specify: offsets of levels, boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import instance, whole
from .arrays import as_numpy
from .bitstream import Importance, Rectangle, Regions
from .bitstream.importance import MAX_BLOCK_BITS, MAX_OFFSET
from .errors import ConfigError
from .groups import Group, quality_groups
from .manifest import Manifest
from .spec import Size, margins, padded_size

ROI_GAIN = 8
"""Steps that regions of interest are finer by: half the width, where 8 steps are an octave."""

_RECTANGLES = 32
"""Most rectangles of regions, some 130 bytes; regions that need more get larger blocks."""

_NO_BOXES = (
    "roi must be boxes of four numbers, [N, 4] or [4], or a mask of the finest level's cells: make "
    "the mask bool, an array [H, W]"
)

_FAR = 16
"""In widths or heights of the picture. If only a part of a picture is coded, boxes may well reach
beyond it; a box that reaches further than this must be in pixels."""

I16 = npt.NDArray[np.int16]


def importance_of(
    manifest: Manifest,
    sizes: Sequence[Size],
    level_offsets: Mapping[str, int] | None,
    roi: Any,
    roi_gain: int,
) -> Importance:
    """Makes an importance; arguments and errors as `Encoder.importance`.

    Args:
        manifest: The engine's.
        sizes: Height and width of every level, in the engine's order.
        level_offsets: Steps by level; None: there are none.
        roi: Boxes or a mask; None: neither.
        roi_gain: Steps by which boxes, and masks of truth values, are finer.
    """
    gain = whole(roi_gain, "roi_gain")
    groups = quality_groups(manifest)
    offsets = [0] * len(groups)
    if level_offsets is not None:
        instance(level_offsets, Mapping, "level_offsets", "it must be steps by level")
        for name, offset in level_offsets.items():
            offsets[_number(groups, name)] = whole(offset, f"the offset of level {name!r}")
    if roi is None:
        return Importance(tuple(offsets))
    finest = next(n for n, feature in enumerate(manifest.features) if feature.stride == 1)
    cells = _cells(roi, sizes[finest], gain)
    padded = padded_size(manifest.features, sizes, manifest.padding)
    top, bottom, left, right = margins(sizes[finest], padded, manifest.padding)
    cells = np.pad(cells, ((top, bottom), (left, right)), mode="edge")
    strides = [manifest.tensors[source].stride for group in groups for source in group.sources]
    return Importance(tuple(offsets), (), regions_of(cells, _common_bits(strides)))


def _number(groups: Sequence[Group], level: str) -> int:
    names = [group.name for group in groups]
    if level not in names:
        raise ConfigError(
            f"level {level!r} has no latent of its own in this engine; those that can have an "
            f"offset are: {', '.join(names) or 'none'}"
        )
    return names.index(level)


def _cells(roi: Any, size: Size, gain: int) -> I16:
    """Returns the offsets of the finest level's cells, `[H, W]`."""
    if not isinstance(roi, list | tuple):
        roi = as_numpy(roi, "roi")
        if roi.dtype == np.bool_ or np.issubdtype(roi.dtype, np.integer):
            return _mask(roi, size, gain)
        if roi.shape == size:
            raise ConfigError(
                f"roi is {roi.dtype} of the shape of a mask, {list(size)}: make the mask bool "
                "(roi > 0.5), or give boxes as a list"
            )
    rows, columns = size
    scaled = np.clip(_boxes(roi), 0, 1) * (columns, rows, columns, rows)
    cells = np.zeros(size, np.int16)
    for left, top, right, bottom in np.c_[np.floor(scaled[:, :2]), np.ceil(scaled[:, 2:])]:
        cells[int(top) : int(bottom), int(left) : int(right)] = -_checked(gain)
    return cells


def _boxes(roi: Any) -> npt.NDArray[np.float64]:
    """Checks boxes as users give them; returns `[N, 4]`."""
    try:
        boxes = np.asarray(roi, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(_NO_BOXES) from error
    if boxes.shape == (0,) or boxes.shape == (4,):
        boxes = boxes.reshape(-1, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ConfigError(f"{_NO_BOXES}; this has the shape {list(boxes.shape)}")
    if not np.isfinite(boxes).all() or (boxes[:, :2] > boxes[:, 2:]).any():
        raise ConfigError(
            "a box of roi is not left, top, right, bottom in fractions of the picture"
        )
    # Boxes may lie outside: of objects that leave the picture, or if only a part of it is coded.
    far = (np.abs(boxes) > _FAR).any(1)
    whole = (boxes == np.rint(boxes)).all(1) & (boxes[:, :2] > 1).any(1)
    for box in boxes[far | whole][:1]:
        raise ConfigError(
            f"the box {box.tolist()} of roi lies far outside: coordinates are fractions of the "
            "picture, not pixels; divide them by the picture's width and height"
        )
    return boxes


def _mask(mask: npt.NDArray[Any], size: Size, gain: int) -> I16:
    if mask.shape != size:
        raise ConfigError(
            f"the mask has the shape {list(mask.shape)}; the finest level has {list(size)} cells"
        )
    if mask.dtype == np.bool_:
        return np.where(mask, -_checked(gain), 0).astype(np.int16)
    for offset in (mask.min(), mask.max()):
        _checked(int(offset))
    return mask.astype(np.int16)


def _checked(offset: int) -> int:
    if abs(offset) > MAX_OFFSET:
        raise ConfigError(f"regions are {offset} steps from the rest; at most {MAX_OFFSET} can be")
    return offset


def _common_bits(strides: Sequence[int]) -> int:
    """Returns the side, as a power of two, of the largest block that divides all latents' cells."""
    together = int(np.bitwise_or.reduce(strides)) if strides else 1
    return min((together & -together).bit_length() - 1, MAX_BLOCK_BITS)


def regions_of(cells: I16, block_bits: int = 0) -> Regions | None:
    """Returns regions with the offsets of cells, in blocks that have the least of theirs.

    Args:
        cells: Offsets of the padded finest level's cells, int16 `[rows, columns]`, -255 to 255.
        block_bits: Least side of a block, as a power of two; it is doubled until there are at most
            32 rectangles.

    Raises:
        ConfigError: Even the largest blocks need more rectangles.
    """
    if not cells.any():
        return None
    while block_bits <= MAX_BLOCK_BITS:
        rectangles = rectangles_of(_blocks(cells, 1 << block_bits))
        if rectangles is not None:
            return Regions(block_bits, tuple(rectangles)) if rectangles else None
        block_bits += 1
    raise ConfigError("the regions have too many shapes to be coded")


def _blocks(cells: I16, side: int) -> I16:
    """Returns the least offset in each block, `[rows, columns]`."""
    for axis in (0, 1):
        cells = np.minimum.reduceat(cells, range(0, cells.shape[axis], side), axis)
    return cells


def rectangles_of(blocks: I16) -> list[Rectangle] | None:
    """Returns the rectangles of a grid of offsets, as `Regions` wants them; None: too many."""
    left = blocks.copy()
    found: list[Rectangle] = []
    while left.any() and len(found) <= _RECTANGLES:
        row, column = divmod(int(np.argmax(left != 0)), left.shape[1])
        offset = left[row, column]
        columns = _run(left[row, column:] == offset)
        rows = _run((left[row:, column : column + columns] == offset).all(1))
        left[row : row + rows, column : column + columns] = 0
        found.append(Rectangle(row, column, rows, columns, int(offset)))
    return found if len(found) <= _RECTANGLES else None


def _run(same: npt.NDArray[np.bool_]) -> int:
    """Returns how many are True before the first that is not."""
    return len(same) if same.all() else int(np.argmin(same))
