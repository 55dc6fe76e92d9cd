"""Packets of the engines that ship mean to every runner what they meant when they were made."""

from __future__ import annotations

import importlib.util
import json
import pathlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fcmrt

GOLDEN = pathlib.Path(__file__).parent / "golden"


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_packets", GOLDEN / "make_packets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = load_maker()


@pytest.mark.parametrize("runner", ["onnxruntime", "torch"])
@pytest.mark.parametrize("name", MAKER.ENGINES)
def test_golden_packets_mean_what_they_meant(name: str, runner: str) -> None:
    if runner == "torch":
        pytest.importorskip("torch")
    golden: dict[str, Any] = json.loads((GOLDEN / "packets" / f"{name}.json").read_text("utf-8"))
    engine = fcmrt.Engine.builtin(name)
    assert engine.digest_hex == golden["engine"]
    decoder = fcmrt.Decoder(engine, options=fcmrt.RuntimeOptions(runner=runner))
    assert set(golden["packets"]) == {str(quality) for quality in MAKER.QUALITIES}
    for entry in golden["packets"].values():
        found = MAKER.describe(decoder, bytes.fromhex(entry["packet"]))
        assert found["integers"] == entry["integers"]
        for level, expected in entry["features"].items():
            np.testing.assert_allclose(found["features"][level], expected, rtol=1e-4, atol=1e-5)
