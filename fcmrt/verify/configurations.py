"""The ways to run networks that a machine may offer."""

from __future__ import annotations

import dataclasses

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError, DeviceError
from ..runner import make_runner

REFERENCE = RuntimeOptions(runner="reference", kernels="reference")
"""Exact graphs and integer stages in NumPy, float graphs in float64 where PyTorch is installed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run the networks."""

    name: str
    options: RuntimeOptions


_ALL = (
    Configuration("onnxruntime, 1 thread", RuntimeOptions(threads=1)),
    Configuration("onnxruntime, all threads", RuntimeOptions()),
    Configuration("onnxruntime, not optimised", RuntimeOptions(threads=1, optimise=False)),
    Configuration("torch", RuntimeOptions(runner="torch")),
    Configuration("torch without oneDNN", RuntimeOptions(runner="torch", optimise=False)),
    Configuration("torch float64", RuntimeOptions(runner="torch", precision="float64")),
    Configuration("torch on CUDA", RuntimeOptions(runner="torch", device="cuda")),
    Configuration("onnxruntime on CUDA", RuntimeOptions(device="cuda")),
    Configuration("tensorrt", RuntimeOptions(runner="tensorrt", device="cuda")),
)


def runner_configurations() -> list[Configuration]:
    """Returns the configurations whose library is installed and whose device is present."""
    return [configuration for configuration in _ALL if _available(configuration.options)]


def _available(options: RuntimeOptions) -> bool:
    try:
        make_runner(options)
    except (BackendUnavailableError, DeviceError):
        return False
    return True
