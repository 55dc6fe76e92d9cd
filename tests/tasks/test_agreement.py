"""Agreement and distance against hand-computed cases, pycocotools' own loop, and their promises."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fcmrt.errors import BackendUnavailableError, ShapeError
from fcmrt.tasks import agreement
from fcmrt.tasks.agreement import PrecisionRecall, agreement_ap50, dense_distance, match
from fcmrt.tasks.nanodet import Detections, Outputs


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """One picture's boxes from rows of x0, y0, x1, y1, score, class."""
    array = np.array(rows, np.float64).reshape(-1, 6)
    order = np.argsort(-array[:, 4], kind="stable")
    array = array[order]
    return Detections(
        array[:, :4].astype(np.float32),
        array[:, 4].astype(np.float32),
        array[:, 5].astype(np.int64),
    )


def random_pictures(seed: int, count: int) -> tuple[list[Detections], list[Detections]]:
    """References, and candidates that are moved, missed, relabelled and invented at random."""
    rng = np.random.default_rng(seed)
    references, candidates = [], []
    for _ in range(count):
        kept, given = [], []
        for _ in range(rng.integers(0, 8)):
            x, y = rng.uniform(0, 300, 2)
            w, h = rng.uniform(20, 100, 2)
            label, score = int(rng.integers(0, 3)), float(rng.uniform(0.2, 1))
            kept.append((x, y, x + w, y + h, score, label))
            if rng.random() < 0.8:
                dx, dy = rng.normal(0, 12, 2)
                moved = (x + dx, y + dy, x + w + dx, y + h + dy)
                label = label if rng.random() < 0.9 else 3
                given.append((*moved, float(np.clip(score + rng.normal(0, 0.1), 0.05, 1)), label))
        for _ in range(rng.integers(0, 5)):
            x, y = rng.uniform(0, 300, 2)
            given.append((x, y, x + 50, y + 50, float(rng.uniform(0.05, 0.6)), 0))
        references.append(detections(*kept))
        candidates.append(detections(*given))
    return references, candidates


A = (10.0, 10.0, 110.0, 110.0, 0.9, 0)
B = (200.0, 50.0, 260.0, 170.0, 0.6, 1)


def test_identical_detections_agree_fully() -> None:
    references, _ = random_pictures(0, 12)
    assert agreement_ap50(references, references) == 1.0


def test_a_box_moved_below_half_overlap_is_lost() -> None:
    moved = (60.0, 10.0, 160.0, 110.0, 0.9, 0)  # IoU 1/3
    near = (20.0, 10.0, 120.0, 110.0, 0.9, 0)  # IoU 9/11
    assert agreement_ap50([detections(A, B)], [detections(near, B)]) == 1.0
    assert agreement_ap50([detections(A, B)], [detections(moved, B)]) < 0.5


def test_hand_computed_average_precision() -> None:
    # Ranked: hit, miss, hit of 2 references. Precision 1 up to recall 1/2, then 2/3; of the 101
    # recalls, 0 .. 0.50 are 51.
    false_alarm = (300.0, 300.0, 320.0, 320.0, 0.8, 0)
    found = agreement_ap50([detections(A, B)], [detections(A, false_alarm, B)])
    assert found == pytest.approx((51 * 1 + 50 * 2 / 3) / 101, abs=1e-12)


def test_a_missed_box_costs_its_share_of_recall() -> None:
    assert agreement_ap50([detections(A, B)], [detections(A)]) == pytest.approx(51 / 101)


def test_boxes_match_only_within_class_and_picture() -> None:
    other_class = (*A[:5], 7)
    assert agreement_ap50([detections(A)], [detections(other_class)]) == 0.0
    swapped = agreement_ap50([detections(A), detections(B)], [detections(B), detections(A)])
    assert swapped == 0.0


def test_the_second_box_on_one_object_is_a_false_alarm() -> None:
    again = (12.0, 10.0, 112.0, 110.0, 0.95, 0)
    (found,) = match([detections(A)], [detections(A, again)])
    assert found.hits.tolist() == [True, False]
    assert found.scores.tolist() == pytest.approx([0.95, 0.9])


def test_only_references_above_the_threshold_count() -> None:
    weak = (300.0, 300.0, 380.0, 380.0, 0.4, 2)
    assert match([detections(A, weak)], [detections(A)])[0].references == 1
    assert match([detections(A, weak)], [detections(A)], 0.39)[0].references == 2


def test_boxes_without_area_count_on_neither_side() -> None:
    flat = (50.0, 10.0, 50.0, 90.0, 0.9, 0)
    assert agreement_ap50([detections(A, flat)], [detections(A, flat)]) == 1.0


def test_without_references_there_is_no_figure() -> None:
    assert np.isnan(agreement_ap50([detections()], [detections(A)]))
    assert np.isnan(agreement_ap50([], []))
    assert agreement_ap50([detections(A)], [detections()]) == 0.0


