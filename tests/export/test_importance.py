"""What levels are worth: measured, fitted, predicted, put into an engine and a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from fcmrt import Encoder, Engine  # noqa: E402
from fcmrt.allocation import Allocator  # noqa: E402
from fcmrt.config import RuntimeOptions  # noqa: E402
from fcmrt.errors import EngineError, ExportError  # noqa: E402
from fcmrt.executor import executor_for  # noqa: E402
from fcmrt.export.codec import FeatureCodec, Forward  # noqa: E402
from fcmrt.export.importance import files  # noqa: E402
from fcmrt.export.importance.engine import write_with_importance  # noqa: E402
from fcmrt.export.importance.fit import (  # noqa: E402
    curve_fits,
    decreasing,
    explained,
    fit_loss_rate,
    fit_model,
    importance_maps,
    importances_of,
    increasing,
    is_at_bound,
    weights_of,
)
from fcmrt.export.importance.make import describe, fit_predictor  # noqa: E402
from fcmrt.export.importance.measure import Measured, measure, precoded, shared  # noqa: E402
from fcmrt.export.importance.predictor import (  # noqa: E402
    ImportancePredictor,
    deviance,
    train,
)
from fcmrt.export.importance.split import HELD_BACK, split_of  # noqa: E402

from ..allocating import allocating_parts, picture  # noqa: E402
from ..level_engine import LEVELS, tiny_levels  # noqa: E402

SIZES: dict[str, Any] = {
    "channels": [f.channels for f in LEVELS],
    "strides": [f.stride for f in LEVELS],
}


class Rounding(FeatureCodec):
    """Levels rounded to their steps; a level's bits are its elements over its step."""

    levels_have_quality = True

    def set_feature_statistics(self, means: Any, stds: Any) -> None:
        raise NotImplementedError

    forward = latents = entropy_forward = transforms = set_feature_statistics  # type: ignore[assignment]

    def round_trip(self, features: Any, d: Any) -> Forward:
        steps = torch.exp2(d / 8)
        parts = []
        for level, step in zip(features, steps.unbind(1), strict=True):
            wide = step[:, None, None, None]
            bits = level[0].numel() / step
            parts.append(Forward((torch.round(level / wide) * wide,), bits, 0 * bits))
        features = tuple(part.features[0] for part in parts)
        return Forward(features, sum(p.y_bits for p in parts), 0 * parts[0].y_bits, tuple(parts))


class Head:
    """Outputs are the features; parts are cut from them."""

    def __call__(self, features: Any) -> Any:
        return [level.clone() for level in features]

    def outputs(self, told: Any, blocks: int) -> Any:
        tall = []
        for level in told:
            n, _, side, _ = level.shape
            b = side // blocks
            cells = level.reshape(n, -1, blocks, b, blocks, b).permute(0, 2, 4, 1, 3, 5)
            tall.append(cells.reshape(n * blocks**2, -1))
        return torch.cat(tall, 1).numpy()


def distance_sums(reference: Any, candidate: Any) -> Any:
    change = np.abs(candidate - reference).sum(1)
    weight = np.abs(reference).sum(1)
    return np.stack([change, weight, 0 * change, 0 * change], 1).astype(np.float64)


TASK: Any = SimpleNamespace(
    distance_sums=distance_sums, feature_shapes=lambda: ((2, 8, 8), (2, 4, 4))
)


def batches() -> list[list[np.ndarray]]:
    rng = np.random.default_rng(0)
    made = []
    for n in (2, 1):
        made.append([rng.standard_normal((n, 2, s, s)).astype(np.float16) for s in (8, 4)])
    made[0][0][:, :, :4] = 0  # the upper half of the finest level of the first two has nothing
    return made


@pytest.fixture(scope="module")
def measured() -> Measured:
    steps = (-16, -8, 0, 8)
    return measure(Rounding(), Head(), TASK, batches(), steps, together=True)  # type: ignore[arg-type]


