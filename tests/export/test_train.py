"""The training recipe: the split, reproducible inputs, resuming, the loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from fcmrt.export.lmsfc import LMSFC_NANODET_LIGHT  # noqa: E402
from fcmrt.export.train import data, loop, loss, phash  # noqa: E402
from fcmrt.tasks import nanodet  # noqa: E402

TINY = replace(LMSFC_NANODET_LIGHT, width=8, latent_channels=8, hyper_channels=8)


def picture(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A smooth random picture: uint8 `[height, width, 3]`."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


class StandInNetwork:
    """Features that are cheap functions of the input, in place of the detector's front half."""

    def features(self, x: np.ndarray) -> dict[str, np.ndarray]:
        maps = {}
        for name, stride in zip(nanodet.FEATURE_NAMES, nanodet.STRIDES, strict=True):
            side = nanodet.INPUT_SIZE // stride
            pooled = x.reshape(len(x), 3, side, stride, side, stride).mean((3, 5))
            rows = [np.roll(pooled[:, i % 3 : i % 3 + 1], i, 2) for i in range(128)]
            maps[name] = np.concatenate(rows, 1).astype(np.float32)
        return maps


def source(seed: int = 0) -> data.FeatureSource:
    pictures = data.Pictures({str(i): picture(i) for i in range(3)}, {})
    return data.FeatureSource(pictures, StandInNetwork(), seed=seed, batch=2)


@pytest.fixture(scope="module")
def back_half() -> Path:
    """The shipped back half."""
    from importlib import resources

    return Path(str(resources.files("fcmrt") / "assets" / "nanodet.back.onnx"))


def trainer(out: Path, back_half: Path, steps: int = 3) -> loop.Trainer:
    options = loop.TrainOptions(
        steps=steps,
        batch=2,
        validation_crops=2,
        statistics_crops=2,
        validate_every=3,
        polish=1 / 3,
        warmup=2,
    )
    return loop.Trainer(TINY, options, source(), loss.Head(back_half), out)


def test_split_lists_the_test_pictures() -> None:
    assert len(data.TEST_PICTURES) == 22
    assert not set(data.TEST_FRAMES) & set(data.TRAIN_FRAMES[data.TEST_CLIP])


def make_assets(folder: Path, names: dict[str, np.ndarray]) -> Path:
    (folder / "photos").mkdir(parents=True)
    (folder / "video").mkdir()
    for name, image in names.items():
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
    return folder


def test_test_pictures_are_never_read_for_training(tmp_path: Path) -> None:
    assets = make_assets(tmp_path, {"dog": picture(0), "other": picture(1)})
    assert set(data.read_pictures(assets, []).photos) == {"other"}
    assert set(data.read_photos([assets / "photos"], test=True)) == {"dog"}


@pytest.mark.parametrize("mirrored", [False, True])
def test_copy_of_a_test_picture_is_refused(tmp_path: Path, mirrored: bool) -> None:
    copy = np.asarray(Image.fromarray(picture(0)).resize((200, 150)))
    copy = np.clip(copy.astype(int) + 12, 0, 255).astype(np.uint8)
    copy = copy[:, ::-1] if mirrored else copy
    assets = make_assets(tmp_path, {"dog": picture(0), "copy": copy, "other": picture(1)})
    with pytest.raises(data.SplitError, match="copy = dog"):
        data.read_pictures(assets, [])


def test_unrelated_pictures_are_far_apart() -> None:
    train = {f"a{i}": picture(i) for i in range(10)}
    test = {f"b{i}": picture(100 + i) for i in range(10)}
    matches, closest = phash.find_copies(train, test)
    assert not matches
    assert closest is not None
    assert closest.distance > phash.MAX_DISTANCE


def test_inputs_depend_on_seed_and_step_only() -> None:
    first = source()
    first.inputs(3)
    np.testing.assert_array_equal(first.inputs(7), source().inputs(7))
    assert not np.array_equal(first.inputs(7), first.inputs(8))
    assert not np.array_equal(first.inputs(7), source(seed=1).inputs(7))


def test_half_of_a_batch_is_used_twice() -> None:
    later = data.REUSE_AFTER + 1
    steps = list(source().ahead(0, later + 1))
    assert len(steps) == later + 1
    np.testing.assert_array_equal(steps[1][2][:1], steps[later][2][1:])
    assert not np.array_equal(steps[1][2][:1], steps[1][2][1:])
    (again,) = source().ahead(later, later + 1)  # without the history
    np.testing.assert_array_equal(again[0], steps[later][0])


def test_qualities_cover_the_range() -> None:
    drawn = torch.stack([loop.draw_qualities(0, step, 8) for step in range(300)])
    assert drawn.min() == -20
    assert drawn.max() == 20
    spread = drawn.sort(1).values
    assert (spread[:, 0] <= -15).all()
    assert (spread[:, -1] >= 15).all()


def test_learning_rate_rises_and_falls() -> None:
    options = loop.TrainOptions(steps=1000)
    rates = [loop.learning_rate(options, step) for step in range(1000)]
    assert rates[0] < rates[100] < rates[500] == options.lr
    assert rates[700] > rates[800] > rates[949]
    assert rates[949] < 0.05 * options.lr
    assert rates[950] > rates[999] > 0


def test_head_is_the_back_half(back_half: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = nanodet.NanoDet(threads=1)
    features = network.features(nanodet.letterbox(picture(0))[0])
    expected = network.outputs(features)
    actual = loss.Head(back_half)([torch.from_numpy(f) for f in features.values()])
    np.testing.assert_allclose(torch.sigmoid(actual.logits).numpy(), expected.scores, atol=1e-5)
    np.testing.assert_allclose(actual.boxes.flatten(2).numpy(), expected.boxes, atol=1e-4)


def test_distortion_is_zero_without_error_and_grows(back_half: Path) -> None:
    features = [torch.from_numpy(f) for f in source().features(0)]
    head = loss.Head(back_half)
    energies = loss.Energies(torch.ones(3), torch.ones(3))
    totals = [
        loss.distortion([f + error for f in features], features, head, energies).total
        for error in (0.0, 0.1, 0.3)
    ]
    assert totals[0].abs().max() < 1e-4
    assert (totals[0] < totals[1]).all()
    assert (totals[1] < totals[2]).all()


def test_resuming_changes_nothing(tmp_path: Path, back_half: Path) -> None:
    straight = trainer(tmp_path / "straight", back_half)
    straight.run()

    first = trainer(tmp_path / "halves", back_half)
    for step in range(2):
        first.train_step(first._tensors(first.source.mixed(step)))
    first.save()
    second = trainer(tmp_path / "halves", back_half)
    second.resume()
    second.run()

    for name, value in straight.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value, rtol=0, atol=0)
    model = loop.load_codec(tmp_path / "halves" / loop.CHECKPOINT)
    assert model.config == TINY
    assert (tmp_path / "straight" / "curves.png").stat().st_size > 1000
    rows = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").open()]
    assert [row["d"] for row in rows[-1]["validation"]] == list(loop.VALIDATION_QUALITIES)
