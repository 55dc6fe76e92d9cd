"""Cards, slim checkpoints, and the table made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fcmrt.export.codecs import LevelsConfig, make_codec  # noqa: E402
from fcmrt.export.train import card, loop, slim, table, weights  # noqa: E402
from fcmrt.export.train.schedule import TrainOptions  # noqa: E402


@pytest.fixture
def run(tmp_path: Path, tiny: Any) -> Path:
    """A run's folder, without the training."""
    out = tmp_path / "run"
    out.mkdir()
    codec = make_codec(tiny)
    weights = {"config": tiny.to_dict(), "average": codec.state_dict()}
    state = {"family": "lmsfc-v1", "step": 100, **weights}
    torch.save(state, out / loop.CHECKPOINT)
    card.write_card(
        out,
        task="nanodet",
        options=TrainOptions(steps=100),
        config=tiny,
        split=[],
        machine="a machine",
        command="python -m fcmrt.export.train --out RUN",
    )
    validation = [{"d": 0, "bytes": 1234.4, "nmse": 0.25, "classes": 0.5, "boxes": 0.25}]
    rows = [
        {"step": 50, "loss": 9.0, "nmse": 1.0, "seconds": 1800.0},
        {"step": 50, "loss": 3.0, "nmse": 1.0, "seconds": 3600.0},  # done again after a resume
        {"step": 90, "loss": 5.0, "nmse": 1.0, "seconds": 6000.0},
        {"step": 100, "loss": 1.0, "seconds": 7200.0},  # of the polish
        {"step": 100, "validation": validation},
    ]
    (out / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def test_result_of_a_run(run: Path) -> None:
    result = card.read_card(run)["result"]
    assert result["step"] == 100
    assert result["hours"] == 2.0
    assert result["loss"] == 4.0
    assert result["validation"][0]["bytes"] == 1234.4


def test_slim_checkpoint_is_small_and_loads(run: Path, tmp_path: Path) -> None:
    slim.main([str(run), "--out", str(tmp_path / "models" / "tiny.pt")])
    before = weights.load_codec(run / loop.CHECKPOINT)
    after = weights.load_codec(tmp_path / "models" / "tiny.pt")
    assert after.config == before.config
    for name, weight in before.state_dict().items():
        kept = after.state_dict()[name]
        assert kept.dtype == weight.dtype
        if weight.numel() >= slim.LARGE:
            torch.testing.assert_close(kept, weight, rtol=2**-10, atol=1e-7)
        else:
            torch.testing.assert_close(kept, weight, rtol=0, atol=0)
    assert any(weight.numel() >= slim.LARGE for weight in before.state_dict().values())
    smaller = (tmp_path / "models" / "tiny.pt").stat().st_size
    assert smaller < 0.75 * (run / loop.CHECKPOINT).stat().st_size


def test_shared_weights_are_stored_once(tiny: Any) -> None:
    level = replace(tiny, feature_channels=(128,))
    codec = make_codec(LevelsConfig(levels=3, codecs=(level,)))
    weights = slim.slimmed(codec.state_dict())
    alone = slim.slimmed(make_codec(level).state_dict())
    stored = {w.data_ptr(): w.nbytes for w in weights.values() if w.dtype == torch.float16}
    assert sum(stored.values()) == sum(w.nbytes for w in alone.values() if w.dtype == torch.float16)


def test_weights_beyond_float16_are_refused() -> None:
    with pytest.raises(ValueError, match="conv has weights beyond"):
        slim.slimmed({"conv": torch.full((2, slim.LARGE), 1e6)})


def test_vectors_and_priors_stay_as_they_are() -> None:
    weights = {"bias": torch.rand(2 * slim.LARGE), "prior.weight": torch.rand(3, slim.LARGE)}
    for name, weight in slim.slimmed(weights).items():
        assert torch.equal(weight, weights[name])
        assert weight.dtype == torch.float32


def test_table(run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    slim.main([str(run), "--out", str(models / "tiny.pt")])
    table.main([str(models)])
    text = (models / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| tiny.pt")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["tiny.pt", "lmsfc-v1", "nanodet", "8"]
    assert cells[5:] == ["100", "2.0", "a machine", "4.00", "1234", "0.250", "0.750"]
    assert "    python -m fcmrt.export.train --out RUN\n" in text
    table.main([str(models), "--check"])
    (models / "README.md").write_text(text + "more", encoding="utf-8")
    with pytest.raises(SystemExit, match="not up to date"):
        table.main([str(models), "--check"])


def test_run_from_before_cards_said_where(run: Path, tmp_path: Path) -> None:
    old = json.loads((run / "card.json").read_text())
    (run / "card.json").write_text(json.dumps({key: old[key] for key in ("options", "config")}))
    out = tmp_path / "old.pt"
    slim.main([str(run), "--out", str(out), "--machine", "there", "--command", "python train"])
    text = table.make_table(tmp_path)
    assert "| there |" in text
    assert "    python train\n" in text


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--assets", "/a/b", "--out", "/c"], "--assets DIR --out RUN"),
        (["--out=/c", "--extra", "/d", "--resume"], "--out=RUN --extra MORE"),
        (["--cache", "/c", "--config", "/x/tiny.json"], "--cache CACHE --config tiny.json"),
        (["--steps", "10"], "--steps 10"),
    ],
)
def test_command_names_no_folder(arguments: list[str], shown: str) -> None:
    assert card.command_of(arguments) == f"python -m fcmrt.export.train {shown}"


def test_resumed_run_tells_of_every_machine(run: Path, tiny: Any) -> None:
    card.write_card(
        run,
        task="nanodet",
        options=TrainOptions(steps=100),
        config=tiny,
        split=[],
        machine="another",
        command="",
    )
    assert card.read_card(run)["machines"] == ["a machine", "another"]