def test_levels_together_lose_what_they_lose_alone_where_they_do_not_meet(
    measured: Measured,
) -> None:
    assert measured.together is not None
    alone = np.diff(measured.losses, axis=2)
    assert np.diff(measured.together, axis=2) == pytest.approx(alone)
    assert measured.together.sum(1)[:, -1] == pytest.approx(measured.losses.sum(1)[:, -1])
    assert (measured.together[:, 0, 0] == measured.together[:, 1, 0]).all()


def test_what_levels_lose_together_is_shared_out_by_who_went_first_and_last() -> None:
    # Both coarser lose 6 more; the first level alone 1, the second alone 3. So the first costs 1 if
    # it goes first and 3 if it goes last.
    every, first, last = [2.0, 8.0], [[3, 0.0], [5, 0.0]], [[5, 0.0], [3, 0.0]]
    found = shared(np.array([[every, *first, *last]]))
    assert found == pytest.approx(np.array([[[1, 1 + (1 + 3) / 2], [1, 1 + (3 + 5) / 2]]]))


def test_levels_are_coded_alone(measured: Measured) -> None:
    assert measured.maps.shape == (3, 2, 4, 4, 4)
    assert measured.rates == pytest.approx(np.broadcast_to([4, 2, 1, 0.5], (3, 2, 4)))
    features = np.concatenate([batch[0] for batch in batches()]).astype(np.float64)
    lost = np.abs(np.round(features) - features).sum((1, 2, 3))
    whole = np.concatenate([b[i].reshape(len(b[i]), -1) for b in batches() for i in (0,)])
    other = np.concatenate([b[1].reshape(len(b[1]), -1) for b in batches()])
    weight = (np.abs(whole).sum(1) + np.abs(other).sum(1)).astype(np.float64).mean()
    assert measured.losses[:, 0, 2] == pytest.approx(lost / weight, rel=1e-2)


def test_losses_are_found_where_they_are(measured: Measured) -> None:
    assert (measured.maps[:2, 0, :, :2] == 0).all()
    assert (measured.maps[:2, 0, 2, 2:] > 0).all()
    assert (measured.maps[2, 0, 2] > 0).all()


def test_codecs_that_fuse_levels_cannot_be_measured() -> None:
    codec = Rounding()
    codec.levels_have_quality = False  # type: ignore[misc]
    with pytest.raises(ValueError, match="fuses"):
        measure(codec, Head(), TASK, batches(), (0,))  # type: ignore[arg-type]


def test_precoded_features_are_those_that_a_decoder_gives() -> None:
    features = batches()[0]
    fine, coarse = (precoded(Rounding(), features, step) for step in (-16, 8))  # type: ignore[arg-type]
    for level, near, far in zip(features, fine, coarse, strict=True):
        assert near.dtype == far.dtype == np.float16
        assert (far == np.round(level / 2) * 2).all()
        assert near == pytest.approx(level, abs=0.13)


def test_importances_are_1_on_average(measured: Measured) -> None:
    maps = importance_maps(measured)
    assert maps.mean((0, 2, 3)) == pytest.approx([1, 1])
    assert importances_of(measured) == pytest.approx(maps.mean((2, 3)))
    assert importances_of(measured)[0, 0] < importances_of(measured)[2, 0]


def test_weights_follow_the_published_procedure() -> None:
    # Two steps: (0.1, 0.3, 0.2) -> (0, 1, 0.5), then all equal -> (1, 1, 1); the sum is 4.5.
    maps = np.array([[0.1, 0.2], [0.3, 0.2], [0.2, 0.2]])[None, :, :, None, None]
    found = weights_of(Measured((0, 8), np.ones((1, 3, 2)), maps))
    assert found == pytest.approx(np.array([[1, 2, 1.5]]) / 4.5)


@pytest.mark.parametrize(("alpha", "beta"), [(10.953, -0.552), (0.02, -0.13), (38.994, -0.952)])
def test_the_fit_finds_the_constants_that_made_the_losses(alpha: float, beta: float) -> None:
    rates = np.geomspace(0.01, 2, 24)
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal(24)
    found = fit_loss_rate(rates, alpha * rates**beta * noise)
    assert found[:2] == pytest.approx((alpha, beta), rel=0.1)
    assert 0.9 < found[2] <= 1


