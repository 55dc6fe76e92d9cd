"""Finds the quality step of each element of a picture's latents.

Rules: `docs/format.md`, section 8.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .bitstream import Importance, Regions
from .elements import elements_of
from .errors import ConfigError
from .groups import Group, quality_groups
from .kernels.api import StepMap
from .manifest import Manifest
from .spec import Size, TensorSpec, tensor_size

I16 = npt.NDArray[np.int16]


class StepRule(NamedTuple):
    """What decides the steps of a latent's elements; equal rules give equal steps."""

    number: int
    """Step number outside of mix and regions, not clipped to the table yet."""
    mixed: int
    """How many of the source's first channels take one step more."""
    regions: Regions | None
    """What is added to it, and where; None: nothing."""


class StepMaps:
    """The steps of the latents of one picture that has an importance.

    Args:
        manifest: The engine's.
        d: The picture's step number.
        importance: What is added to it, and where.
        padded: Size of the padded finest level, in cells.

    Raises:
        ConfigError: The engine has no steps, or fewer groups or channels than `importance`; or a
            region reaches beyond the picture.
    """

    def __init__(self, manifest: Manifest, d: int, importance: Importance, padded: Size) -> None:
        self._manifest = manifest
        self._padded = padded
        groups = quality_groups(manifest)
        _check(manifest, groups, importance, padded)
        table = manifest.steps
        self._first, self._last = table.first, table.last
        self._widths = np.array(table.values, np.uint32)
        self._rules = {
            latent: StepRule(
                d + importance.offset(number),
                self._mixed(latent, importance.mixed(number), group),
                importance.regions,
            )
            for number, group in enumerate(groups)
            for latent in group.latents
        }
        self._planes: dict[int, I16] = {}
        self._steps: dict[str, int | StepMap] = {}

    def _mixed(self, latent: str, mixed: int, group: Group) -> int:
        """Returns how many of a group's first `mixed` channels are in a latent's source."""
        source = self._manifest.latents[latent].source
        before = group.sources[source]
        return min(max(mixed - before, 0), self._manifest.tensors[source].channels)

    def rule(self, latent: str) -> StepRule:
        """Returns what decides the steps of a latent, which must follow the quality."""
        return self._rules[latent]

    def steps(self, latent: str) -> int | StepMap:
        """Returns the steps of a latent, which must follow the quality.

        Returns:
            A step number if all elements have the same; otherwise each element's, in coding order,
            shared by all callers.
        """
        if latent not in self._steps:
            self._steps[latent] = self._make(latent)
        return self._steps[latent]

    def _make(self, name: str) -> int | StepMap:
        latent = self._manifest.latents[name]
        source = self._manifest.tensors[latent.source]
        number, mixed, regions = self._rules[name]
        start, end = latent.channel_range(source)
        more = min(max(mixed - start, 0), end - start)  # channels of the latent with one step more
        if regions is None and more in (0, end - start):
            return self._clipped(number + (more > 0))
        plane = np.zeros((1, 1), np.int16) if regions is None else self._plane(source, regions)
        numbers = np.empty((1, end - start, *tensor_size(source, self._padded)), np.int8)
        for channels, here in (slice(more), number + 1), (slice(more, None), number):
            numbers[:, channels] = np.clip(plane + here, self._first, self._last)
        elements = elements_of(latent, source, self._padded)
        return StepMap(self._widths, self._first, elements.take(numbers))

    def _clipped(self, number: int) -> int:
        return min(max(number, self._first), self._last)

    def _plane(self, source: TensorSpec, regions: Regions) -> I16:
        """Returns the regions' offsets at the cells of a tensor, `[rows, columns]`."""
        if source.stride not in self._planes:
            plane = block_offsets(regions, self._padded)
            for axis, side in enumerate(self._padded):
                plane = _least(plane, axis, side, source.stride, regions.block_bits)
            self._planes[source.stride] = plane
        return self._planes[source.stride]


def block_count(side: int, block_bits: int) -> int:
    """Returns how many blocks cover a side of `side` cells."""
    return -(-side >> block_bits)


def block_offsets(regions: Regions, padded: Size) -> I16:
    """Returns the offsets of all blocks, `[rows, columns]`."""
    rows, columns = (block_count(side, regions.block_bits) for side in padded)
    offsets = np.zeros((rows, columns), np.int16)
    for row, column, height, width, offset in regions.rectangles:
        offsets[row : row + height, column : column + width] = offset
    return offsets


def _least(blocks: I16, axis: int, side: int, stride: int, bits: int) -> I16:
    """Returns the least offset of the blocks that each cell of a stride touches, along one axis."""
    begins = np.arange(0, side, stride)
    first = begins >> bits
    last = np.minimum(begins + stride, side) - 1 >> bits
    least = blocks.take(first, axis)
    for more in range(1, int((last - first).max()) + 1):
        least = np.minimum(least, blocks.take(np.minimum(first + more, last), axis))
    return least


def _check(
    manifest: Manifest, groups: tuple[Group, ...], importance: Importance, padded: Size
) -> None:
    if not groups:
        raise ConfigError(
            "this engine's latents take no step (its quality follows gains, or cannot be chosen), "
            "so no part of a picture can have a step of its own"
        )
    if not -128 <= manifest.steps.first <= manifest.steps.last <= 127:
        raise ConfigError(
            f"this engine's steps go from {manifest.steps.first} to {manifest.steps.last}; parts "
            "of a picture can have steps of their own within -128 to 127"
        )
    if importance.groups > len(groups):
        names = ", ".join(group.name for group in groups)
        raise ConfigError(f"the importance has {importance.groups} groups; this engine has {names}")
    for number, group in enumerate(groups):
        if importance.mixed(number) >= group.channels:
            raise ConfigError(
                f"{importance.mixed(number)} channels of {group.name} are mixed; it has "
                f"{group.channels}, and all of them with one step more are an offset"
            )
    if importance.regions is not None:
        bits = importance.regions.block_bits
        rows, columns = (block_count(side, bits) for side in padded)
        for found in importance.regions.rectangles:
            if found.row + found.rows > rows or found.column + found.columns > columns:
                raise ConfigError(f"{found} reaches beyond the picture's {rows} x {columns} blocks")
