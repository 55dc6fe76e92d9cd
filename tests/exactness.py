"""An integer network on every executor at hand, and inputs that try it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch

from fcmrt.exact.reference import Reference
from fcmrt.export.exact import IntegerNetwork
from fcmrt.onnxgraph import read_graph


def full_range(
    network: IntegerNetwork, size: tuple[int, ...], seed: int, scale: float = 1.0
) -> dict[str, np.ndarray]:
    """Inputs far into their clips, ties of the rounding among them: float32 `[1, C, *size]`."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(-600, 601, (1, channels, *size)) / 2 * scale).astype(np.float32)
        for name, channels in network.inputs.items()
    }


def executions(network: IntegerNetwork, inputs: dict[str, np.ndarray]) -> list[list[np.ndarray]]:
    """The outputs as float64 and float32 PyTorch, ONNX Runtime and the reference give them."""
    data = network.to_onnx()
    results = []
    for dtype in (torch.float64, torch.float32):
        with torch.no_grad():
            outputs = network(*(torch.from_numpy(x).to(dtype) for x in inputs.values()))
        kinds = [np.float32 if name in network.grids else np.int32 for name in network.outputs]
        pairs = zip(outputs, kinds, strict=True)
        results.append([output.numpy().astype(kind) for output, kind in pairs])
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        results.append(session.run(list(network.outputs), inputs))
    reference = Reference(read_graph(data, network.name))
    results.append(reference.run(inputs, network.outputs))
    return results


def assert_one_result(network: IntegerNetwork, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Checks that all executions agree bit for bit; returns the outputs."""
    first, *others = executions(network, inputs)
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert theirs.dtype == ours.dtype
            np.testing.assert_array_equal(ours, theirs)
    return first


def seeded(shapes: Sequence[tuple[int, ...]], scale: float, seed: int = 0) -> list[torch.Tensor]:
    """Calibration inputs, whole numbers times the scale."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).mul(6).round() * scale for shape in shapes]
