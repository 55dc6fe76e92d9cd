"""Networks on ONNX Runtime: what is refused, and how it is said."""

from __future__ import annotations

import sys
from importlib import metadata

import numpy as np
import pytest

from fcmrt.config import RuntimeOptions
from fcmrt.errors import BackendUnavailableError, EngineError
from fcmrt.runner import make_runner
from fcmrt.runners import onnxrt

from .. import engines


def test_a_graph_runs() -> None:
    engine = engines.tiny_factorized()
    (step, *_) = engine.manifest.encode
    network = make_runner(RuntimeOptions(threads=1)).load(
        step.graph, engine.graph(step.graph), exact=False
    )
    (level,) = engine.manifest.features
    inputs = {level.name: np.ones((1, level.channels, 8, 8), np.float32)}
    (output,) = network.run(inputs, step.outputs)
    assert output.shape[0] == 1
    assert np.isfinite(output).all()


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match=r"fcmrt\[cpu\]"):
        make_runner(RuntimeOptions())


def test_two_builds_in_one_environment_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: name)
    with pytest.raises(BackendUnavailableError, match="overwritten"):
        make_runner(RuntimeOptions())
    assert onnxrt.installed_builds() == ["onnxruntime", "onnxruntime-gpu"]


def test_what_the_library_refuses_is_an_engine_error() -> None:
    runner = make_runner(RuntimeOptions())
    with pytest.raises(EngineError, match="'broken'"):
        runner.load("broken", b"\x08\x07", exact=False)
    engine = engines.tiny_factorized()
    (step, *_) = engine.manifest.encode
    network = runner.load(step.graph, engine.graph(step.graph), exact=False)
    with pytest.raises(EngineError, match=step.graph):
        network.run({"nothing": np.zeros((1, 1, 1, 1), np.float32)}, step.outputs)
