"""Maps in a device's memory: padded, cropped, and taken apart into a latent's elements."""

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
    """Lays maps into larger or smaller ones.

    Args:
        device: Where the arrays are.
        source: float32 or float16 `[..., C, h, w]`.
        target: float32 or float16 `[..., C, H, W]`, written; the same number of maps. What float16
            cannot hold becomes infinity.
        top: Row of the target in which the source's first lies; negative: the source's are cut off.
        left: The same of columns.
        edge: What stands where the source has no cell. Reflection reaches less than the source's
            height or width beyond its ends.
        findings: int32 `[packets]`, set to 1 where a packet's maps have NaN or infinity; else left
            alone. `[packets, C, h, w]` is then what the source is.
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
    """Its first channel."""
    channels: int
    parity: Literal["even", "odd"] | None
    """Its cells of the checkerboard; None: all."""


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
        selection: Which.
        counts: uint32 `[packets]`, how many they are; the same for all.
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
    """Lays a latent's elements out as its source has them, with zeros around.

    Args:
        device: Where the arrays are.
        source: float32 `[packets, capacity]`.
        selection: Which they are.
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
    """Blocks whose threads take four cells each."""
    return max(1, -(-cells // (4 * shapes.THREADS)))
