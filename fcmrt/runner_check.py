"""Checks networks of the exact path before they first run at new sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from .engine import Engine
from .errors import InexactRunnerError
from .exact import Question, Runnable, VerdictCache, bring_up

Shapes = Mapping[str, tuple[int, ...]]


class RunnerCheck:
    """The checks of one engine's networks on one runner; any thread may ask.

    Args:
        engine: The engine.
        identity: Says in words what runs a graph at some shapes (`fcmrt.runner.identity_of`).
        folder: Where verdicts are kept (`fcmrt.exact.cache_folder`); None: nowhere.
    """

    def __init__(
        self, engine: Engine, identity: Callable[[str, Shapes], str], folder: Path | None
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._verdicts = VerdictCache(folder)
        self._passed: set[Hashable] = set()
        self._lock = threading.Lock()

    def require(self, name: str, network: Runnable, shapes: Shapes, outputs: Sequence[str]) -> None:
        """Checks a network of the exact path (`exact.bring_up`), unless it has passed before.

        Args:
            name: Name of the graph.
            network: Runs it.
            shapes: Shapes of the inputs.
            outputs: Names of the outputs to compare.

        Raises:
            InexactRunnerError: The check failed.
        """
        if name not in self._engine.manifest.exact:
            return
        key = (name, tuple(sorted(shapes.items())), tuple(outputs))
        if key in self._passed:
            return
        with self._lock:
            if key in self._passed:
                return
            member = self._engine.manifest.graphs[name]
            identity = self._identity(name, shapes)
            question = Question(member.sha256, identity, shapes, outputs)
            if self._verdicts.find(question) is None:
                graph, proof = self._engine.exact_graph(name)
                verdict = bring_up(graph, proof, network, shapes, outputs)
                if not verdict.exact:
                    raise InexactRunnerError(
                        name, identity, shapes, verdict.differing, verdict.values
                    )
                self._verdicts.keep(question, verdict)
            self._passed.add(key)
