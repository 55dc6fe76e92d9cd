"""Agreement of keypoints against the formula, and the promises of the distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fcmrt.errors import ShapeError
from fcmrt.tasks import movenet_agreement as agreement
from fcmrt.tasks.movenet import KEYPOINTS, Outputs, People

# Of the keypoints, as in COCO's evaluation (cocodataset.org, "Keypoint Evaluation").
# fmt: off
SIGMAS = np.array([
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
    0.087, 0.087, 0.089, 0.089,
])
# fmt: on


def people(seed: int, count: int) -> People:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 100, (count, 2))
    size = rng.uniform(30, 100, (count, 2))
    return People(
        np.sort(rng.uniform(0.31, 1, count))[::-1].astype(np.float32),
        np.concatenate([low, low + size], 1).astype(np.float32),
        (low[:, None] + rng.random((count, KEYPOINTS, 2)) * size[:, None]).astype(np.float32),
        rng.uniform(0, 1, (count, KEYPOINTS)).astype(np.float32),
    )


def moved(found: People, way: float) -> People:
    return replace(found, keypoints=found.keypoints + np.float32(way))


def similarity(person: People, way: float) -> float:
    """The formula, for keypoints that all move by `way` in x and in y."""
    x0, y0, x1, y1 = person.boxes[0].astype(np.float64)
    spread = 2 * agreement.AREA_SHARE * (x1 - x0) * (y1 - y0) * (2 * SIGMAS) ** 2
    near = np.exp(-2 * way**2 / spread)
    return float(near[person.keypoint_scores[0] >= agreement.KEYPOINT_THRESHOLD].mean())


@pytest.mark.parametrize("way", [0.5, 2.0, 5.0])
def test_similarity_is_the_formulas(way: float) -> None:
    pytest.importorskip("pycocotools")
    found = people(0, 1)
    value = similarity(found, way)
    for threshold, hit in ((value - 1e-4, True), (value + 1e-4, False)):
        (match,) = agreement.match([found], [moved(found, way)], oks=threshold)
        assert match.hits.tolist() == [hit]


def test_the_same_people_agree_fully() -> None:
    pytest.importorskip("pycocotools")
    pictures = [people(i, i % 4) for i in range(8)]
    # Somebody of whom no keypoint is sure, and somebody twice.
    unsure = replace(people(9, 2), keypoint_scores=np.full((2, KEYPOINTS), 0.1, np.float32))
    pictures += [unsure, People(*(np.repeat(part, 2, 0) for part in astuple(people(10, 1))))]
    assert agreement.agreement_oks50(pictures, pictures) == 1.0


def astuple(found: People) -> tuple[np.ndarray, ...]:
    return found.scores, found.boxes, found.keypoints, found.keypoint_scores


def test_lost_and_invented_people_cost() -> None:
    pytest.importorskip("pycocotools")
    all_of_them = [people(i, 3) for i in range(6)]
    lost = [People(*(part[1:] for part in astuple(found))) for found in all_of_them]
    assert agreement.agreement_oks50(all_of_them, lost) == pytest.approx(2 / 3, abs=0.02)
    assert agreement.agreement_oks50(lost, all_of_them) < 0.9
    assert np.isnan(agreement.agreement_oks50([people(0, 0)], [people(1, 2)]))


def test_only_sure_people_are_references() -> None:
    pytest.importorskip("pycocotools")
    found = replace(people(0, 2), scores=np.array([0.9, 0.3], np.float32))
    (match,) = agreement.match([found], [found])
    assert match.references == 1
    assert match.hits.tolist() == [True, False]


def test_as_many_pictures_on_both_sides() -> None:
    with pytest.raises(ShapeError, match="1 pictures of references, 2 candidates"):
        agreement.match([people(0, 1)], [people(0, 1)] * 2)


def outputs(seed: int, pictures: int = 2, side: int = 8) -> Outputs:
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.random((pictures, side, side, *shape)).astype(np.float32)

    pairs = (KEYPOINTS, 2)
    return Outputs(
        random(), random(KEYPOINTS), random(*pairs), random(*pairs), 5 * random(2), random(2)
    )


def test_distance_is_zero_only_without_change() -> None:
    reference = outputs(0)
    assert agreement.dense_distance(reference, reference) == 0
    for name in ("centres", "heat", "keypoints"):
        changed = replace(reference, **{name: getattr(reference, name) * 0.9})
        assert agreement.dense_distance(reference, changed) > 0


def test_distance_has_its_units() -> None:
    reference = outputs(1)
    nobody = replace(reference, centres=0 * reference.centres, heat=0 * reference.heat)
    assert agreement.dense_distance(reference, nobody) == pytest.approx(1.0)
    sizes = np.full_like(reference.box_sizes, 10.0)
    boxed = replace(reference, box_sizes=sizes)
    away = replace(boxed, keypoints=boxed.keypoints + np.array([6.0, 8.0], np.float32))
    assert agreement.dense_distance(boxed, away) == pytest.approx(1.0, rel=1e-5)


def test_outputs_of_other_pictures_are_refused() -> None:
    with pytest.raises(ShapeError, match="differ in shape"):
        agreement.distance_sums(outputs(0, 2), outputs(0, 3))
