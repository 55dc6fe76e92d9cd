"""Features on disk, and training from them alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.train import __main__ as command  # noqa: E402
from fcmrt.export.train import cache as caches  # noqa: E402
from fcmrt.export.train.cache import HELD_OUT, Cache, write_cache  # noqa: E402
from fcmrt.export.train.canvas import random_canvas  # noqa: E402
from fcmrt.export.train.data import Pictures  # noqa: E402
from fcmrt.export.train.source import STATISTICS_STEP, VALIDATION_STEP  # noqa: E402
from fcmrt.tasks.task import NANODET, SELFIE  # noqa: E402


@pytest.fixture
def cache(
    tmp_path: Path, make_source: Any, back_half: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setitem(HELD_OUT, STATISTICS_STEP, 3)
    monkeypatch.setitem(HELD_OUT, VALIDATION_STEP, 2)
    monkeypatch.setattr(caches, "CHUNK", 2)
    write_cache(tmp_path / "cache", make_source(), 5, back_half, {"split": ["a", "b"]})
    return tmp_path / "cache"


def test_cache_holds_what_the_source_draws(cache: Path, make_source: Any) -> None:
    read, source = Cache(cache), make_source()
    assert read.count == 5
    assert read.task is NANODET
    for step, count in ((STATISTICS_STEP, 3), (VALIDATION_STEP, 2), (VALIDATION_STEP, 1)):
        for held, drawn in zip(
            read.held_out(step, count), source.features(step, count), strict=True
        ):
            assert held.dtype == np.float16
            np.testing.assert_array_equal(held, drawn.astype(np.float16))
    crops = read.crops(np.array([1, 3]))
    for held, second, third in zip(crops, source.features(0), source.features(1), strict=True):
        np.testing.assert_array_equal(held[0], second[1].astype(np.float16))
        np.testing.assert_array_equal(held[1], third[1].astype(np.float16))
    with pytest.raises(ValueError, match="holds 2 crops"):
        read.held_out(VALIDATION_STEP, 3)


def test_cache_tells_what_crops_show(cache: Path, make_source: Any) -> None:
    source = make_source()
    drawn = [source.shown_features(step)[1] for step in range(3)]
    wanted = [names for batch in drawn for names in batch][:5]
    assert Cache(cache).shown() == wanted
    assert {name for names in wanted for name in names} <= {"0", "1", "2"}
    (cache / "shown.json").unlink()  # as in caches of before
    assert Cache(cache).shown() is None


def test_crops_are_of_the_pictures_that_they_tell(make_picture: Any) -> None:
    photos = {name: np.full((120, 160, 3), value, np.uint8) for name, value in PLAIN.items()}
    pictures = Pictures(photos, {"tree": {"tree:1": np.full((120, 160, 3), 240, np.uint8)}})
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        pixels, shown = random_canvas(pictures, rng, SELFIE)
        assert len(shown) in {1, 4}
        seen.update(shown)
        if len(shown) == 1:  # whose colours are changed by a quarter and 20 at most
            bright = {**PLAIN, "clip tree": 240}[shown[0]]
            assert pixels.max() * 255 == pytest.approx(bright, abs=60)
    assert seen == {"dark", "light", "clip tree"}


PLAIN = {"light": 150, "dark": 20}


def test_tasks_of_others_are_told(cache: Path) -> None:
    recipe = json.loads((cache / "cache.json").read_text())
    (cache / "cache.json").write_text(json.dumps(recipe | {"task": "mine"}))
    with pytest.raises(ValueError, match="'mine', which is not one of fcmrt's"):
        Cache(cache)
    mine = dataclasses.replace(NANODET, name="mine")
    assert Cache(cache, mine).task is mine
    with pytest.raises(ValueError, match="'mine', not of 'nanodet'"):
        Cache(cache, NANODET)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("selfie", "no codec is trained for the task 'selfie'; there are movenet, nanodet"),
        ("no_such_module:MINE", "No module named 'no_such_module'"),
        ("fcmrt.tasks.task:MINE", "has no 'MINE'"),
        ("fcmrt.tasks.task:NANODET", "is a Task, and no TrainingTask"),
    ],
)
def test_tasks_without_a_head_are_refused(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path), "--task", name])
    assert message in capsys.readouterr().err


def test_cache_that_is_not_whole_is_refused(cache: Path) -> None:
    recipe = json.loads((cache / "cache.json").read_text())
    (cache / "cache.json").write_text(json.dumps(recipe | {"format": 9}))
    with pytest.raises(ValueError, match="format 9"):
        Cache(cache)
    (cache / "cache.json").unlink()
    with pytest.raises(ValueError, match="no whole cache"):
        Cache(cache)


def test_features_beyond_float16_are_refused(
    tmp_path: Path, make_source: Any, back_half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source()
    drawn = source.shown_features

    def large(*given: int) -> Any:
        features, shown = drawn(*given)
        return [level * 1e6 for level in features], shown

    monkeypatch.setattr(source, "shown_features", large)
    monkeypatch.setitem(HELD_OUT, STATISTICS_STEP, 1)
    monkeypatch.setitem(HELD_OUT, VALIDATION_STEP, 1)
    with pytest.raises(ValueError, match="float16"), np.errstate(over="ignore"):
        write_cache(tmp_path / "cache", source, 1, back_half, {})


def test_digests_are_of_the_pixels(make_picture: Any) -> None:
    frames = {"b:1": make_picture(1), "b:2": make_picture(2)}
    first = caches.digests(Pictures({"a": make_picture(0)}, {"b": frames}))
    again = caches.digests(Pictures({"a": make_picture(0)}, {"b": dict(reversed(frames.items()))}))
    assert again == first
    frames["b:2"] = frames["b:2"] // 2
    other = caches.digests(Pictures({"a": make_picture(0)}, {"b": frames}))
    assert other["a"] == first["a"]
    assert other["clip b"] != first["clip b"]


def test_training_needs_the_cache_only(
    cache: Path,
    tmp_path: Path,
    tiny: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    monkeypatch.setattr(command, "TrainOptions", small_options)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"family": "lmsfc-v1", "config": tiny.to_dict()}))
    out = tmp_path / "run"
    arguments = ["--cache", str(cache), "--out", str(out), "--config", str(config)]
    command.main([*arguments, "--steps", "2", "--batch", "2"])
    card = json.loads((out / "card.json").read_text())
    assert card["split"] == ["a", "b"]
    assert card["task"] == "nanodet"
    assert str(tmp_path) not in card["command"]
    held = (out / "checkpoint.pt").read_bytes()
    with pytest.raises(SystemExit):
        command.main([*arguments, "--steps", "2", "--batch", "2"])
    assert "which would be lost: go on with --resume" in capsys.readouterr().err
    assert (out / "checkpoint.pt").read_bytes() == held
    with pytest.raises(SystemExit):
        command.main([*arguments, "--resume", "--out", str(tmp_path / "nowhere")])
    assert "has no checkpoint.pt to go on from" in capsys.readouterr().err


def small_options(**options: Any) -> Any:
    from fcmrt.export.train.schedule import TrainOptions

    return TrainOptions(**options, validation_crops=1, statistics_crops=2)


def test_codec_of_other_features_is_refused(cache: Path, tmp_path: Path) -> None:
    arguments = ["--cache", str(cache), "--out", str(tmp_path / "run"), "--batch", "2"]
    with pytest.raises(ValueError, match=r"features of nanodet have \(128, 128, 128\)"):
        command.main([*arguments, "--preset", "lmsfc-v1"])


def test_pictures_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path)])
    assert "--assets" in capsys.readouterr().err
