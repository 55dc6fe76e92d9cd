"""Engines on one runner, against the same on another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fcmrt import Engine, RuntimeOptions
from fcmrt.runner import make_runner
from fcmrt.schedule import Run

Arrays = dict[str, npt.NDArray[Any]]
ONNXRUNTIME = RuntimeOptions(threads=1)


def trace(engine: Engine, features: Arrays, options: RuntimeOptions) -> Arrays:
    """Runs all graphs of both sides, the latents rounded in between as ONNX Runtime gave them."""
    runner, given, found = make_runner(options), make_runner(ONNXRUNTIME), {}
    tensors = {name: array[None] for name, array in features.items()}
    for step in (*engine.manifest.encode, *engine.manifest.decode):
        if not isinstance(step, Run):
            continue
        for name in step.inputs:
            if name not in tensors:
                tensors[name] = np.round(tensors[name.removesuffix("_hat")])
        inputs = {name: tensors[name] for name in step.inputs}
        graph = engine.graph(step.graph)
        outputs = runner.load(step.graph, graph, exact=False).run(inputs, step.outputs)
        found.update(zip(step.outputs, outputs, strict=True))
        outputs = given.load(step.graph, graph, exact=False).run(inputs, step.outputs)
        tensors.update(zip(step.outputs, outputs, strict=True))
    return found


def distance(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The largest difference, in parts of the largest value."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    return float(np.abs(one.astype(np.float64) - other).max() / max(np.abs(other).max(), 1))


def assert_near(found: Arrays, expected: Arrays, tolerance: float) -> None:
    """Integers may differ by one where a float was near .5, and more in half precision."""
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        if wanted.dtype == np.float32 or tolerance > 1e-4:
            assert distance(found[name], wanted) < tolerance, name
        else:
            differences = np.abs(found[name].astype(np.int64) - wanted)
            assert differences.max() <= 1, name
            assert differences.mean() < 0.01, name
