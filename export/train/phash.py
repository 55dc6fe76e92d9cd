"""Perceptual hashes, to be sure that no training picture is a copy of a test picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_DISTANCE = 10  # of 64 bits; unrelated pictures differ in 32 +- 4


@dataclass(frozen=True, slots=True)
class Match:
    """A training picture that looks like a test picture."""

    train: str
    test: str
    distance: int
    """Bits that differ, the better of plain and mirrored."""


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """64-bit hash of the lowest frequencies of a picture (8x8 of a 32x32 DCT, against the median).

    Args:
        image: uint8 `[H, W, 3]`, RGB.
    """
    from PIL import Image

    small = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BOX)
    grid = np.arange(32)
    basis = np.cos(np.pi * (2 * grid[None] + 1) * grid[:9, None] / 64)
    spectrum = basis @ np.asarray(small, np.float64) @ basis.T
    low = spectrum[:8, 1:9].reshape(-1)  # without the column of zero horizontal frequency
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def distance(a: int, b: int) -> int:
    """Number of bits that differ."""
    return (a ^ b).bit_count()


def find_copies(
    train: Mapping[str, NDArray[np.uint8]],
    test: Mapping[str, NDArray[np.uint8]],
    max_distance: int = MAX_DISTANCE,
) -> tuple[list[Match], Match | None]:
    """Compares every training picture, and its mirror image, with every test picture.

    Args:
        train: Name and uint8 `[H, W, 3]` RGB picture.
        test: Likewise.
        max_distance: Pairs that differ in at most so many bits are reported.

    Returns:
        The matches, and the closest pair of all (None when one side is empty).
    """
    hashes = {name: perceptual_hash(image) for name, image in test.items()}
    matches: list[Match] = []
    closest: Match | None = None
    for name, image in train.items():
        plain = perceptual_hash(image)
        mirrored = perceptual_hash(np.ascontiguousarray(image[:, ::-1]))
        for other, value in hashes.items():
            match = Match(name, other, min(distance(plain, value), distance(mirrored, value)))
            if match.distance <= max_distance:
                matches.append(match)
            if closest is None or match.distance < closest.distance:
                closest = match
    return matches, closest