def test_both_sides_must_be_as_long() -> None:
    with pytest.raises(ShapeError, match="2 pictures"):
        match([detections(A), detections(B)], [detections(A)])


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_whole_of_cocoeval(seed: int) -> None:
    """Every (picture, class) as a COCO image of its own, through evaluate() and accumulate()."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    references, candidates = random_pictures(seed, 15)

    def coco(side: list[Detections], threshold: float) -> COCO:
        rows = [
            (picture * 10 + int(label) + 1, box.astype(float), float(score))
            for picture, found in enumerate(side)
            for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True)
            if score > threshold
        ]
        made = COCO()
        made.dataset = {
            "images": [{"id": k + 1} for k in range(150)],
            "categories": [{"id": 1}],
            "annotations": [
                {
                    "id": k + 1,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": score,
                }
                for k, (image, (x0, y0, x1, y1), score) in enumerate(rows)
            ],
        }
        made.createIndex()
        return made

    evaluation = COCOeval(coco(references, 0.4), coco(candidates, -1), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    evaluation.accumulate()
    expected = evaluation.eval["precision"][0, :, 0, 0, -1].mean()
    assert agreement_ap50(references, candidates) == pytest.approx(expected, abs=1e-12)
    assert 0.2 < expected < 1


def test_weights_are_repetitions() -> None:
    references, candidates = random_pictures(3, 10)
    matches = match(references, candidates)
    weights = np.random.default_rng(0).integers(0, 4, 10)
    repeated = [m for m, w in zip(matches, weights, strict=True) for _ in range(w)]
    weighted = PrecisionRecall(matches).average_precision(weights.astype(np.float64))
    assert weighted == pytest.approx(agreement.average_precision(repeated), abs=1e-12)


def test_matching_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    references, candidates = random_pictures(1, 5)
    agreement_ap50(references, candidates)
    assert capfd.readouterr() == ("", "")


def test_without_pycocotools_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[demo\]"):
        agreement_ap50([detections(A)], [detections(A)])


def outputs(seed: int = 0, pictures: int = 1) -> Outputs:
    """Mostly empty background with a few confident cells, as a detector gives them."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 0.01, (pictures, 3549, 80))
    scores[:, rng.integers(0, 3549, 12), rng.integers(0, 80, 12)] = rng.uniform(0.4, 0.9, 12)
    return Outputs(
        scores.astype(np.float32),
        rng.normal(0, 2, (pictures, 3549, 44)).astype(np.float32),
    )


def test_distance_is_zero_for_equal_outputs_only() -> None:
    reference = outputs()
    assert dense_distance(reference, reference) == 0.0
    scores = reference.scores.copy()
    scores[0, 17, 3] += 0.001
    assert dense_distance(reference, Outputs(scores, reference.boxes)) > 0
    boxes = reference.boxes.copy()
    boxes[0, 17, 3] += 0.01
    assert dense_distance(reference, Outputs(reference.scores, boxes)) > 0


def test_distance_grows_with_noise() -> None:
    reference = outputs()
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, reference.scores.shape), rng.normal(0, 1, reference.boxes.shape)
    found = []
    for amount in (0.001, 0.01, 0.03, 0.1, 0.3):
        scores = np.clip(reference.scores * (1 + amount * noise[0]), 0, 1).astype(np.float32)
        boxes = (reference.boxes + amount * noise[1]).astype(np.float32)
        found.append(dense_distance(reference, Outputs(scores, boxes)))
    assert found == sorted(found)
    assert found[0] < 0.01 < 0.1 < found[-1]


def test_losing_every_score_costs_one() -> None:
    reference = outputs()
    gone = Outputs(np.zeros_like(reference.scores), reference.boxes)
    assert dense_distance(reference, gone) == pytest.approx(1.0)


def test_moving_every_side_by_a_stride_costs_one() -> None:
    certain = np.full((1, 3549, 4, 11), -60, np.float32)
    certain[..., 4] = 60
    moved = np.roll(certain, 1, -1)
    scores = outputs().scores
    reference = Outputs(scores, certain.reshape(1, 3549, 44))
    assert dense_distance(reference, Outputs(scores, moved.reshape(1, 3549, 44))) == pytest.approx(
        1
    )


def test_a_lost_object_outweighs_a_stirred_background() -> None:
    reference = outputs()
    lost, stirred = reference.scores.copy(), reference.scores.copy()
    lost[0][np.unravel_index(lost[0].argmax(), lost[0].shape)] = 0
    background = stirred < 0.1
    stirred[background] = np.random.default_rng(5).permutation(stirred[background])
    of_lost = dense_distance(reference, Outputs(lost, reference.boxes))
    of_stirred = dense_distance(reference, Outputs(stirred, reference.boxes))
    assert of_lost > 3 * of_stirred


def test_pooling_weighs_pictures_by_what_they_hold() -> None:
    pair = outputs(0, 2)
    empty = pair.scores.copy()
    empty[1] *= 0.01  # nothing in the second picture
    reference = Outputs(empty, pair.boxes)
    changed = empty.copy()
    changed[1] *= 0.5
    assert dense_distance(reference, Outputs(changed, pair.boxes)) < 1e-3


def test_outputs_must_have_the_same_shape() -> None:
    with pytest.raises(ShapeError, match="differ in shape"):
        dense_distance(outputs(0, 1), outputs(0, 2))
