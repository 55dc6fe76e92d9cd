"""How well a task's results survive the codec: agreement and distance.

There are no labels. A detector's own results on uncompressed features stand in for them, so these
figures say how much the codec changed, not how good the detector is. Both are computed in two
steps, once per picture (`match`, `distance_sums`) and pooled over pictures (`average_precision`,
`pooled_distance`), so that a bootstrap only repeats the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from ..errors import BackendUnavailableError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .nanodet import Detections, Outputs

    Float64 = NDArray[np.float64]

REFERENCE_THRESHOLD = 0.4
IOU = 0.5
RECALL_POINTS = 101  # as COCO: precision is averaged over recalls 0, 0.01, ... 1
BOX_BINS = 11

Annotation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Matches:
    """Candidate boxes of one picture, matched with the picture's reference boxes."""

    scores: Float64
    """float64 [K], scores of the candidates."""
    hits: NDArray[np.bool_]
    """bool [K], whether the candidate took a reference box."""
    references: int
    """Number of reference boxes."""


def match(
    references: Sequence[Detections],
    candidates: Sequence[Detections],
    reference_threshold: float = REFERENCE_THRESHOLD,
) -> list[Matches]:
    """Matches boxes within picture and class at IoU 0.5, by COCO's rule (pycocotools).

    Args:
        references: Detections on uncompressed features, one per picture; those with a score above
            `reference_threshold` count.
        candidates: Detections on decoded features of the same pictures, all scores.
        reference_threshold: Score that a reference box must exceed.

    Boxes without area (clipped away at the picture's border) do not count, on either side.

    Raises:
        BackendUnavailableError: pycocotools is missing.
        ShapeError: Not one entry per picture on both sides.
    """
    pictures = [
        (_annotations(wanted, reference_threshold), _annotations(given, -np.inf))
        for wanted, given in pair_up(references, candidates)
    ]
    return match_annotations(pictures, "bbox", IOU)


T = TypeVar("T")


def pair_up(references: Sequence[T], candidates: Sequence[T]) -> list[tuple[T, T]]:
    """Pairs the references and candidates of each picture.

    Raises:
        ShapeError: Not one entry per picture on both sides.
    """
    if len(references) != len(candidates):
        raise ShapeError(f"{len(references)} pictures of references, {len(candidates)} candidates")
    return list(zip(references, candidates, strict=True))


def match_annotations(
    pictures: Sequence[tuple[list[Annotation], list[Annotation]]],
    kind: Literal["bbox", "keypoints"],
    threshold: float,
) -> list[Matches]:
    """Matches references and candidates within picture and class, by COCO's rule (pycocotools).

    Args:
        pictures: References and candidates of each picture, in COCO's form with `class`, and `id`
            from 1 on.
        kind: What is compared: the overlap of boxes, or the similarity of keypoints (OKS).
        threshold: Least overlap or similarity of a match.

    Raises:
        BackendUnavailableError: pycocotools is missing.
    """
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise BackendUnavailableError(
            "agreement needs pycocotools; install it with: pip install 'fcmrt[demo]'"
        ) from error

    # Only COCOeval's matching is called: its evaluate() prints. Every (picture, class) counts as an
    # image of its own, and all are of one category, so boxes match within picture and class while
    # one curve can span all classes.
    evaluation = COCOeval(iouType=kind)
    evaluation.params.iouThrs = np.array([threshold])
    similarity = evaluation.computeIoU if kind == "bbox" else evaluation.computeOks
    matches = []
    for truths, tries in pictures:
        evaluation.params.maxDets = [max(1, len(tries))]
        scores: list[float] = []
        hits: list[bool] = []
        for label in sorted({row["class"] for row in tries}):
            key = (label, 1)
            evaluation._gts[key] = [row for row in truths if row["class"] == label]
            evaluation._dts[key] = [row for row in tries if row["class"] == label]
            evaluation.ious[key] = similarity(*key)
            image = evaluation.evaluateImg(*key, [0.0, np.inf], len(tries))
            scores += image["dtScores"]
            hits += [bool(taken) for taken in image["dtMatches"][0]]
        matches.append(Matches(np.array(scores), np.array(hits, np.bool_), len(truths)))
    return matches


def _annotations(found: Detections, threshold: float) -> list[Annotation]:
    rows: list[Annotation] = []
    for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
        x0, y0, x1, y1 = (float(v) for v in box)
        # As float32 on both sides, since NumPy 1 and 2 compare a float32 with a float differently.
        if score > np.float32(threshold) and x1 > x0 and y1 > y0:
            rows.append(
                {
                    "id": len(rows) + 1,  # 0 is COCOeval's "not matched"
                    "class": int(label),
                    "score": float(score),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "ignore": 0,
                }
            )
    return rows


