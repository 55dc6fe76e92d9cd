"""Builds plans, with TensorRT or TensorRT-RTX; `execution.py` runs them.

The two modules have nearly the same classes, and the code here keeps to what they share. Networks
are strongly typed: the graph alone says in which precision a layer computes.
"""

from __future__ import annotations

import abc
import functools
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from ..errors import BackendUnavailableError, ConfigError, DeviceError, PlanError
from ..gpu import Device, first_device
from .execution import LoadedPlan
from .logger import emptied_logger, logged_errors, shortened, turn
from .recipe import Recipe


class PlanLibrary(abc.ABC):
    """Builds and loads plans with one of the two libraries; may be shared by threads.

    Args:
        module: The library's module.
        device: Finds this machine's GPU; called once, when it is first needed.
    """

    name: ClassVar[str]
    module_name: ClassVar[str]
    extra: ClassVar[str]
    """The extra of fcmrt that installs the library."""
    keeps_timings: ClassVar[bool]
    """Whether the library times kernels when it builds, and can reuse earlier timings."""

    def __init__(self, module: Any, device: Callable[[], Device] = first_device) -> None:
        self._trt = module
        self._ask = device

    @functools.cached_property
    def device(self) -> Device:
        """This machine's GPU.

        Raises:
            DeviceError: There is none.
        """
        return self._ask()

    @property
    def version(self) -> str:
        """The library's version."""
        return str(self._trt.__version__)

    @property
    @abc.abstractmethod
    def targets(self) -> tuple[str, ...]:
        """GPUs that plans can be built for here, such as "sm_89".

        Raises:
            DeviceError: The library builds on the GPU, and there is none.
        """

    def facts(self) -> dict[str, Any]:
        """Returns the facts about the library and this machine that change a plan; plain JSON."""
        return {"name": self.name, "version": self.version}

    def check_target(self, target: str) -> None:
        """Refuses a GPU that the library cannot build for here.

        Raises:
            ConfigError: Not one of `targets`; the text lists them.
            DeviceError: As `targets`.
        """
        if target not in self.targets:
            raise ConfigError(
                f"{self.name} {self.version} builds no plans for {target!r} here, only for "
                f"{', '.join(self.targets)}"
            )

    def build(self, recipe: Recipe, timings: bytes = b"") -> tuple[bytes, bytes]:
        """Builds one plan.

        Args:
            recipe: Its target has passed `check_target`.
            timings: Returned by an earlier build for this target; b"": none.

        Returns:
            The plan, and the timings including those of this build; b"" if the library keeps none.

        Raises:
            PlanError: The library refuses the graph, or fails on it; the text names the engine, the
                graph and, if it is known, the node, and quotes the library.

        Determinism: none. Two builds of one recipe are interchangeable, but their bytes differ, and
        where the library chooses by timing, so may the last bits of what they compute.
        """
        trt = self._trt
        with turn:
            logger = emptied_logger(trt)
            # All of these must live until the plan is built: the network refers to weights that
            # the parser holds.
            builder = trt.Builder(logger)
            typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            network = builder.create_network(typed)
            parser = trt.OnnxParser(network, logger)
            if not parser.parse(recipe.model):
                raise self._refusal(recipe, parser)
            config = builder.create_builder_config()
            self._configure(config, recipe)
            self._add_profiles(builder, config, recipe)
            timing_cache = self._give_timings(config, timings)
            plan = builder.build_serialized_network(network, config)
            if plan is None:
                raise self._failure(recipe, "does not build it")
            found = b"" if timing_cache is None else bytes(timing_cache.serialize())
            return bytes(plan), found

    def load(self, plan: bytes, kernels: bytes = b"") -> LoadedPlan:
        """Loads a plan on this machine's GPU.

        Args:
            plan: Built by this version of the library, for this GPU.
            kernels: Returned earlier by `LoadedPlan.kernels`; b"": none.

        Raises:
            DeviceError: The library refuses it.
        """
        return LoadedPlan(self._trt, plan, lambda engine: self._context_arguments(engine, kernels))

    def _context_arguments(self, engine: Any, kernels: bytes) -> tuple[tuple[Any, ...], Any]:
        """Returns what contexts of a plan are created with, and a store of kernels or None."""
        return (), None

    def _configure(self, config: Any, recipe: Recipe) -> None:
        options = recipe.options
        tf32 = self._trt.BuilderFlag.TF32
        if options.tf32:
            config.set_flag(tf32)
        else:
            config.clear_flag(tf32)  # which is set by default
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
        if options.workspace_bytes is not None:
            pool = self._trt.MemoryPoolType.WORKSPACE
            config.set_memory_pool_limit(pool, options.workspace_bytes)

    def _add_profiles(self, builder: Any, config: Any, recipe: Recipe) -> None:
        for number, profile in enumerate(recipe.profiles):
            made = builder.create_optimization_profile()
            try:
                for name, least in profile.least.items():
                    made.set_shape(name, least, profile.best[name], profile.most[name])
            except ValueError as error:
                raise self._failure(recipe, f"refuses profile {number} ({error})") from error
            if config.add_optimization_profile(made) != number:
                raise self._failure(recipe, f"refuses profile {number}: {profile.value()}")

    def _give_timings(self, config: Any, timings: bytes) -> Any:
        """Gives the configuration a timing cache, if the library has them, and returns it."""
        return None

    def _refusal(self, recipe: Recipe, parser: Any) -> PlanError:
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        words = "; ".join(dict.fromkeys(str(error.desc()) for error in errors))
        node, place = None, ""
        if errors and errors[0].node_operator():
            node = errors[0].node_name() or None
            which = f"{errors[0].node()}, which has no name" if node is None else repr(node)
            place = f", at node {which} ({errors[0].node_operator()})"
        return self._failure(recipe, f"cannot parse it{place}", words, node)

    def _failure(
        self, recipe: Recipe, what: str, words: str = "", node: str | None = None
    ) -> PlanError:
        reason = shortened(words or logged_errors(self._trt))
        engine = f"engine {recipe.engine!r}, " if recipe.engine else ""
        return PlanError(
            f"{engine}graph {recipe.graph!r}, for {recipe.target}: {self.name} {self.version} "
            f"{what}: {reason}",
            engine=recipe.engine,
            graph=recipe.graph,
            node=node,
        )


