"""A task's evaluation: references, and what is made of decoded features and pixels."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import evaluation_set
from benchmarks.evaluation import Evaluation, load_network
from fcmrt.tasks.task import MOVENET, SELFIE, TASKS, Task

ONCE = np.ones(2)


@pytest.fixture(scope="module", params=TASKS.values(), ids=TASKS.keys())
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    task: Task = request.param
    pictures = evaluation_set.EvaluationSet(
        "shipped",
        "two of the shipped photos",
        tuple(
            evaluation_set.Item(name, name, image)
            for name, image in evaluation_set.shipped_photos()
            if name in ("dog.jpg", "person.jpg")
        ),
    )
    try:
        return Evaluation(pictures, task, workers=2)
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_what_arrives_whole_agrees_fully(evaluation: Evaluation) -> None:
    features = evaluation.measure("all", lambda given: (100, given), parallel=True)
    pixels = evaluation.measure_pixels("all", lambda given: (len(given), given), parallel=True)
    for found in (features, pixels):
        assert found.agreement(ONCE) == 1.0
        assert found.sums[:, 0::2].max() == 0.0
    assert features.bytes.tolist() == [100, 100]
    assert pixels.bytes.tolist() == [len(r.pixels) for r in evaluation.references]
    assert evaluation.found >= 1


def test_lost_features_and_pixels_cost(evaluation: Evaluation) -> None:
    def nothing(given: dict[str, np.ndarray]) -> tuple[int, dict[str, np.ndarray]]:
        return 0, {name: np.zeros_like(level) for name, level in given.items()}

    features = evaluation.measure("nothing", nothing, parallel=False)
    black = evaluation.measure_pixels("black", lambda g: (0, np.zeros_like(g)), parallel=False)
    for found in (features, black):
        assert found.agreement(ONCE) < 0.5
        assert found.sums[:, 0].min() > 0


def test_pictures_are_as_large_as_the_input(evaluation: Evaluation) -> None:
    for reference in evaluation.references:
        assert max(reference.pixels.shape[:2]) == evaluation.task.input_size
        assert reference.pixels.dtype == np.uint8


@pytest.mark.parametrize("task", [MOVENET, SELFIE], ids=lambda task: task.name)
def test_a_missing_network_is_named(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    with pytest.raises(FileNotFoundError, match=rf"FCMRT_ASSETS.*{task.network}\.front"):
        load_network(task)
