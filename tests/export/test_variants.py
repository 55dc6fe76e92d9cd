"""Whole engines in another precision."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from fcmrt import Decoder, Encoder, RuntimeOptions  # noqa: E402
from fcmrt.errors import EngineError  # noqa: E402
from fcmrt.export.cleaning import assert_clean  # noqa: E402
from fcmrt.export.onnx import Precision  # noqa: E402
from fcmrt.export.variants import float_graphs, graph_inputs, in_precision  # noqa: E402
from tests import engines  # noqa: E402
from tests.features import random_features  # noqa: E402

TOLERANCES: dict[Precision, float] = {"fp32": 1e-5, "fp16": 0.02, "bf16": 0.1, "int8": 0.3}


@pytest.mark.parametrize("precision", TOLERANCES)
def test_only_what_decides_no_bytes_changes(precision: Precision) -> None:
    engine = engines.tiny_hyperprior()
    pictures = [random_features(engine, (16, 16), seed) for seed in range(3)]
    inputs = graph_inputs(engine, pictures, [1, 2])
    assert inputs.keys() == set(float_graphs(engine))
    made = in_precision(engine, precision, inputs=inputs)
    assert made.manifest.profile == engine.manifest.profile
    for name in engine.manifest.graphs:
        if name in float_graphs(engine):
            assert_clean(onnx.load_from_string(made.graph(name)))
        else:
            assert made.graph(name) == engine.graph(name)
    options = RuntimeOptions(runner="torch", threads=1)
    walks = [Encoder(one, options=options).walk(pictures[0]) for one in (engine, made)]
    wanted, found = (walk.tensors["y"] for walk in walks)
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error < TOLERANCES[precision]
    packet = Encoder(made, options=options).encode(pictures[0])
    decoded = Decoder(made, options=options).decode(packet)
    assert {name: level.shape for name, level in decoded.items()} == {
        name: level.shape for name, level in pictures[0].items()
    }


def test_int8_needs_what_the_graphs_are_given() -> None:
    with pytest.raises(EngineError, match="int8 needs calibration"):
        in_precision(engines.tiny_hyperprior(), "int8")
