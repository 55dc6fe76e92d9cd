"""Checkpoints of the training recipe become engines by the command, of every family."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.codec_samples import louder
from fcmrt import Decoder, Encoder, Engine
from fcmrt.cli import main
from fcmrt.errors import ExportError
from fcmrt.export.codecs import Config, LevelsConfig, family_of, make_codec
from fcmrt.export.context import ContextConfig
from fcmrt.export.elic import ElicConfig
from fcmrt.export.lictcm_features import LicTcmFeaturesConfig
from fcmrt.export.lmsfc import LmsfcConfig
from fcmrt.export.lmsfc_v2 import LmsfcV2Config
from fcmrt.export.trained import deploy
from fcmrt.tasks.task import TASKS
from fcmrt.validator import exact_path

from .checkpoints import TWO_LEVELS

CONTEXT = ContextConfig(
    groups=(2, 4),
    channel_widths=(6, 6),
    channel_kernel=3,
    spatial_kernel=3,
    aggregation_widths=(12, 10),
    all_earlier=True,
)
CONFIGS: dict[str, Config] = {
    "lmsfc-v1": TWO_LEVELS,
    "lmsfc-v2": LmsfcV2Config(
        feature_channels=(6, 8),
        width=8,
        latent_stride=2,
        hyper_widths=(4, 6),
        hyper_out=12,
        kernel=3,
        mixing_kernel=3,
        attention_levels=(0,),
        context=CONTEXT,
    ),
    "levels": LevelsConfig(
        levels=2,
        codecs=tuple(
            ElicConfig(
                feature_channels=(channels,),
                width=8,
                strides=(2, 1),
                bottlenecks=1,
                attention_stages=(1,),
                hyper_widths=(4, 6),
                hyper_out=12,
                kernel=3,
                context=CONTEXT,
            )
            for channels in (6, 8)
        ),
    ),
    "lic-tcm": LevelsConfig(
        levels=2,
        codecs=tuple(
            LicTcmFeaturesConfig(
                feature_channels=(channels,),
                width=4,
                slices=(4,),
                window=2,
                blocks=1,
                head_channels=2,
                hyper_widths=(4, 6),
                hyper_out=12,
                squeezed=4,
                slice_widths=(6, 5),
                kernel=3,
            )
            for channels in (6, 8)
        ),
    ),
}
EXACT = [name for name in CONFIGS if name != "lic-tcm"]
"""Those whose networks between packet and tables have an exact form; window attention has none."""

having_an_exact_form = pytest.mark.parametrize("name", EXACT, indirect=True, scope="module")


@pytest.fixture(scope="module", params=list(CONFIGS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = CONFIGS[name]
    codec = make_codec(config)
    louder([m for n, m in codec.named_modules() if n.endswith("hyper_analysis")], 8)
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    halves = {k: v.half() if v.is_floating_point() else v for k, v in codec.state_dict().items()}
    wrapped = {"family": family_of(config), "config": config.to_dict(), "average": halves}
    torch.save(wrapped, path)
    return path


def features(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    return {
        "p3": 2 * rng.standard_normal((count, 6, 16, 24), np.float32),
        "p4": 2 * rng.standard_normal((count, 8, 8, 12), np.float32),
    }


def test_without_calibration_the_engine_is_same_engine(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "float.fcmrt"
    assert main(["export", str(checkpoint), "--out", str(out), "--levels", "8", "0", "-8"]) == 0
    engine = Engine.load(out)
    assert engine.manifest.profile == "same-engine"
    assert [feature.name for feature in engine.manifest.features] == ["p3", "p4"]
    packets = Encoder(engine).encode(features(2))
    assert [p["p4"].shape for p in Decoder(engine).decode(packets)] == [(8, 8, 12)] * 2


@having_an_exact_form
@pytest.mark.parametrize("folder", [False, True])
def test_with_calibration_it_is_exact(checkpoint: Path, tmp_path: Path, folder: bool) -> None:
    maps = features(6)
    if folder:
        for name, level in maps.items():
            np.save(tmp_path / f"{name}.npy", level.astype(np.float16))
    else:
        np.savez(tmp_path / "maps.npz", **maps)
    out = tmp_path / "exact.fcmrt"
    given = ["--calibrate", str(tmp_path if folder else tmp_path / "maps.npz"), "--pictures", "4"]
    assert main(["export", str(checkpoint), "--out", str(out), *given]) == 0
    engine = Engine.load(out)
    assert engine.manifest.profile == "exact"
    packet = Encoder(engine).encode({name: level[5] for name, level in maps.items()})
    assert Decoder(engine).decode(packet)["p3"].shape == (6, 16, 24)


@pytest.mark.parametrize("name", ["lic-tcm"], indirect=True, scope="module")
def test_what_has_no_exact_form_is_told_so(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "maps.npz", **features(2))
    out = tmp_path / "exact.fcmrt"
    command = ["export", str(checkpoint), "--calibrate", str(tmp_path / "maps.npz")]
    assert main([*command, "--out", str(out)]) == 2
    assert re.search("no exact form.*--profile same-engine", capsys.readouterr().err)
    assert not out.exists()


def test_an_exact_profile_is_calibrated(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exact.fcmrt"
    assert main(["export", str(checkpoint), "--profile", "exact", "--out", str(out)]) == 2
    assert "--profile exact needs --calibrate" in capsys.readouterr().err
    assert not out.exists()


def test_wrong_calibration_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "one.npz", **{name: level[0] for name, level in features(1).items()})
    out = tmp_path / "exact.fcmrt"
    command = ["export", str(checkpoint), "--out", str(out), "--calibrate"]
    assert main([*command, str(tmp_path / "one.npz")]) == 2
    assert "batches" in capsys.readouterr().err
    np.save(tmp_path / "p3.npy", features(1)["p3"])
    assert main([*command, str(tmp_path)]) == 2
    assert "p4.npy" in capsys.readouterr().err
    assert not out.exists()


def test_as_many_names_as_levels(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    with pytest.raises(ExportError, match="1 names for levels; the codec has 2"):
        deploy(state, level_names=["p3"])


def in_precision_and_not(
    checkpoint: Path, tmp_path: Path, precision: str, profile: str, *options: str
) -> None:
    """Exports both, and holds one to the other."""
    np.savez(tmp_path / "maps.npz", **features(4))
    calibrated = ["--calibrate", str(tmp_path / "maps.npz"), *options]
    command = ["export", str(checkpoint), *calibrated, "--out"]
    wide, narrow = tmp_path / "wide.fcmrt", tmp_path / "narrow.fcmrt"
    assert main([*command, str(wide)]) == 0
    assert main([*command, str(narrow), "--precision", precision]) == 0
    wide_engine, narrow_engine = Engine.load(wide), Engine.load(narrow)
    manifest = wide_engine.manifest
    assert manifest.profile == narrow_engine.manifest.profile == profile
    deciding = exact_path(manifest.latents, manifest.decode)
    assert profile == "same-engine" or set(deciding) == set(manifest.exact)
    for graph in manifest.graphs:
        same = wide_engine.graph(graph) == narrow_engine.graph(graph)
        assert same == (graph in deciding)
    maps = {name: level[0] for name, level in features(4).items()}
    decoded = Decoder(narrow_engine).decode(Encoder(narrow_engine).encode(maps))
    wanted = Decoder(wide_engine).decode(Encoder(wide_engine).encode(maps))
    error = np.mean([np.square(decoded[k] - wanted[k]).mean() / wanted[k].var() for k in maps])
    assert error < 0.2


@having_an_exact_form
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_analysis_and_synthesis_in_another_precision(
    checkpoint: Path, tmp_path: Path, precision: str
) -> None:
    in_precision_and_not(checkpoint, tmp_path, precision, "exact")


def test_int8_of_an_engine_that_stays_same_engine(checkpoint: Path, tmp_path: Path) -> None:
    in_precision_and_not(checkpoint, tmp_path, "int8", "same-engine", "--profile", "same-engine")


def test_int8_is_calibrated(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "int8.fcmrt"
    assert main(["export", str(checkpoint), "--out", str(out), "--precision", "int8"]) == 2
    assert "--calibrate" in capsys.readouterr().err
    assert not out.exists()


def test_levels_are_called_as_the_task_network_calls_them(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    state["card"] = json.dumps({"task": "nanodet"})  # of three levels; this codec has two
    assert [feature.name for feature in deploy(state).features] == ["p3", "p4"]
    state["config"] = CONFIGS["lmsfc-v1"].to_dict() | {"feature_channels": [6, 8, 6, 8]}
    state["family"] = "lmsfc-v1"
    state["card"] = json.dumps({"task": "movenet"})
    codec = make_codec(LmsfcConfig.from_dict(state["config"]))
    state["average"] = codec.state_dict()
    names = tuple(feature.name for feature in deploy(state).features)
    assert names == TASKS["movenet"].feature_names
