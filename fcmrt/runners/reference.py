"""The runner that all others are compared with: slow, and in float64 where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError
from ..exact.reference import Reference
from ..onnxgraph import read_graph
from ..runner import Network, Runner, make_runner

_FLOAT64 = RuntimeOptions(runner="torch", precision="float64")
_PLAIN = RuntimeOptions(runner="onnxruntime", optimise=False, threads=1)


class ReferenceRunner:
    """Runs exact graphs in NumPy, and the others in PyTorch's float64.

    Without PyTorch, the others run in ONNX Runtime, with one thread and not optimised; `identity`
    says so.

    Raises:
        BackendUnavailableError: Neither library is installed.
    """

    name = "reference"

    def __init__(self) -> None:
        self._floats: Runner
        try:
            self._floats = make_runner(_FLOAT64)
        except BackendUnavailableError:
            self._floats = make_runner(_PLAIN)

    @property
    def identity(self) -> str:
        """See `fcmrt.runner.Runner.identity`."""
        return f"numpy {np.__version__} for exact graphs, for others {self._floats.identity}"

    def load(self, name: str, graph: bytes, *, exact: bool) -> Network:
        """See `fcmrt.runner.Runner.load`."""
        if not exact:
            return self._floats.load(name, graph, exact=False)
        return _ExactNetwork(Reference(read_graph(graph, f"graph {name!r}")))


class _ExactNetwork:
    """A proved graph, computed by its definition."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`."""
        return self._reference.run(inputs, outputs)