class PrecisionRecall:
    """All candidates of a set, sorted once, so that many resamples of it are cheap.

    Args:
        matches: One per picture.
    """

    def __init__(self, matches: Sequence[Matches]) -> None:
        counts = [len(m.scores) for m in matches]
        pictures = np.repeat(np.arange(len(matches)), counts)
        scores = np.concatenate([np.zeros(0), *(m.scores for m in matches)])
        hits = np.concatenate([np.zeros(0, np.bool_), *(m.hits for m in matches)])
        order = np.argsort(-scores, kind="stable")
        self._pictures = pictures[order]
        self._hits = hits[order].astype(np.float64)
        self._references = np.array([m.references for m in matches], np.float64)

    def average_precision(self, weights: Float64 | None = None) -> float:
        """Returns the area under the precision-recall curve, at 101 recalls as COCO does.

        Args:
            weights: float64 `[pictures]`, how often each picture counts; None: once.

        Returns:
            0 to 1; NaN where no reference box counts.
        """
        weights = np.ones(len(self._references)) if weights is None else weights
        wanted = float(self._references @ weights)
        if wanted == 0:
            return float("nan")
        each = weights[self._pictures]
        found = np.cumsum(each * self._hits)
        precision = found / np.maximum(np.cumsum(each), 1e-300)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        recalls = np.linspace(0, 1, RECALL_POINTS)
        # The first candidate that reaches each recall; where none does, precision is 0.
        first = np.searchsorted(found / wanted, recalls, side="left")
        return float(np.append(precision, 0.0)[first].mean())


def average_precision(matches: Sequence[Matches]) -> float:
    """Returns the average precision of pictures, as one curve over all pictures and classes."""
    return pooled_precision(matches)(None)


def pooled_precision(matches: Sequence[Matches]) -> Callable[[Float64 | None], float]:
    """Returns average precision as a function of each picture's weight (`PrecisionRecall`)."""
    return PrecisionRecall(matches).average_precision


def agreement_ap50(
    references: Sequence[Detections],
    candidates: Sequence[Detections],
    reference_threshold: float = REFERENCE_THRESHOLD,
) -> float:
    """Returns the agreement of two lists of detections: AP at IoU 0.5 against the references.

    Args:
        references: Detections on uncompressed features, one per picture; those with a score above
            `reference_threshold` stand in for labels.
        candidates: Detections on decoded features of the same pictures, all scores.
        reference_threshold: Score that a reference box must exceed.

    Returns:
        0 to 1, 1 if every reference box is found before any false one; NaN without references.

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
    if (
        reference.scores.shape != candidate.scores.shape
        or reference.boxes.shape != candidate.boxes.shape
    ):
        raise ShapeError(
            f"outputs differ in shape: {reference.scores.shape} and {candidate.scores.shape}, "
            f"{reference.boxes.shape} and {candidate.boxes.shape}"
        )
    rows = []
    for i in range(len(reference.scores)):
        s, t = (o.scores[i].astype(np.float64) for o in (reference, candidate))
        weight = s.max(1) ** 2
        sides = np.abs(_expectation(reference.boxes[i]) - _expectation(candidate.boxes[i])).mean(1)
        score_change = float((np.maximum(s, t) ** 2 * np.abs(t - s)).sum())
        rows.append((score_change, float((s**3).sum()), float(weight @ sides), float(weight.sum())))
    return np.array(rows, np.float64).reshape(-1, 4)


def _expectation(logits: NDArray[np.float32]) -> Float64:
    """Expected distance of the four sides (float64 `[cells, 4]`), in units of the stride."""
    values = logits.reshape(len(logits), -1, BOX_BINS).astype(np.float64)
    values = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(values @ np.arange(BOX_BINS) / values.sum(-1), np.float64)


def pooled_distance(sums: Float64, weights: Float64 | None = None) -> float:
    """Pools `distance_sums` over pictures: the terms of a distance, added up.

    Args:
        sums: float64 `[N, 2 x terms]`, for each term its change and what that is divided by.
        weights: float64 `[N]`, how often each picture counts; None: once.
    """
    total = sums.sum(0) if weights is None else weights @ sums
    floor = np.finfo(np.float64).tiny
    return float((total[0::2] / np.maximum(total[1::2], floor)).sum())


def dense_distance(reference: Outputs, candidate: Outputs) -> float:
    """Returns the distance of two dense outputs: one number, 0 only if nothing changed.

    It shows small changes long before one of a few dozen boxes is lost. With class scores s
    (reference) and s' (candidate), m = max(s, s'), w a cell's highest reference score, and b the
    mean over a cell's four sides of the change of the expected distance to that side, in units of
    the level's stride:

        distance = sum m^2 |s' - s| / sum s^3  +  sum w^2 b / sum w^2

    Sums run over all pictures, all 3549 cells and (left term) all 80 classes. The squares keep the
    280 000 near-zero scores of empty background from drowning the few that make boxes; m instead
    of s lets a false alarm count as much as a lost object. The left term is 1 when every score
    falls to zero; the right one is 1 when every side of every box moves by one stride.

    Args:
        reference: Outputs on uncompressed features, N pictures.
        candidate: Outputs on decoded features of the same pictures.
    """
    return pooled_distance(distance_sums(reference, candidate))
