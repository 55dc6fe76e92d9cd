"""Training, resuming, limits of time, and what a run leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.codecs import Config, LevelsConfig  # noqa: E402
from fcmrt.export.train import loop, weights  # noqa: E402
from fcmrt.export.train.nanodet_head import NanoDetHead  # noqa: E402
from fcmrt.export.train.schedule import TrainOptions  # noqa: E402

MakeTrainer = Callable[..., loop.Trainer]


@pytest.fixture
def make_trainer(make_source: Any, back_half: Path, tiny: Config) -> MakeTrainer:
    def make(out: Path, config: Config = tiny, **changes: Any) -> loop.Trainer:
        sizes = {"batch": 2, "validation_crops": 2, "statistics_crops": 2}
        when = {"steps": 3, "validate_every": 3, "polish": 1 / 3, "warmup": 2}
        options = TrainOptions(**{**sizes, **when, **changes})
        return loop.Trainer(config, options, make_source(), NanoDetHead(back_half), out)

    return make


def train(trainer: loop.Trainer, first: int, last: int) -> list[dict[str, float]]:
    """Some steps, without what `run` does around them."""
    batches = trainer.source.ahead(first, last)
    return [trainer.train_step(trainer._tensors(batch)) for batch in batches]


def assert_same(first: loop.Trainer, second: loop.Trainer) -> None:
    weights = second.average.state_dict()
    for name, value in first.average.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=0)


def test_resuming_changes_nothing(tmp_path: Path, make_trainer: MakeTrainer, tiny: Config) -> None:
    straight = make_trainer(tmp_path / "straight")
    straight.run()

    first = make_trainer(tmp_path / "halves")
    train(first, 0, 2)
    first.save()
    second = make_trainer(tmp_path / "halves")
    second.resume()
    second.run()

    assert_same(straight, second)
    model = weights.load_codec(tmp_path / "halves" / loop.CHECKPOINT)
    assert model.config == tiny
    assert (tmp_path / "straight" / "curves.png").stat().st_size > 1000
    rows = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").open()]
    assert [row["d"] for row in rows[-1]["validation"]] == list(loop.VALIDATION_QUALITIES)


def test_checkpoint_from_before_there_were_limits_of_time(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    straight = make_trainer(tmp_path / "new", steps=4, polish=0.5)
    train(straight, 0, 3)
    straight.save()
    (tmp_path / "old").mkdir()
    state = torch.load(tmp_path / "new" / loop.CHECKPOINT, weights_only=True)
    del state["polishing"], state["family"]
    torch.save(state, tmp_path / "old" / loop.CHECKPOINT)
    old = make_trainer(tmp_path / "old", steps=4, polish=0.5)
    old.resume()
    assert old.polishing
    train(old, 3, 4)
    train(straight, 3, 4)
    assert_same(straight, old)


def test_checkpoint_of_a_codec_whose_parts_had_another_order(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    straight = make_trainer(tmp_path)
    train(straight, 0, 1)
    straight.save()
    state = torch.load(tmp_path / loop.CHECKPOINT, weights_only=True)
    names = [name for name in state["model"] if "prior." not in name]
    parameters = [name for name, _ in straight.model.named_parameters()]
    positions = {
        name: i for i, name in enumerate(name for name in parameters if "prior." not in name)
    }
    turned = [name for name in reversed(names) if name in positions]
    old = state["optimiser"]["state"]
    moments = {i: old[positions[name]] for i, name in enumerate(turned)}
    state["optimiser"]["state"] = old | moments
    priors = [name for name in state["model"] if "prior." in name]
    order = [*reversed(names), *priors]
    state["model"] = {name: state["model"][name] for name in order}
    torch.save(state, tmp_path / loop.CHECKPOINT)
    resumed = make_trainer(tmp_path)
    resumed.resume()
    train(straight, 1, 2)
    train(resumed, 1, 2)
    assert_same(straight, resumed)


def test_time_ends_a_run_after_its_polish(
    tmp_path: Path, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr(loop.time, "monotonic", lambda: 2.0 * next(seconds))
    trainer = make_trainer(tmp_path, steps=1000, minutes=0.25)
    trainer.run()
    assert trainer.seconds >= 15
    assert 2 < trainer.step < 7
    assert trainer.polishing
    state = torch.load(tmp_path / loop.CHECKPOINT, weights_only=True)
    assert state["step"] == trainer.step
    assert state["seconds"] == trainer.seconds
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert rows[-1]["step"] == trainer.step


def test_polish_trains_the_entropy_model_only(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(tmp_path)
    train(trainer, 0, 2)
    frozen = {id(p) for module in trainer.model.transforms() for p in module.parameters()}
    assert not trainer.polishing
    (row,) = train(trainer, 2, 3)
    assert trainer.polishing
    assert "nmse" not in row
    moved = {
        name: id(ours) in frozen
        for (name, ours), theirs in zip(
            trainer.model.named_parameters(), trainer.average.parameters(), strict=True
        )
        if not torch.equal(ours, theirs)
    }
    assert moved
    assert not any(moved.values())


def test_levels_with_qualities_of_their_own(
    tmp_path: Path, make_trainer: MakeTrainer, tiny: Any
) -> None:
    tiny_level = replace(tiny, feature_channels=(128,))
    config = LevelsConfig(levels=3, codecs=(tiny_level,))
    trainer = make_trainer(tmp_path, config)
    rows = train(trainer, 0, 3)
    assert all(row["loss"] > 0 for row in rows)
    assert trainer.validate()[0]["bytes"] > 0
    trainer.save()
    assert weights.load_codec(tmp_path / loop.CHECKPOINT).levels_have_quality


def test_start_from_another_run(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    first = make_trainer(tmp_path / "first")
    train(first, 0, 1)
    first.save()
    second = make_trainer(tmp_path / "second", seed=7)
    second.start_from(tmp_path / "first" / loop.CHECKPOINT)
    assert_same(first, second)
    assert second.step == 0


def test_another_codec_is_no_start(tmp_path: Path, make_trainer: MakeTrainer, tiny: Any) -> None:
    first = make_trainer(tmp_path / "first", replace(tiny, width=2 * tiny.width))
    first.save()
    second = make_trainer(tmp_path / "second", tiny)
    with pytest.raises(ValueError, match="of another codec, or of one of other sizes"):
        second.start_from(tmp_path / "first" / loop.CHECKPOINT)


def levels_of(tiny: Any, *widths: int) -> LevelsConfig:
    codecs = (replace(tiny, feature_channels=(128,), width=width) for width in widths)
    return LevelsConfig(levels=3, codecs=tuple(codecs))


def test_one_level_is_made_wider_and_trained_alone(
    tmp_path: Path, make_trainer: MakeTrainer, tiny: Any
) -> None:
    first = make_trainer(tmp_path / "first", levels_of(tiny, 4, 4, 4))
    train(first, 0, 1)
    first.save()
    begun = first.average.state_dict()
    second = make_trainer(tmp_path / "second", levels_of(tiny, 4, 4, 6), only=(2,))
    second.start_from(tmp_path / "first" / loop.CHECKPOINT)
    new = {name: weight.clone() for name, weight in second.average.state_dict().items()}
    second.run()
    moved = set()
    for name, weight in second.average.state_dict().items():
        level = name.split(".")[1]
        if level == "2":
            moved |= set() if torch.equal(weight, new[name]) else {name}
        else:
            torch.testing.assert_close(weight, begun[name])
    assert len(moved) > len(new) / 6


def test_no_level_fits(tmp_path: Path, make_trainer: MakeTrainer, tiny: Any) -> None:
    first = make_trainer(tmp_path / "first", levels_of(tiny, 4, 4, 4))
    first.save()
    second = make_trainer(tmp_path / "second", levels_of(tiny, 6, 6, 6))
    with pytest.raises(ValueError, match="no level of the checkpoint"):
        second.start_from(tmp_path / "first" / loop.CHECKPOINT)


def test_a_codec_of_one_latent_has_no_levels_to_train(
    tmp_path: Path, make_trainer: MakeTrainer
) -> None:
    with pytest.raises(ValueError, match="no levels"):
        make_trainer(tmp_path, only=(0,))


def test_features_come_first(tmp_path: Path, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(tmp_path, steps=4, features_first=0.5, polish=0.25)
    alone, still_alone, seen, polished = train(trainer, 0, 4)
    assert set(alone) == set(still_alone) == set(polished) | {"features", "hidden", "nmse"}
    assert alone["hidden"] == 0
    assert seen["hidden"] > 0
    assert set(seen) > set(alone)