def test_the_fit_keeps_its_signs_where_losses_grow_with_the_rate() -> None:
    alpha, beta, fit = fit_loss_rate(np.array([0.1, 0.2, 0.4, 1]), np.array([1.0, 2, 3, 4]))
    assert alpha > 0 > beta
    assert fit < 0.5


def flat_then_falling() -> Measured:
    """Two levels alike in rates: one loses by a power of the rate, one by a step in the middle."""
    rates = np.array([4.0, 2, 1, 0.5])
    shapes = np.array([0.1 * rates**-0.5, [0.1, 0.1, 0.2, 0.2]])
    pictures = np.array([0.5, 1, 1.5])
    maps = pictures[:, None, None] * shapes
    every = np.broadcast_to(rates, (3, 2, 4))
    return Measured((-8, 0, 8, 16), every, maps[..., None, None], maps)


def test_curves_explain_what_no_power_of_the_rate_does() -> None:
    measured = flat_then_falling()
    model = fit_model(measured, ["p3", "p4"], graph="importance", spread=10)
    power = [level.fit for level in model.levels.values()]
    assert curve_fits(measured) == pytest.approx([1, 1])
    assert power[0] == pytest.approx(1)
    assert power[1] < 0.95
    assert "R2 1.00; the curve's R2 1.00" in describe(model, measured)
    assert "warning" not in describe(model, measured)


def test_losses_that_do_not_follow_the_rate_are_warned_of() -> None:
    measured = flat_then_falling()
    upside_down = dataclasses.replace(measured, maps=measured.maps[:, :, ::-1])
    model = fit_model(upside_down, ["p3", "p4"], graph="importance", spread=10)
    assert describe(model, upside_down).count("lies at its bound") == 2
    assert is_at_bound(model.levels["p3"].beta)
    assert not is_at_bound(-0.01)


def test_the_share_explained_is_that_of_the_variance() -> None:
    values = np.array([[1.0, 3], [3, 5]])
    assert explained(values, np.array([2.0, 4])) == pytest.approx(1 - 4 / 8)
    assert explained(values, np.array([3.0])) == 0


def test_pictures_are_kept_back_whole() -> None:
    rng = np.random.default_rng(0)
    names = [f"photo{i}" for i in range(20)]
    shown = [tuple(rng.choice(names, 4 if rng.random() < 0.15 else 1)) for _ in range(300)]
    shown += [("clip c",)] * 100
    split = split_of(shown, len(shown), 1)
    trained = {name for n in split.trained for name in shown[n]}
    held = {name for n in split.held for name in shown[n]}
    assert held
    assert not trained & held
    assert "clip c" in trained  # a quarter of all: more than may be kept back
    assert split.pictures == len(held)
    assert 0.1 * len(shown) <= len(split.held) <= 0.2 * len(shown)
    left = len(shown) - len(split.trained) - len(split.held)
    assert left <= sum(len(one) > 1 for one in shown)
    assert "pictures that were not trained on" in split.words
    assert (split_of(shown, len(shown), 1).held == split.held).all()


def test_too_few_pictures_are_told() -> None:
    with pytest.raises(ValueError, match="too few"):
        split_of([("a",), ("a",), ("b",)], 3, 0)


def test_curves_are_monotone_and_above_0() -> None:
    assert increasing(np.array([0, 2, 1, 3.0])) == pytest.approx([1e-9, 1.5, 1.5, 3])
    falling = decreasing(np.array([4, 2, 3, 0.0]))
    assert falling == pytest.approx([4, 2.5, 2.5, 1e-7], rel=2e-3)
    assert (np.diff(falling) < 0).all()


