"""`fcmrt verify --checkpoint`, of engines that were exported with options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.compressai_samples import loud
from fcmrt import Engine

from .checkpoints import save_two_levels


@pytest.fixture(scope="module")
def vbr_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variable-rate model of CompressAI's, which has no engine without options."""
    path = tmp_path_factory.mktemp("vbr") / "vbr.pth.tar"
    torch.save(loud("mbt2018-mean-vbr").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def trained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec of two levels, whose names no card tells."""
    return save_two_levels(tmp_path_factory.mktemp("trained") / "checkpoint.pt")


def exported_and_verified(run: Any, checkpoint: Path, out: Path, *options: str) -> dict[str, Any]:
    assert run("export", checkpoint, "--out", out, *options)[0] == 0
    wanted = ("--checkpoint", checkpoint, "--repeats", 1, "--json", "-")
    code, text, err = run("verify", out, *wanted, *options)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(text)
    assert "the networks that the engine was made of" in found["reference"]
    assert any(stage["step"].startswith("symbols ") for stage in found["stages"])
    assert all(stage["error"] is None for stage in found["stages"])
    assert all(stage["differing"] == stage["ties"] for stage in found["stages"])
    return found


def test_against_a_checkpoint_with_an_option(run, vbr_checkpoint, tmp_path):
    chosen = ("--codec", "mbt2018-mean-vbr", "--option", "rate=5")
    exported_and_verified(run, vbr_checkpoint, tmp_path / "rate5.fcmrt", *chosen)
    plain = ("--checkpoint", vbr_checkpoint, "--codec", "mbt2018-mean-vbr")
    code, _, err = run("verify", tmp_path / "rate5.fcmrt", *plain)
    assert code == 2
    assert "rate=NUMBER" in err


def test_against_a_checkpoint_with_levels_of_other_names_and_steps(
    run, trained_checkpoint, tmp_path
):
    chosen = ("--level-names", "fine", "coarse", "--levels", "6", "-2")
    out = tmp_path / "renamed.fcmrt"
    exported_and_verified(run, trained_checkpoint, out, *chosen)
    assert [feature.name for feature in Engine.load(out).manifest.features] == [
        "fine",
        "coarse",
    ]
    code, _, err = run("verify", out, "--checkpoint", trained_checkpoint)
    assert code == 2
    assert "p3 (6), p4 (8)" in err
    assert "--level-names" in err
