"""`fcmrt export`: what it refuses before any work, and that a failure leaves no engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcmrt.export.importance import files
from fcmrt.export.importance.predictor import ImportancePredictor

from ..allocating import allocating_parts
from .checkpoints import save_two_levels

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint of a codec of two levels."""
    path = save_two_levels(tmp_path_factory.mktemp("trained") / "checkpoint.pt")
    return path.read_bytes()


@pytest.fixture
def checkpoint(trained: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(trained)
    return path


@pytest.fixture
def refused(run: Any, checkpoint: Path, tmp_path: Path) -> Refused:
    """Exports with options that are refused: what is said, in one line, and nothing is written."""

    def call(*options: object, out: Path = tmp_path / "out.fcmrt") -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        code, printed, err = run("export", checkpoint, *options, "--out", out)
        assert (code, printed) == (2, "")
        assert len(err.splitlines()) == 1
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before
        return str(err)

    return call


def test_inputs_are_not_written_over(refused: Refused, checkpoint: Path, tmp_path: Path) -> None:
    assert "one of the inputs" in refused(out=checkpoint)
    card, level = tmp_path / "card.json", tmp_path / "p3.npy"
    for path in (card, level):
        path.write_text("{}")
    assert "one of the inputs" in refused("--card", card, out=card)
    assert "one of the inputs" in refused("--importance", card, out=card)
    assert "one of the inputs" in refused("--calibrate", tmp_path, out=level)
    assert "no folder" in refused(out=tmp_path / "nowhere" / "out.fcmrt")
    assert "is a folder" in refused(out=tmp_path)


def test_importance_that_cannot_be_had_leaves_no_engine(refused: Refused, tmp_path: Path) -> None:
    assert "nope.pt" in refused("--importance", tmp_path / "nope.pt")
    model = allocating_parts().manifest.importance
    assert model is not None
    for name, channels in (("three", [5, 6, 4]), ("two", [6, 8])):
        sizes: dict[str, Any] = {
            "channels": channels,
            "strides": [1 << n for n in range(len(channels))],
        }
        files.write(tmp_path / name, model, ImportancePredictor(**sizes), sizes, {})
    said = refused("--importance", tmp_path / "three")
    assert f"{tmp_path / 'three'}: " in said
    assert "takes levels of 5, 6, 4 channels; the codec's have 6, 8" in said
    said = refused("--importance", tmp_path / "two")
    assert "levels are p3, p4, p5" in said


def test_options_that_the_codec_does_not_take(refused: Refused) -> None:
    said = refused("--option", "foo=1")
    assert "codec trained: got an unexpected keyword argument 'foo'" in said
    assert "its options are level_names, levels" in said
    said = refused("--codec", "lic-tcm", "--levels", "8", "0")
    assert "'levels'" in said
    assert "its options are level_names (" in said


def test_codecs_that_are_no_functions(refused: Refused) -> None:
    assert "is not a function of a checkpoint" in refused("--codec", "math:pi")
    assert "returned int; it must return a Deployment" in refused("--codec", "builtins:len")


def test_features_to_calibrate_on_are_numbers(refused: Refused, tmp_path: Path) -> None:
    p4 = np.zeros((2, 8, 4, 4))
    p4[1, 3] = np.nan
    np.savez(tmp_path / "f.npz", p3=np.zeros((2, 6, 8, 8)), p4=p4)
    assert "p4 of picture 1 holds NaN" in refused("--calibrate", tmp_path / "f.npz")


@pytest.mark.parametrize("bits", ["0", "40"])
def test_bits_of_activations(refused: Refused, tmp_path: Path, bits: str) -> None:
    assert "goes with --calibrate" in refused("--activation-bits", bits)
    np.savez(tmp_path / "f.npz", p3=np.zeros((1, 6, 8, 8)), p4=np.zeros((1, 8, 4, 4)))
    said = refused("--activation-bits", bits, "--calibrate", tmp_path / "f.npz")
    assert f"activation_bits must be 4 to 11, got {bits}" in said


def test_a_package_that_is_missing_is_named_with_its_extra(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "compressai", None)
    said = refused("--codec", "mbt2018-mean")
    assert "needs compressai" in said
    assert "pip install 'fcmrt[export,compressai]'" in said


def test_a_codec_in_the_working_directory(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_this_folder"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "codec.py").write_text(
        "from fcmrt.errors import ExportError\n"
        "def deploy(checkpoint, /, *, rate=1):\n"
        "    raise ExportError(f'found, with rate {rate}')\n"
    )
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    name = ("--codec", "package_of_this_folder.codec:deploy", "--option", "rate=3")
    assert "No module named 'package_of_this_folder'" in refused(*name)
    monkeypatch.chdir(tmp_path)
    assert "found, with rate 3" in refused(*name)
