"""How well a mask survives the codec: agreement and distance.

As in `agreement`, the network's own mask on uncompressed features stands in for the label; that
module also pools the sums of a distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError
from .agreement import pair_up, pooled_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .selfie import Outputs

    Float64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How the two masks of one picture overlap."""

    intersection: int
    """Pixels that both masks hold."""
    union: int
    """Pixels that either mask holds."""
    references: int
    """1 if the reference mask holds a pixel, else 0."""


def match(references: Sequence[Mask], candidates: Sequence[Mask]) -> list[Overlap]:
    """Counts how masks overlap, picture by picture.

    Args:
        references: Masks on uncompressed features, bool `[h, w]`, one per picture.
        candidates: Masks on decoded features of the same pictures.

    Raises:
        ShapeError: Not one entry per picture on both sides, or two masks differ in size.
    """
    overlaps = []
    for wanted, given in pair_up(references, candidates):
        if wanted.shape != given.shape:
            raise ShapeError(f"masks differ in size: {wanted.shape} and {given.shape}")
        shared, covered = int((wanted & given).sum()), int((wanted | given).sum())
        overlaps.append(Overlap(shared, covered, int(wanted.any())))
    return overlaps


def pooled_iou(overlaps: Sequence[Overlap]) -> Callable[[Float64 | None], float]:
    """Returns intersection over union of a set as a function of how often each picture counts.

    Pixels are pooled over pictures, as is usual for segmentation: a picture without a person costs
    nothing unless the candidate finds one.

    Returns:
        A function from float64 `[pictures]` (None: each once) to 0..1; NaN if no mask holds a
        pixel.
    """
    shared = np.array([overlap.intersection for overlap in overlaps], np.float64)
    covered = np.array([overlap.union for overlap in overlaps], np.float64)

    def iou(weights: Float64 | None = None) -> float:
        weights = np.ones(len(shared)) if weights is None else weights
        total = float(covered @ weights)
        return float(shared @ weights) / total if total else float("nan")

    return iou


def agreement_iou(references: Sequence[Mask], candidates: Sequence[Mask]) -> float:
    """Returns the agreement of two lists of masks: pooled intersection over union.

    Args:
        references: Masks on uncompressed features, bool `[h, w]`, one per picture.
        candidates: Masks on decoded features of the same pictures.

    Returns:
        0 to 1; NaN if no mask holds a pixel.

    Raises:
        ShapeError: See `match`.
    """
    return pooled_iou(match(references, candidates))(None)


def distance_sums(reference: Outputs, candidate: Outputs) -> Float64:
    """Returns the two sums that `dense_distance` is made of, per picture.

    Args:
        reference: Outputs on uncompressed features, N pictures.
        candidate: Outputs on decoded features of the same pictures.

    Returns:
        float64 `[N, 2]`: sum of m^2 |s' - s|, of s^3 (see `dense_distance`).

    Raises:
        ShapeError: The two are not of the same pictures.
    """
    if reference.probabilities.shape != candidate.probabilities.shape:
        raise ShapeError(
            f"outputs differ in shape: {reference.probabilities.shape} and "
            f"{candidate.probabilities.shape}"
        )
    s, t = (o.probabilities.astype(np.float64) for o in (reference, candidate))
    change = (np.maximum(s, t) ** 2 * np.abs(t - s)).sum((1, 2))
    return np.stack([change, (s**3).sum((1, 2))], 1)


def dense_distance(reference: Outputs, candidate: Outputs) -> float:
    """Returns the distance of two dense outputs: one number, 0 only if nothing visible changed.

    With probabilities s (reference) and s' (candidate) and m = max(s, s'):

        distance = sum m^2 |s' - s| / sum s^3

    Sums run over all pictures and all pixels of the input; the reasons are those of
    `agreement.dense_distance`. It is 1 when all people disappear.

    Args:
        reference: Outputs on uncompressed features, N pictures.
        candidate: Outputs on decoded features of the same pictures.
    """
    return pooled_distance(distance_sums(reference, candidate))
