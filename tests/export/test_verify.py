"""`fcmrt verify --checkpoint`, of engines that were exported with options."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.compressai_samples import loud
from fcmrt import Engine
from fcmrt.export.coding import hyper_latent
from fcmrt.export.deployment import Deployment, DeploymentBuilder
from fcmrt.export.tables import channel_tables
from fcmrt.spec import FeatureSpec, Padding

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


class Scale(nn.Module):
    """Channel by channel, by what float16 does not hold exactly."""

    width: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("width", torch.rand(1, channels, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x / self.width


def scaled(checkpoint: Mapping[str, Any], /) -> Deployment:
    """A codec whose features are scaled before all else."""
    torch.manual_seed(0)
    network = nn.Sequential(Scale(96), nn.Conv2d(96, 4, 1))
    build = DeploymentBuilder([FeatureSpec("x", 96, 1)], Padding(2, "reflect", "start"))
    build.tensor("y", 4, 1)
    build.tensor("x_hat", 96, 1)
    build.encoder("analysis", network, ["x"], ["y"])
    build.coded("y", hyper_latent("y", "y"), "y_hat")
    build.decoder("synthesis", nn.Conv2d(4, 96, 1), ["y_hat"], ["x_hat"])
    tables = {"y": channel_tables(np.full((4, 9), 1 / 9), -4)}
    return build.finish(family="scaled", outputs={"x": "x_hat"}, tables=tables, mean_bits=0)


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


def test_the_reference_has_the_weights_as_the_engine_stores_them(run, tmp_path, monkeypatch):
    """Some are stored as float16, and what features are scaled by is not."""
    torch.save({"w": torch.ones(1)}, tmp_path / "any.pt")
    monkeypatch.setitem(sys.modules, "scaled_codec", SimpleNamespace(deploy=scaled))
    chosen = ("--codec", "scaled_codec:deploy")
    found = exported_and_verified(run, tmp_path / "any.pt", tmp_path / "scaled.fcmrt", *chosen)
    runs = [stage for stage in found["stages"] if stage["step"].startswith("run ")]
    assert runs
    assert all(stage["relative"] < 2e-6 for stage in runs)


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
