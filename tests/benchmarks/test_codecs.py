"""Trained checkpoints whose task network is not at hand are left out, with a note."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

import fcmrt
from benchmarks import codecs
from benchmarks.codecs import Codec


def test_codecs_without_features_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, folder: Path) -> Codec:
        deployment: Any = None
        return Codec(path.stem, path.stem, deployment, fcmrt.Engine.builtin())

    monkeypatch.delenv("FCMRT_ASSETS", raising=False)
    monkeypatch.setattr(codecs, "load", load)
    monkeypatch.setattr(codecs, "compare", lambda codec, *_: [{"codec": codec.name}])
    monkeypatch.setattr(codecs, "times", lambda *_: [])
    told = argparse.Namespace(
        checkpoints=["movenet.pt", "nanodet.pt"], quick=True, pictures=1, repeats=1, quality=None
    )
    result, _ = codecs.measure(told)
    assert [row["codec"] for row in result.rows] == ["nanodet"]
    assert len(result.engines) == 1
    (note,) = (note for note in result.notes if note.startswith("movenet"))
    assert "not measured: the network of task 'movenet' is not shipped: set FCMRT_ASSETS" in note
