"""An engine made ready to run."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy.typing as npt

from . import kernels
from .config import RuntimeOptions
from .engine import Engine
from .exact import cache_folder
from .kernels.api import PreparedTables
from .manifest import Manifest
from .processor import usable_cores
from .runner import Network, identity_of, make_runner
from .runner_check import RunnerCheck, Shapes
from .spec import LatentSpec

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor:
    """Networks, kernels and tables of one engine, under one set of options.

    Encoders and decoders of the same engine and options share one; it may be used by several
    threads at once. Networks are loaded when first needed.

    Raises:
        BackendUnavailableError: The runner or the kernels asked for are not installed.
    """

    def __init__(self, engine: Engine, options: RuntimeOptions) -> None:
        self.engine = engine
        self._threads = min(options.threads or usable_cores(), kernels.MAX_THREADS)
        self.kernels = kernels.get(options.kernels, self._threads)
        self._runner = make_runner(options)
        self._tables = {
            name: self.kernels.prepare(engine.tables(name)) for name in engine.manifest.tables
        }
        self._networks: dict[str, Network] = {}
        self._lock = threading.Lock()
        self._check = RunnerCheck(engine, self.identity_of, cache_folder(options.cache_dir))

    @property
    def manifest(self) -> Manifest:
        """The engine's."""
        return self.engine.manifest

    @property
    def identity(self) -> str:
        """Everything that may change the last bits of what networks compute here, in words."""
        return self._runner.identity

    def identity_of(self, name: str, shapes: Shapes) -> str:
        """Returns the `identity` for one graph with inputs of these shapes."""
        return identity_of(self._runner, self.network(name), shapes)

    def network(self, name: str) -> Network:
        """Returns the network of a graph; loads it the first time."""
        network = self._networks.get(name)
        if network is None:
            with self._lock:
                network = self._networks.get(name)
                if network is None:
                    exact = name in self.engine.manifest.exact
                    network = self._runner.load(name, self.engine.graph(name), exact=exact)
                    self._networks[name] = network
        return network

    def run(
        self, name: str, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs a graph once; see `fcmrt.runner.Network.run`.

        A graph of the exact path is checked before it first runs at new sizes (`exact.bring_up`),
        unless the verdict is on record.

        Raises:
            InexactRunnerError: The check failed; the graph has not run.
        """
        network = self.network(name)
        shapes = {key: array.shape for key, array in inputs.items()}
        self._check.require(name, network, shapes, outputs)
        return network.run(inputs, outputs)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Does the work for every item of a batch, on as many threads as the options say.

        After a failure no more work is begun.

        Returns:
            The results, in order. All work has ended when the first is given. The first failure, in
            that order, is raised in its place.
        """
        pairs: list[tuple[Item, Future[Result]]] = [(item, Future()) for item in items]
        left = iter(pairs)  # shared: each thread takes what no other has taken

        def take_part() -> None:
            for item, future in left:
                try:
                    future.set_result(work(item))
                except BaseException as error:
                    future.set_exception(error)
                    collections.deque(left, maxlen=0)

        def wait() -> None:
            for helper in helpers:
                helper.join()

        helpers = _start_helpers(min(self._threads, len(pairs)) - 1, take_part)
        try:
            take_part()
            wait()
        finally:  # what is borrowed must not be in use after an interrupt either
            collections.deque(left, maxlen=0)
            wait()
        for _, future in pairs:
            if future.done():
                yield future.result()

    def tables(self, latent: LatentSpec) -> PreparedTables:
        """Returns the prepared tables of a latent."""
        return self._tables[latent.tables]


def executor_for(engine: Engine, options: RuntimeOptions) -> Executor:
    """Returns the executor that all encoders and decoders of an engine share; errors as its own."""
    return engine.shared(("executor", options), lambda: Executor(engine, options))


def _start_helpers(count: int, work: Callable[[], None]) -> list[threading.Thread]:
    """Starts up to `count` threads that help with a batch, fewer if the system grants no more."""
    helpers: list[threading.Thread] = []
    for _ in range(count):
        helper = threading.Thread(target=work, name="fcmrt")
        try:
            helper.start()
        except RuntimeError:  # there can be no more, or the interpreter is ending
            break
        helpers.append(helper)
    return helpers