def test_a_fitted_model_holds_in_an_engine(measured: Measured, tmp_path: Path) -> None:
    maps = np.concatenate([measured.maps, measured.maps[:, :1]], 1)
    rates = np.concatenate([measured.rates, measured.rates[:, :1]], 1)
    three = Measured((-8, 0, 8, 16), rates, maps)
    with pytest.raises(ValueError, match="together"):
        fit_model(three, ["p3", "p4", "p5"], graph="importance", spread=10)
    three = dataclasses.replace(three, together=three.losses)
    model = fit_model(three, ["p3", "p4", "p5"], graph="importance", spread=10)
    network = ImportancePredictor(**SIZES).eval()
    engine = write_with_importance(tmp_path / "a.fcmrt", tiny_levels(), model, network)
    assert engine.manifest.importance == model
    assert Engine.load(tmp_path / "a.fcmrt").digest == engine.digest
    encoder = Encoder(engine, options=RuntimeOptions(threads=1))
    walk = encoder.walk(picture(0), quality=2)
    found = Allocator(executor_for(engine, RuntimeOptions(threads=1))).predicted(walk)
    with torch.no_grad():
        levels = [torch.from_numpy(walk.tensors[f.name]) for f in LEVELS]
        wanted = network(*levels).exp().mean((2, 3))[0].numpy()
    assert found == pytest.approx(wanted, rel=1e-2)  # weights are stored as float16
    encoder.encode(picture(0), importance=True)
    with pytest.raises(EngineError, match="already"):
        write_with_importance(tmp_path / "b.fcmrt", engine, model, network)


def test_deviance_is_least_at_the_mean() -> None:
    measured = torch.tensor([[0.0], [3.0]])
    at = [float(deviance(torch.full((2, 1), mean), measured)) for mean in (1.0, 1.5, 2.0)]
    assert at[1] == min(at)
    assert float(deviance(measured, measured)) == pytest.approx(0, abs=1e-6)


def test_a_predictor_learns_where_something_is() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    marks = rng.random((64, 4, 4)) < 0.2
    fine = rng.standard_normal((64, 5, 16, 16)).astype(np.float32) * 0.1
    fine[:, 0] += marks.repeat(4, 1).repeat(4, 2)
    others = [rng.standard_normal((64, c, s, s)).astype(np.float32) for c, s in ((6, 8), (4, 4))]
    features = [fine, *others]
    labels = np.repeat((5.0 * marks)[:, None], 3, 1)
    network = ImportancePredictor(**SIZES)
    history = train(network, lambda i: [f[i] for f in features], labels, epochs=25)
    assert history[-1] < 0.5 * history[0]


def test_a_predictor_is_judged_by_pictures_that_it_was_not_trained_on() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    bright = rng.random(40) < 0.5
    bright[::HELD_BACK] = np.arange(8) < 4
    fine = bright[:, None, None, None] + 0.1 * rng.standard_normal((40, 5, 16, 16))
    features = [fine.astype(np.float32), *(np.zeros((40, c, s, s)) for c, s in ((6, 8), (4, 4)))]
    labels = np.broadcast_to((2.0 * bright)[:, None, None, None], (40, 3, 4, 4)).copy()
    asked: list[np.ndarray] = []

    def crops(places: np.ndarray) -> list[np.ndarray]:
        asked.append(places)
        return [level[places] for level in features]

    split = split_of(None, 40, 0)
    assert "of the same photos" in split.words
    found = fit_predictor(ImportancePredictor(**SIZES), crops, labels, split, 60)
    assert (asked[-1] == np.arange(0, 40, HELD_BACK)).all()
    assert not set(np.concatenate(asked[:-1])) & set(asked[-1])
    assert found["deviance"] < 0.5 * found["deviance_of_mean"]
    assert found["log_correlation"] > 0.9


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = allocating_parts().manifest.importance
    assert model is not None
    network = ImportancePredictor(**SIZES).eval()
    files.write(tmp_path / "i.pt", model, network, SIZES, {"crops": 3})
    again, other, about = files.read(tmp_path / "i.pt")
    assert (again, about) == (model, {"crops": 3})
    levels = [torch.from_numpy(level)[None] for level in picture(1)]
    with torch.no_grad():
        assert torch.equal(network(*levels), other(*levels))


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "x.pt")
    with pytest.raises(ExportError, match=r"not a file of fcmrt\.export\.importance"):
        files.read(tmp_path / "x.pt")
