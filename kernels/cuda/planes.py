"""Pads and crops maps in a device's memory, and gathers a latent's elements from them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from . import shapes
from .device import Device, DeviceArray
from .elements import row_arguments

Edge = Literal["zero", "replicate", "reflect"]

_EDGES = {"zero": 0, "replicate": 1, "reflect": 2}  # as planes.cuh has them
_PARITIES = {None: 0, "even": 1, "odd": 2}


def place_planes(
    device: Device,
    source: DeviceArray,
    target: DeviceArray,
    *,
    top: int = 0,
    left: int = 0,
    edge: Edge = "zero",
    findings: DeviceArray | None = None,
) -> None:
    """Copies maps into larger or smaller ones: pads or crops them.

    Args:
        device: Where the arrays are.
        source: float32 or float16 `[..., C, h, w]`.
        target: float32 or float16 `[..., C, H, W]`, written; the same number of maps. What float16
            cannot hold becomes infinity.
        top: Row of the target where the source's first row goes; negative: that many rows of the
            source are cut off.
        left: The same for columns.
        edge: What fills cells where the source has none. For reflection there may be fewer of them,
            on each side, than the source has rows or columns.
        findings: int32 `[packets]`, set to 1 for packets whose maps have NaN or infinity, otherwise
            left alone; the source is then `[packets, C, h, w]`.
    """
    device.launch(
        "place_planes",
        (_blocks(target.size), 1, 1),
        shapes.THREADS,
        source,
        np.uint32(source.dtype.itemsize),
        *map(np.uint32, source.shape[-2:]),
        target,
        np.uint32(target.dtype.itemsize),
        *map(np.uint32, target.shape[-2:]),
        np.uint64(target.size),
        np.int32(top),
        np.int32(left),
        np.uint32(_EDGES[edge]),
        np.uint32(source.shape[-3]),
        findings,
    )


class Selection(NamedTuple):
    """Which elements of a map's channels a latent takes."""

    first: int
    """The first channel that it takes."""
    channels: int
    """How many channels it takes."""
    parity: Literal["even", "odd"] | None
    """Which cells of the checkerboard it takes; None: all."""


def gather_elements(
    device: Device,
    source: DeviceArray,
    selection: Selection,
    counts: DeviceArray,
    target: DeviceArray,
) -> None:
    """Gathers a latent's elements in coding order (`docs/format.md`, section 3).

    Args:
        device: Where the arrays are.
        source: float32 or int32 `[packets, C, H, W]`.
        selection: Which elements.
        counts: uint32 `[packets]`, the number of elements; the same for all packets.
        target: `[packets, capacity]` of the same type, written.
    """
    _, channels, rows, columns = source.shape
    device.launch(
        "gather_elements",
        (shapes.chunks(target.shape[1]), target.shape[0], 1),
        shapes.THREADS,
        source.view(np.uint32),
        np.uint32(channels),
        np.uint32(rows * columns),
        np.uint32(columns),
        np.uint32(selection.first),
        np.uint32(_PARITIES[selection.parity]),
        *row_arguments(counts, target.shape[1]),
        target.view(np.uint32),
    )


def scatter_elements(
    device: Device, source: DeviceArray, selection: Selection, target: DeviceArray
) -> None:
    """Puts a latent's elements back in their places in the source, with zeros elsewhere.

    Args:
        device: Where the arrays are.
        source: float32 `[packets, capacity]`.
        selection: Which elements they are.
        target: float32 `[packets, C, H, W]`, written.
    """
    _, channels, rows, columns = target.shape
    device.launch(
        "scatter_elements",
        (_blocks(target.size), 1, 1),
        shapes.THREADS,
        source.view(np.uint32),
        np.uint32(source.shape[1]),
        target.view(np.uint32),
        np.uint32(channels),
        np.uint32(rows * columns),
        np.uint32(columns),
        np.uint32(selection.first),
        np.uint32(selection.channels),
        np.uint32(_PARITIES[selection.parity]),
        np.uint64(target.size),
    )


def _blocks(cells: int) -> int:
    """Returns the number of blocks whose threads take four cells each."""
    return max(1, -(-cells // (4 * shapes.THREADS)))
