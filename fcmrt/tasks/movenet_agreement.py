"""How well people and their keypoints survive the codec: agreement and distance.

As in `agreement`, the network's own results on uncompressed features stand in for labels; that
module also pools `Matches` and the sums of a distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError
from .agreement import (
    Annotation,
    Matches,
    average_precision,
    match_annotations,
    pair_up,
    pooled_distance,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .movenet import Outputs, People

    Float64 = NDArray[np.float64]

REFERENCE_THRESHOLD = 0.3
KEYPOINT_THRESHOLD = 0.2
OKS = 0.5
AREA_SHARE = 0.53  # of a box is covered by its person; COCO's keypoint similarity uses that area


def match(
    references: Sequence[People],
    candidates: Sequence[People],
    reference_threshold: float = REFERENCE_THRESHOLD,
    oks: float = OKS,
) -> list[Matches]:
    """Matches people by the similarity of their keypoints (OKS), by COCO's rule and constants.

    Args:
        references: People on uncompressed features, one entry per picture; those with a score
            above `reference_threshold` and an area count.
        candidates: People on decoded features of the same pictures, all scores.
        reference_threshold: Score that a reference must exceed.
        oks: Least similarity of a match.

    Only keypoints that have a score of at least 0.2 in the reference are compared, or if there are
    none, its best.

    Raises:
        BackendUnavailableError: pycocotools is missing.
        ShapeError: Not one entry per picture on both sides.
    """
    pictures = [
        (_annotations(wanted, reference_threshold), _annotations(given, -np.inf))
        for wanted, given in pair_up(references, candidates)
    ]
    return match_annotations(pictures, "keypoints", oks)


def _annotations(found: People, threshold: float) -> list[Annotation]:
    rows: list[Annotation] = []
    people = zip(found.boxes, found.scores, found.keypoints, found.keypoint_scores, strict=True)
    for box, score, points, certain in people:
        x0, y0, x1, y1 = (float(v) for v in box)
        # As float32 on both sides, since NumPy 1 and 2 compare a float32 with a float differently.
        seen = certain >= min(np.float32(KEYPOINT_THRESHOLD), certain.max())
        if score > np.float32(threshold) and x1 > x0 and y1 > y0:
            rows.append(
                {
                    "id": len(rows) + 1,  # 0 is COCOeval's "not matched"
                    "class": 0,
                    "score": float(score),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": AREA_SHARE * (x1 - x0) * (y1 - y0),
                    "keypoints": np.column_stack([points, 2 * seen]).astype(np.float64).ravel(),
                    "iscrowd": 0,
                    "ignore": 0,
                }
            )
    return rows


def agreement_oks50(
    references: Sequence[People],
    candidates: Sequence[People],
    reference_threshold: float = REFERENCE_THRESHOLD,
) -> float:
    """Returns the agreement of two lists of people: AP at OKS 0.5 against the references.

    Args:
        references: People on uncompressed features, one entry per picture (see `match`).
        candidates: People on decoded features of the same pictures, all scores.
        reference_threshold: Score that a reference must exceed.

    Returns:
        0 to 1, 1 if every reference is found before any false one; NaN without references.

    Raises:
        BackendUnavailableError: pycocotools is missing.
        ShapeError: Not one entry per picture on both sides.
    """
    return average_precision(match(references, candidates, reference_threshold))


def distance_sums(reference: Outputs, candidate: Outputs) -> Float64:
    """Returns the four sums that `dense_distance` is made of, per picture.

    Args:
        reference: Outputs on uncompressed features, N pictures.
        candidate: Outputs on decoded features of the same pictures.

    Returns:
        float64 `[N, 4]`: sum of m^2 |s' - s|, of s^3, of w^2 b, of w^2 (see `dense_distance`).

    Raises:
        ShapeError: The two are not of the same pictures.
    """
    if reference.heat.shape != candidate.heat.shape:
        raise ShapeError(
            f"outputs differ in shape: {reference.heat.shape} and {candidate.heat.shape}"
        )
    rows = []
    for i in range(len(reference.heat)):
        s, t = (
            np.concatenate([o.heat[i], o.centres[i][..., None]], -1).astype(np.float64)
            for o in (reference, candidate)
        )
        change = float((np.maximum(s, t) ** 2 * np.abs(t - s)).sum())
        weight = reference.centres[i].astype(np.float64) ** 2
        moved = candidate.keypoints[i].astype(np.float64) - reference.keypoints[i]
        height, width = np.moveaxis(np.maximum(reference.box_sizes[i].astype(np.float64), 1), -1, 0)
        share = np.hypot(moved[..., 0], moved[..., 1]).mean(-1) / np.sqrt(height * width)
        rows.append((change, float((s**3).sum()), float((weight * share).sum()), weight.sum()))
    return np.array(rows, np.float64).reshape(-1, 4)


def dense_distance(reference: Outputs, candidate: Outputs) -> float:
    """Returns the distance of two dense outputs: one number, 0 only if nothing visible changed.

    With heat s (reference) and s' (candidate) of the 17 heat maps and the map of centres,
    m = max(s, s'), w the reference's map of centres, and b how far a cell's 17 regressed
    keypoints move on average, as a share of the reference's box there (the root of its area, at
    least a cell):

        distance = sum m^2 |s' - s| / sum s^3  +  sum w^2 b / sum w^2

    Sums run over all pictures, all cells and (left term) all 18 maps; the reasons are those of
    `agreement.dense_distance`. The left term is 1 when all people disappear; the right one is 1
    when every keypoint moves by the size of its person.

    Args:
        reference: Outputs on uncompressed features, N pictures.
        candidate: Outputs on decoded features of the same pictures.
    """
    return pooled_distance(distance_sums(reference, candidate))
