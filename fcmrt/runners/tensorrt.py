"""Networks on TensorRT or TensorRT-RTX."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from ..config import RuntimeOptions
from ..errors import BackendUnavailableError, ConfigError, EngineError
from ..tensorrt.cache import PlanCache
from ..tensorrt.execution import PlanContext, Ports
from ..tensorrt.library import LIBRARIES, PlanLibrary, find_library
from ..tensorrt.recipe import BuildOptions, Profile, Recipe, Shape
from ..tensorrt.supply import PlanInUse, plan_in_use
from .cuda_memory import CudaMemory, address_of
from .staging import StagedRuns


class TensorRTRunner:
    """Runs graphs as plans, in the precision that each graph has, on the first GPU.

    Plans come from the cache if one fits (`fcmrt build`). At sizes that none fits, one is built and
    cached, which may take minutes. Plans with TF32 are not used.

    Of TensorRT and TensorRT-RTX, the first that is installed and supports the GPU is used.

    Args:
        options: `cache_dir` has an effect here.

    Raises:
        BackendUnavailableError: No library that supports the GPU is installed, or CuPy is not.
        DeviceError: There is no GPU.
    """

    name = "tensorrt"

    def __init__(self, options: RuntimeOptions) -> None:
        self._library = _library_for_device()
        self._memory = CudaMemory()
        self._cache = PlanCache(options.cache_dir)

    @property
    def identity(self) -> str:
        """See `fcmrt.runner.Runner.identity`."""
        library = self._library
        return (
            f"{library.name} {library.version}, cuda {library.device}, in the graph's precision, "
            "float32 without TF32"
        )

    def load(self, name: str, graph: bytes, *, exact: bool) -> TensorRTNetwork:
        """See `fcmrt.runner.Runner.load`; plans are made when sizes are known."""
        return TensorRTNetwork(GraphPlans(name, graph, self._library, self._cache), self._memory)


def _library_for_device() -> PlanLibrary:
    refusals, missing = [], []
    for name in LIBRARIES:
        try:
            library = find_library(name)
        except BackendUnavailableError as error:
            missing.append(str(error))
            continue
        target = library.device.target
        try:
            library.check_target(target)
        except ConfigError as error:
            refusals.append(str(error))
        else:
            return library
    raise BackendUnavailableError("; ".join(refusals + missing))


class TensorRTNetwork:
    """A graph and its plans; see `fcmrt.runner.Network`.

    Args:
        plans: The graph's.
        memory: The GPU's.
    """

    def __init__(self, plans: GraphPlans, memory: CudaMemory) -> None:
        self._plans = plans
        self._memory = memory
        make = functools.partial(TensorRTDeviceNetwork, plans, memory)
        self._staged = StagedRuns(plans.place, memory, make)

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """See `fcmrt.runner.Network.run`."""
        return self._staged.run(inputs, outputs)

    def on_device(self) -> TensorRTDeviceNetwork:
        """See `fcmrt.runner.DeviceCapable.on_device`; each has an execution context of its own."""
        return TensorRTDeviceNetwork(self._plans, self._memory)

    def particulars(self, shapes: Mapping[str, Shape]) -> str:
        """See `fcmrt.runner.Particular.particulars`: the plan, which another build may change."""
        with self._memory.device():
            return f"plan {self._plans.find(shapes).sha256}"


class GraphPlans:
    """A graph's plans, each loaded once; may be shared by threads.

    Args:
        name: The graph's name in the engine.
        graph: The graph, an ONNX model.
        library: Builds and loads plans.
        cache: Where plans are kept.
    """

    def __init__(self, name: str, graph: bytes, library: PlanLibrary, cache: PlanCache) -> None:
        self.place = f"graph {name!r} in {library.name}"
        self._name = name
        self._graph = graph
        self._library = library
        self._cache = cache
        self._plans: list[PlanInUse] = []
        self._lock = threading.Lock()

    def find(self, shapes: Mapping[str, Shape]) -> PlanInUse:
        """Returns the plan for inputs of these shapes; loads or builds it if necessary.

        Raises:
            PlanError, DeviceError, OSError: As `plan_in_use`.
            EngineError: The graph's inputs have other names.
        """
        with self._lock:
            for plan in self._plans:
                if plan.loaded.profile(shapes) is not None:
                    return plan
                if plan.loaded.inputs.keys() != shapes.keys():
                    raise EngineError(
                        f"{self.place} takes {sorted(plan.loaded.inputs)}; given: {sorted(shapes)}"
                    )
            fixed = dict(shapes)
            recipe = Recipe(
                engine="",
                graph=self._name,
                model=self._graph,
                profiles=(Profile(fixed, fixed, fixed),),
                target=self._library.device.target,
                options=BuildOptions(),
            )
            made = plan_in_use(self._library, recipe, shapes, self._cache)
            self._plans.append(made)
            return made


class TensorRTDeviceNetwork:
    """One execution context of a graph; see `fcmrt.runner.DeviceNetwork`.

    It belongs to the stream of its first launch after `outputs`: all runs use the context's memory,
    and only a common stream orders them. Recording is an exception: a launch that is recorded first
    waits for the last run, and whoever replays the recording must keep it in order. All of the
    graph's outputs must be given memory, since TensorRT writes all of them.

    Args:
        plans: The graph's.
        memory: The GPU's.
    """

    def __init__(self, plans: GraphPlans, memory: CudaMemory) -> None:
        self._plans = plans
        self._memory = memory
        self._context: PlanContext | None = None
        self._plan: PlanInUse | None = None
        self._inputs: Ports = {}
        self._outputs: Ports = {}
        self._stream: int | None = None
        with memory.device():
            self._last_run = memory.event()
        self._capturable = False

    @property
    def capturable(self) -> bool:
        """See `fcmrt.runner.DeviceNetwork.capturable`."""
        return self._capturable

    @property
    def any_stream(self) -> bool:
        """See `fcmrt.runner.DeviceNetwork.any_stream`."""
        return False

    def outputs(self, inputs: Mapping[str, Shape]) -> Ports:
        """See `fcmrt.runner.DeviceNetwork.outputs`; runs the graph once, on zeros."""
        memory = self._memory
        shapes = {name: tuple(map(int, shape)) for name, shape in inputs.items()}
        with memory.device():
            self._last_run.synchronize()  # an event, since the run's stream may be gone by now
            self._stream, self._inputs, self._outputs, self._capturable = None, {}, {}, False
            plan = self._plans.find(shapes)
            if self._context is None or plan is not self._plan:
                self._context = None  # free its memory before the next one takes its own
                self._context, self._plan = plan.loaded.context(), plan
            types = plan.loaded.inputs
            given = {name: (shape, types[name]) for name, shape in shapes.items()}
            stream = memory.aside
            try:
                found = self._context.prepare(shapes, stream.ptr)
                # The first run at new shapes does preparations that a recording does not allow.
                zeros = {
                    name: memory.zeros(*port, stream) for name, port in (given | found).items()
                }
                addresses = {name: array.data.ptr for name, array in zeros.items()}
                self._context.launch(addresses, stream.ptr)
            except EngineError as error:
                raise EngineError(f"{self._plans.place}: {error}") from error
            finally:
                stream.synchronize()
            self._capturable = self._context.capturable(stream.ptr)
            self._inputs, self._outputs = given, found
            plan.keep_kernels()
        return dict(self._outputs)

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        """See `fcmrt.runner.DeviceNetwork.launch`."""
        place = self._plans.place
        if self._context is None or not self._inputs:
            raise EngineError(f"{place}: `outputs` must be called before `launch`")
        addresses = _addresses(inputs, self._inputs, place) | _addresses(
            outputs, self._outputs, place
        )
        with self._memory.device():
            recorded = self._memory.records(stream)
            if recorded:
                self._last_run.synchronize()  # a context must not run in two streams at once
            else:
                self._settle(stream)
            try:
                self._context.launch(addresses, stream)
            except EngineError as error:
                raise EngineError(f"{place}: {error}") from error
            if not recorded:
                self._memory.mark(self._last_run, stream)

    def _settle(self, stream: int) -> None:
        """Keeps the stream of the first run, and refuses any other."""
        if self._stream is None:
            self._stream = stream
        elif stream != self._stream:
            raise EngineError(
                f"{self._plans.place} runs in the stream {self._stream:#x} and was given "
                f"{stream:#x}: use another network for it (`on_device`), or call `outputs` again, "
                "which waits"
            )


def _addresses(arrays: Mapping[str, Any], ports: Ports, place: str) -> dict[str, int]:
    if arrays.keys() != ports.keys():
        raise EngineError(f"{place} needs memory for {sorted(ports)}; given: {sorted(arrays)}")
    return {name: address_of(name, arrays[name], *port, place) for name, port in ports.items()}
