"""A codec of pictures as a codec of features, from its checkpoint: `--codec mosaic`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.golden_checkpoint import GoldenCheckpoint
from fcmrt import Decoder, Encoder, Engine
from fcmrt.cli import main
from fcmrt.errors import ExportError
from fcmrt.export import read_checkpoint, write
from fcmrt.export.mosaic_engine import deploy

PICTURE = "bmshj2018-factorized"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.compressai_samples import loud

    path = tmp_path_factory.mktemp("checkpoint") / "picture.pt"
    torch.save(loud(PICTURE).state_dict(), path)
    return path


def features(count: int) -> dict[str, np.ndarray]:
    """Channel `c` lies in `c .. c + 4`."""
    rng = np.random.default_rng(count)
    shapes = {"p4": (40, 8, 12), "p3": (10, 16, 24)}
    return {
        name: np.arange(shape[0], dtype=np.float32)[:, None, None]
        + 4 * rng.random((count, *shape), np.float32)
        for name, shape in shapes.items()
    }


def options(path: Path) -> list[str]:
    values = {"picture": PICTURE, "features": str(path)}
    return [part for k, v in values.items() for part in ("--option", f"{k}={json.dumps(v)}")]


@pytest.mark.parametrize("folder", [False, True])
def test_levels_are_mosaics_of_their_own_ranges(
    checkpoint: Path, tmp_path: Path, folder: bool
) -> None:
    maps = features(3)
    if folder:
        for name, level in maps.items():
            np.save(tmp_path / f"{name}.npy", level.astype(np.float16))
    else:
        np.savez(tmp_path / "maps.npz", **maps)
    given = options(tmp_path if folder else tmp_path / "maps.npz")
    out = tmp_path / "mosaic.fcmrt"
    assert main(["export", str(checkpoint), "--codec", "mosaic", "--out", str(out), *given]) == 0
    engine = Engine.load(out)
    found = [(f.name, f.channels, f.stride) for f in engine.manifest.features]
    assert found == [("p3", 10, 1), ("p4", 40, 2)]
    strides = {name: engine.manifest.tensors[f"{name}_y"].stride for name in ("p3", "p4")}
    assert strides == {"p3": 16 // 2, "p4": 2 * 16 // 4}
    picture = {name: level[1] for name, level in maps.items()}
    decoded = Decoder(engine).decode(Encoder(engine).encode(picture))
    for name, level in decoded.items():
        assert level.shape == picture[name].shape
        low, high = (limit((0, 2, 3)) for limit in (maps[name].min, maps[name].max))
        close = 0.01 + 1e-3 * np.abs(high)[:, None, None]  # float16 of file and engine
        assert (level >= low[:, None, None] - close).all()
        assert (level <= high[:, None, None] + close).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"picture": None}, r"needs the name of its codec of pictures"),
        ({"features": None}, r"features whose ranges"),
        ({"features": "nowhere.npz"}, r"nowhere\.npz holds no features"),
        ({"level_names": ["p3", "p5"]}, r"holds p4 \[2, 40, 8, 12\].*wanted is.*p3, p5"),
        ({"picture": "no-such"}, r"'no-such' is not known"),
        ({"rate": 3}, r"no option 'rate'"),
    ],
)
def test_what_does_not_fit_is_named(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    np.savez(tmp_path / "maps.npz", **features(2))
    given = {"picture": PICTURE, "features": str(tmp_path / "maps.npz"), **change}
    with pytest.raises(ExportError, match=text):
        deploy(read_checkpoint(checkpoint), **given)


def test_levels_as_torchvision_has_them(checkpoint: Path, tmp_path: Path) -> None:
    """The five of MFIBA: numbers for names, and a coarsest level of few cells."""
    sides = {"0": (100, 136), "1": (50, 68), "2": (25, 34), "3": (13, 17), "pool": (7, 9)}
    rng = np.random.default_rng(0)
    maps = {name: rng.random((2, 6, *side), np.float32) for name, side in sides.items()}
    np.savez(tmp_path / "maps.npz", **maps)
    given = {"picture": PICTURE, "features": str(tmp_path / "maps.npz")}
    deployment = deploy(read_checkpoint(checkpoint), **given)
    assert [feature.stride for feature in deployment.features] == [1, 2, 4, 8, 16]
    assert deployment.padding.multiple == 16 * 16 // 2
    engine = write(tmp_path / "five.fcmrt", deployment, name="five")
    picture = {name: level[0] for name, level in maps.items()}
    decoded = Decoder(engine).decode(Encoder(engine).encode(picture))
    assert {name: level.shape for name, level in decoded.items()} == {
        name: level.shape for name, level in picture.items()
    }


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (np.ones((2, 6, 5, 9), np.float32), r"'p4' has maps of \[5, 9\].* of \[16, 24\]"),
        (np.full((2, 6, 8, 12), np.nan, np.float32), "'p4' holds NaN"),
    ],
)
def test_features_that_are_no_pyramid_are_refused(
    checkpoint: Path, tmp_path: Path, level: np.ndarray, text: str
) -> None:
    np.savez(tmp_path / "maps.npz", p3=np.ones((2, 6, 16, 24), np.float32), p4=level)
    given = {"picture": PICTURE, "features": str(tmp_path / "maps.npz")}
    with pytest.raises(ExportError, match=text):
        deploy(read_checkpoint(checkpoint), **given)


def test_only_codecs_of_pictures_with_strides_that_patches_divide(
    checkpoint: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "maps.npz", p3=np.ones((1, 800, 4, 4), np.float32))
    given = {"features": str(tmp_path / "maps.npz")}
    with pytest.raises(ExportError, match="strides that 32 divides"):
        deploy(read_checkpoint(checkpoint), picture=PICTURE, **given)
    with pytest.raises(ExportError, match="one picture of three planes"):
        deploy(GoldenCheckpoint("lmsfc_v1").state, picture="lmsfc-v1", **given)
