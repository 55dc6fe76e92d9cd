"""Heads against the graphs they stand for, and the distortion they measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.codec import Forward  # noqa: E402
from fcmrt.export.train import loss  # noqa: E402
from fcmrt.export.train.movenet_head import MoveNetHead  # noqa: E402
from fcmrt.export.train.nanodet_head import NanoDetHead  # noqa: E402
from fcmrt.tasks import movenet, nanodet  # noqa: E402
from fcmrt.tasks.task import MOVENET, NANODET, Task  # noqa: E402


def random_features(seed: int, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = zip(MOVENET.feature_names, MOVENET.feature_shapes(), strict=True)
    return {name: rng.normal(0, 2, (batch, *shape)).astype(np.float32) for name, shape in shapes}


def test_nanodet_head_is_the_back_half(
    back_half: Path, make_picture: Callable[..., np.ndarray]
) -> None:
    pytest.importorskip("onnxruntime")
    network = nanodet.NanoDet(threads=1)
    features = network.features(nanodet.letterbox(make_picture(0))[0])
    expected = network.outputs(features)
    actual = NanoDetHead(back_half)([torch.from_numpy(f) for f in features.values()])
    np.testing.assert_allclose(torch.sigmoid(actual.logits).numpy(), expected.scores, atol=1e-5)
    np.testing.assert_allclose(actual.boxes.flatten(2).numpy(), expected.boxes, atol=1e-4)


def test_movenet_head_is_the_back_half(movenet_back: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    features = random_features(0, 2)
    session = ort.InferenceSession(str(movenet_back), providers=["CPUExecutionProvider"])
    rows = [
        session.run(
            None,
            {
                port.name: features[name][i : i + 1].transpose(0, 2, 3, 1)
                for port, name in zip(session.get_inputs(), movenet.FEATURE_NAMES, strict=True)
            },
        )
        for i in range(2)
    ]
    expected = [np.concatenate(part).transpose(0, 3, 1, 2) for part in zip(*rows, strict=True)]
    actual = MoveNetHead(movenet_back)([torch.from_numpy(f) for f in features.values()])
    np.testing.assert_allclose(torch.sigmoid(actual.centres).numpy(), expected[0], atol=1e-5)
    np.testing.assert_allclose(torch.sigmoid(actual.heat).numpy(), expected[1], atol=1e-5)
    np.testing.assert_allclose(actual.places.numpy(), np.concatenate(expected[2:], 1), atol=1e-4)
    assert [tuple(hidden.shape[1:]) for hidden in actual.hidden] == [
        (32, 16, 16),
        (24, 32, 32),
        (24, 64, 64),
    ]
    assert all((hidden >= 0).all() for hidden in actual.hidden)


@pytest.fixture(params=["nanodet", "movenet"])
def head_and_features(request: Any, make_source: Any, back_half: Path, movenet_back: Path) -> Any:
    if request.param == "nanodet":
        features = make_source().features(0)
        return NanoDetHead(back_half), [torch.from_numpy(f) for f in features]
    features = random_features(1, 2).values()
    return MoveNetHead(movenet_back), [torch.from_numpy(f) for f in features]


def test_distortion_is_zero_without_error_and_grows(head_and_features: Any) -> None:
    head, features = head_and_features
    energies = loss.energies_of(head, features)
    lost = [
        loss.distortion([f + error for f in features], features, head, energies)
        for error in (0.0, 0.1, 0.3)
    ]
    assert lost[0].total.abs().max() < 1e-4
    assert (lost[0].total < lost[1].total).all()
    assert (lost[1].total < lost[2].total).all()
    for name in lost[0].shift:
        parts = [one.shift[name] for one in lost]
        assert (parts[0].abs() < parts[1]).all(), name
        assert (parts[1] < parts[2]).all(), name


def test_every_level_gets_a_gradient(head_and_features: Any) -> None:
    head, features = head_and_features
    energies = loss.energies_of(head, features)
    decoded = [(f + 0.1).requires_grad_() for f in features]
    parts = loss.distortion(decoded, features, head, energies).shift.values()
    torch.stack(list(parts)).sum().backward()
    for level in decoded:
        assert torch.isfinite(level.grad).all()
        assert level.grad.abs().max() > 0


def test_outliers_do_not_decide_a_robust_normalisation() -> None:
    generator = torch.Generator().manual_seed(0)
    level = 3 + 2 * torch.randn((4, 2, 32, 32), generator=generator)
    level[0, 0, :3, :3] = 300.0
    (plain,), (plain_std,) = loss.feature_statistics([level], robust=False)
    (centre,), (spread,) = loss.feature_statistics([level], robust=True)
    assert plain[0] - 3 > 0.4
    assert plain_std[0] > 10
    torch.testing.assert_close(centre, torch.full((2,), 3.0), rtol=0, atol=0.1)
    torch.testing.assert_close(spread[1], torch.tensor(2.0), rtol=0, atol=0.1)
    assert plain_std[0] / 4 <= spread[0] < plain_std[0] / 2


def passed(bits: list[float]) -> Forward:
    parts = tuple(Forward((), torch.tensor([b]), torch.zeros(1)) for b in bits)
    return Forward((), torch.tensor([sum(bits)]), torch.zeros(1), parts)


def lost(levels: list[float], whole: float) -> loss.Distortion:
    zero = torch.zeros(1)
    return loss.Distortion(torch.tensor([levels]), zero, {"x": torch.tensor([whole])}, zero)


def test_loss_with_one_quality_is_that_with_equal_qualities() -> None:
    coded, distorted = passed([4e4, 8e4]), lost([0.1, 0.2], 0.7)
    one = loss.total_loss(coded, distorted, torch.tensor([8]), 3.0)
    torch.testing.assert_close(one, torch.tensor([2**1.5 * 3 + 3 * 2**-0.5 * 1.0]))
    each = loss.total_loss(coded, distorted, torch.tensor([[8, 8]]), 3.0)
    torch.testing.assert_close(each, one)


def test_levels_are_balanced_by_their_own_steps() -> None:
    coded, distorted = passed([4e4, 8e4]), lost([0.1, 0.2], 0.7)
    mixed = loss.total_loss(coded, distorted, torch.tensor([[16, 0]]), 3.0)
    rate = 4**1.5 * 1 + 2
    expected = rate + 3 * (0.1 * 4**-0.5 + 0.2 + 0.7 * 2**-0.5)
    torch.testing.assert_close(mixed, torch.tensor([expected]))


def test_outputs_are_those_of_the_network(
    back_half: Path, make_picture: Callable[..., np.ndarray]
) -> None:
    pytest.importorskip("onnxruntime")
    network = nanodet.NanoDet(threads=1)
    features = network.features(nanodet.letterbox(make_picture(1))[0])
    expected = network.outputs(features)
    head = NanoDetHead(back_half)
    actual = head.outputs(head([torch.from_numpy(f) for f in features.values()]))
    np.testing.assert_allclose(actual.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(actual.boxes, expected.boxes, atol=1e-4)


def test_parts_of_outputs_add_up_to_the_whole(back_half: Path, movenet_back: Path) -> None:
    rng = np.random.default_rng(0)
    cases: list[tuple[Any, Task]] = [
        (NanoDetHead(back_half), NANODET),
        (MoveNetHead(movenet_back), MOVENET),
    ]
    for head, task in cases:
        shapes = task.feature_shapes()
        pair = [
            [torch.from_numpy(rng.normal(0, 1, (2, *s)).astype(np.float32)) for s in shapes]
            for _ in range(2)
        ]
        blocks = shapes[-1][-1]
        with torch.no_grad():
            told = [head(features) for features in pair]
        whole = task.distance_sums(*(head.outputs(one) for one in told))
        parts = task.distance_sums(*(head.outputs(one, blocks) for one in told))
        assert parts.shape == (2 * blocks**2, 4)
        np.testing.assert_allclose(parts.reshape(2, -1, 4).sum(1), whole, rtol=1e-6)
