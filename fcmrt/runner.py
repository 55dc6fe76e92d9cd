"""What fcmrt asks of a library that runs networks, and how one is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from .config import RuntimeOptions


class Network(Protocol):
    """One graph, ready to run; safe to be run by several threads at once."""

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs the graph once.

        Args:
            inputs: By name, `[1, C, H, W]`, C-contiguous; borrowed until the call returns.
            outputs: Names of the outputs wanted.

        Returns:
            The outputs in the order asked for; owned by the caller.

        Raises:
            EngineError: The graph does not accept the inputs, or fails on them.
        """


class Runner(Protocol):
    """A library that turns graphs into networks."""

    name: str

    @property
    def identity(self) -> str:
        """Whatever may change the last bits of a result, in words.

        Library and version, device and instruction set or GPU, threads, options.
        """

    def load(self, name: str, graph: bytes) -> Network:
        """Prepares one graph.

        Args:
            name: The graph's name in the engine, for errors.
            graph: An ONNX model, already checked by `Engine`.

        Raises:
            EngineError: The library cannot run the graph.
        """


def make_runner(options: RuntimeOptions) -> Runner:
    """Makes the runner that the options ask for, and no other.

    Raises:
        BackendUnavailableError: Its library is not installed.
    """
    from .runners.onnxrt import OnnxRuntimeRunner

    return OnnxRuntimeRunner(threads=options.threads)