class TensorRT(PlanLibrary):
    """TensorRT 10 or 11, which builds plans for this machine's GPU and no other."""

    name = "tensorrt"
    module_name = "tensorrt"
    extra = "tensorrt"
    keeps_timings = True

    @property
    def targets(self) -> tuple[str, ...]:
        """This machine's GPU."""
        try:
            return (self.device.target,)
        except DeviceError as error:
            raise DeviceError(
                f"{error}, and TensorRT builds plans only on the GPU that they are for; "
                "TensorRT-RTX builds them anywhere: --library tensorrt-rtx"
            ) from error

    def facts(self) -> dict[str, Any]:
        """See `PlanLibrary.facts`; a plan fits one model of GPU."""
        device = self.device
        return {
            **super().facts(),
            "device": device.name,
            "multiprocessors": device.multiprocessors,
            "driver": device.driver,
        }

    def _give_timings(self, config: Any, timings: bytes) -> Any:
        # The library refuses timings of another version or GPU, or from a damaged file.
        for content in dict.fromkeys((timings, b"")):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return cache
        return None


class TensorRTForRTX(PlanLibrary):
    """TensorRT-RTX, which builds plans for all GPUs that it knows, with or without a GPU.

    Kernels are chosen on the GPU that runs the plan, so there are no timings. The library still has
    the functions for them, which do nothing and need a GPU.
    """

    name = "tensorrt-rtx"
    module_name = "tensorrt_rtx"
    extra = "tensorrt-rtx"
    keeps_timings = False

    @property
    def targets(self) -> tuple[str, ...]:
        """All GPUs that the library lists."""
        members = self._trt.ComputeCapability.__members__
        numbers = [int(name[2:]) for name in members if re.fullmatch(r"SM\d+", name)]
        return tuple(f"sm_{number}" for number in sorted(numbers))

    def _configure(self, config: Any, recipe: Recipe) -> None:
        super()._configure(config, recipe)
        known = self._trt.ComputeCapability
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(known, f"SM{recipe.target[3:]}"), 0):
            raise self._failure(recipe, "does not take the target")

    def _context_arguments(self, engine: Any, kernels: bytes) -> tuple[tuple[Any, ...], Any]:
        config = engine.create_runtime_config()
        # By default a compiler in the background may replace kernels between runs; then the kernels
        # that run would not be those that were checked.
        strategies = self._trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        store = config.create_runtime_cache()
        if kernels:
            store.deserialize(kernels)  # if of another version or GPU, refused and compiled anew
        config.set_runtime_cache(store)
        return (config,), store


LIBRARIES: dict[str, type[PlanLibrary]] = {
    library.name: library for library in (TensorRT, TensorRTForRTX)
}
"""By name."""


def find_library(name: str | None = None) -> PlanLibrary:
    """Imports a library that builds plans.

    Args:
        name: One of `LIBRARIES`; None: the one that is installed.

    Raises:
        ConfigError: The name is unknown, or None and both are installed.
        BackendUnavailableError: It is not installed, or something that it needs is not.
    """
    if name is None:
        name = _installed()
    elif name not in LIBRARIES:
        raise ConfigError(f"there is no library {name!r}; plans are built by {_names()}")
    library = LIBRARIES[name]
    try:
        module = importlib.import_module(library.module_name)
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"building plans with {name} needs its module {library.module_name}: pip install "
            f"'fcmrt[{library.extra}]' ({error})"
        ) from error
    return library(module)


def _installed() -> str:
    found = [name for name, one in LIBRARIES.items() if importlib.util.find_spec(one.module_name)]
    if not found:
        raise BackendUnavailableError(
            "building plans needs TensorRT-RTX, for GPUs of the RTX kind: pip install "
            "'fcmrt[tensorrt-rtx]'; or TensorRT, on the GPU itself: pip install 'fcmrt[tensorrt]'"
        )
    if len(found) > 1:
        raise ConfigError(
            f"{_names()} are both installed, and neither runs the other's plans: choose the one "
            "that is to build"
        )
    return found[0]


def _names(names: Iterable[str] = LIBRARIES) -> str:
    return " and ".join(names)
