"""Agreement and distance of masks against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt.errors import ShapeError
from fcmrt.tasks import mask_agreement as agreement
from fcmrt.tasks.selfie import Outputs


def mask(rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((8, 10), np.bool_)
    made[rows, columns] = True
    return made


LEFT = mask(slice(0, 4), slice(0, 5))  # 20 pixels
MOVED = mask(slice(0, 4), slice(1, 6))  # shares 16 with it, 24 together
NOTHING = mask(slice(0, 0), slice(0, 0))


def outputs(seed: int, pictures: int = 3) -> Outputs:
    rng = np.random.default_rng(seed)
    return Outputs(rng.beta(0.2, 0.5, (pictures, 16, 16)).astype(np.float32))


def test_the_same_masks_agree_fully() -> None:
    assert agreement.agreement_iou([LEFT, NOTHING], [LEFT, NOTHING]) == 1.0


def test_counted_pixels() -> None:
    assert agreement.agreement_iou([LEFT], [MOVED]) == pytest.approx(16 / 24)
    assert agreement.agreement_iou([LEFT, LEFT], [MOVED, LEFT]) == pytest.approx(36 / 44)


def test_a_lost_mask_and_an_invented_one_cost_alike() -> None:
    lost = agreement.agreement_iou([LEFT, LEFT], [LEFT, NOTHING])
    invented = agreement.agreement_iou([LEFT, NOTHING], [LEFT, LEFT])
    assert lost == invented == pytest.approx(0.5)


def test_references_are_pictures_with_a_person() -> None:
    found = agreement.match([LEFT, NOTHING], [NOTHING, LEFT])
    assert [overlap.references for overlap in found] == [1, 0]


def test_weights_are_repetitions() -> None:
    overlaps = agreement.match([LEFT, LEFT, NOTHING], [MOVED, LEFT, NOTHING])
    weighted = agreement.pooled_iou(overlaps)(np.array([2.0, 0.0, 5.0]))
    assert weighted == agreement.agreement_iou([LEFT, LEFT], [MOVED, MOVED])


def test_without_a_pixel_there_is_no_figure() -> None:
    assert np.isnan(agreement.agreement_iou([NOTHING], [NOTHING]))
    assert np.isnan(agreement.agreement_iou([], []))


def test_sizes_and_counts_must_fit() -> None:
    with pytest.raises(ShapeError, match="2 pictures"):
        agreement.match([LEFT, LEFT], [LEFT])
    with pytest.raises(ShapeError, match="differ in size"):
        agreement.match([LEFT], [LEFT[:4]])
    with pytest.raises(ShapeError, match="differ in shape"):
        agreement.distance_sums(outputs(0, 2), outputs(0, 3))


def test_distance_is_zero_only_for_the_same() -> None:
    given = outputs(0)
    assert agreement.dense_distance(given, given) == 0.0
    nearly = given.probabilities.copy()
    nearly[0, 3, 3] += np.float32(1e-3)
    assert agreement.dense_distance(given, Outputs(nearly)) > 0


def test_everybody_gone_is_distance_one() -> None:
    given = outputs(1)
    gone = Outputs(np.zeros_like(given.probabilities))
    assert agreement.dense_distance(given, gone) == pytest.approx(1)


def test_a_false_alarm_counts_as_much_as_a_loss() -> None:
    person = np.zeros((1, 16, 16), np.float32)
    person[0, :8, :8] = 0.9
    twice = person + person[:, ::-1, ::-1]
    lost = agreement.dense_distance(Outputs(twice), Outputs(person))
    alarm = agreement.dense_distance(Outputs(person), Outputs(twice))
    assert lost == pytest.approx(0.5)
    assert alarm == pytest.approx(1.0)  # of half as much that there is
