"""Networks on ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy.typing as npt

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError, EngineError
from ..onnxgraph import BFLOAT16, read_graph
from ..processor import describe_processor, usable_cores
from .ending import RUNS

_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")


def installed_builds() -> list[str]:
    """Returns which builds of ONNX Runtime are installed; more than one breaks both."""
    builds = []
    for name in _DISTRIBUTIONS:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        builds.append(name)
    return builds


def import_onnxruntime() -> Any:
    """Imports ONNX Runtime.

    Raises:
        BackendUnavailableError: Not installed, or installed in two builds that have overwritten
            each other's files.
    """
    if len(installed_builds()) > 1:
        raise BackendUnavailableError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's "
            "files: uninstall both, then install one of 'fcmrt[cpu]' and 'fcmrt[cuda]'"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError(
            "running networks needs ONNX Runtime: pip install 'fcmrt[cpu]' (or 'fcmrt[cuda]', "
            "never both)"
        ) from error
    return onnxruntime


class OnnxRuntimeRunner:
    """Runs graphs with ONNX Runtime's CPU provider.

    Args:
        options: `threads` and `optimise` have an effect here.

    Raises:
        BackendUnavailableError: ONNX Runtime is not installed.
    """

    name = "onnxruntime"

    def __init__(self, options: RuntimeOptions) -> None:
        self._onnxruntime = import_onnxruntime()
        self._options = options

    @property
    def identity(self) -> str:
        """See `fcmrt.runner.Runner.identity`."""
        threads = self._options.threads or f"default of {usable_cores()}"
        return (
            f"onnxruntime {self._onnxruntime.__version__}, cpu {describe_processor()}, "
            f"threads {threads}, {'optimised' if self._options.optimise else 'not optimised'}, "
            f"{self._options.precision}"
        )

    def load(self, name: str, graph: bytes, *, exact: bool) -> OnnxRuntimeNetwork:
        """See `fcmrt.runner.Runner.load`; exact graphs run like the others."""
        options = session_options(self._onnxruntime, self._options)
        try:
            with RUNS:
                session = self._onnxruntime.InferenceSession(
                    graph, options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # the library's exceptions share no base but Exception
            hint = ""
            if _is_bfloat16(graph):
                hint = "; the graph is in bfloat16, which the runner 'torch' has"
            raise EngineError(
                f"ONNX Runtime does not load graph {name!r}: {error}{hint}"
            ) from error
        return OnnxRuntimeNetwork(name, session)


def session_options(onnxruntime: Any, asked: RuntimeOptions) -> Any:
    """Makes a session's options from the caller's."""
    options = onnxruntime.SessionOptions()
    if not asked.optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = asked.threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Else a session's threads spin after its run, on cores that the next graph needs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _is_bfloat16(graph: bytes) -> bool:
    try:
        constants = read_graph(graph, "the graph").constants
    except EngineError:
        return False
    return any(constant.dtype == BFLOAT16 for constant in constants.values())


class OnnxRuntimeNetwork:
    """One graph in an inference session."""

    def __init__(self, name: str, session: Any) -> None:
        self._name = name
        self._session = session

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`."""
        try:
            with RUNS:
                results: list[npt.NDArray[Any]] = self._session.run(list(outputs), dict(inputs))
        except Exception as error:  # the library's exceptions share no base but Exception
            raise EngineError(f"graph {self._name!r} failed in ONNX Runtime: {error}") from error
        return results
