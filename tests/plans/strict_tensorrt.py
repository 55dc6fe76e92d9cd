"""A stand-in for the modules `tensorrt` and `tensorrt_rtx` that forgives nothing.

It has the calls that both libraries have in common, and for each what it alone has. Calls out of
order, arguments of the wrong kind, names that the real class lacks, and objects that have died too
early are failures. What was built comes back as JSON in place of a plan.
"""

from __future__ import annotations

import enum
import gc
import json
import types
import weakref
from typing import Any

INPUT = "x"
"""The one input of every graph that the stand-in parses, `[1, C, H, W]`."""


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class ComputeCapability(enum.IntEnum):
    NONE = 0
    CURRENT = 1
    SM120 = 120
    SM86 = 86
    SM89 = 89


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.ready = True


class ParserError:
    def __init__(self, node: str, operator: str, words: str) -> None:
        self._told = node, operator, words

    def node(self) -> int:
        return 4

    def node_name(self) -> str:
        return self._told[0]

    def node_operator(self) -> str:
        return self._told[1]

    def desc(self) -> str:
        return self._told[2]


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.timed = 0

    def serialize(self) -> memoryview:
        assert self.timed, "nothing was built with it yet"
        return memoryview(self.content + b"+" * self.timed)


class OptimizationProfile:
    __slots__ = ("shapes",)

    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
        assert name == INPUT
        assert name not in self.shapes
        for shape in low, best, high:
            assert type(shape) is tuple
            assert len(shape) == 4
            assert all(type(side) is int for side in shape)
        if not all(a <= b <= c for a, b, c in zip(low, best, high, strict=True)):
            raise ValueError("the shape provided for max is inconsistent with other shapes")
        self.shapes[name] = [list(low), list(best), list(high)]


class BuilderConfig:
    """What both libraries let one configure; nothing else can be set."""

    __slots__ = ("__weakref__", "_level", "flags", "pools", "profiles")

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.pools: dict[MemoryPoolType, int] = {}
        self.profiles: list[OptimizationProfile] = []
        self._level = 3

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        assert type(level) is int
        self._level = level

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(BuilderFlag(flag))

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(BuilderFlag(flag))

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        assert type(size) is int
        self.pools[MemoryPoolType(pool)] = size

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        if not profile.shapes:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def described(self) -> dict[str, Any]:
        return {
            "tf32": BuilderFlag.TF32 in self.flags,
            "level": self._level,
            "workspace": self.pools.get(MemoryPoolType.WORKSPACE),
            "profiles": [profile.shapes for profile in self.profiles],
        }

    def check(self) -> None:
        assert self.profiles, "a graph of dynamic sizes needs a profile"

    def built(self) -> None:
        pass


class DeviceConfig(BuilderConfig):
    """TensorRT's: with a timing cache."""

    __slots__ = ("_cache",)

    def __init__(self) -> None:
        super().__init__()
        self._cache: weakref.ref[TimingCache] | None = None

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        assert type(content) is bytes
        return None if content.startswith(b"unreadable") else TimingCache(content)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        if cache.content.startswith(b"other version"):
            return False
        self._cache = weakref.ref(cache)
        return True

    def check(self) -> None:
        super().check()
        assert self._cache is not None, "builds without a timing cache"
        assert self._cache() is not None, "the timing cache has died"

    def built(self) -> None:
        cache = self._cache and self._cache()
        assert cache
        cache.timed += 1


class RtxConfig(BuilderConfig):
    """TensorRT-RTX's: with targets; its timing cache does nothing and is deprecated."""

    __slots__ = ("_targets",)

    def __init__(self) -> None:
        super().__init__()
        self._targets: list[ComputeCapability] = []

    @property
    def num_compute_capabilities(self) -> int:
        return len(self._targets)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, count: int) -> None:
        self._targets = [ComputeCapability.NONE] * count

    def set_compute_capability(self, target: ComputeCapability, index: int) -> bool:
        assert target is not ComputeCapability.CURRENT, "there may be no GPU here"
        self._targets[index] = ComputeCapability(target)
        return True

    def check(self) -> None:
        super().check()
        assert len(self._targets) == 1
        assert self._targets[0] is not ComputeCapability.NONE

    def described(self) -> dict[str, Any]:
        return {**super().described(), "target": self._targets[0].name}


class Network:
    def __init__(self) -> None:
        self.parser: weakref.ref[OnnxParser] | None = None
        self.model = b""


class OnnxParser:
    refusal: ParserError | None = None

    def __init__(self, network: Network, logger: ILogger) -> None:
        assert network.parser is None
        network.parser = weakref.ref(self)
        self._network = network
        self._logger = logger
        self._errors: list[ParserError] = []

    def parse(self, model: bytes) -> bool:
        assert type(model) is bytes
        assert not self._network.model, "parsed twice"
        self._network.model = model
        if self.refusal is not None:
            self._errors.append(self.refusal)
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]


def make_module(*, rtx: bool, version: str = "11.4.0") -> Any:
    """Makes a module of its own.

    Set `refusal` on its `OnnxParser` and the parser refuses; set its `failure` and the builder
    logs these words and builds nothing. `builders` counts, `loggers` are those it was given.
    """
    module: Any = types.ModuleType("tensorrt_rtx" if rtx else "tensorrt")
    module.__version__ = version
    module.failure = None
    module.builders = 0
    module.loggers = []

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, module.ILogger)
            assert logger.ready
            if logger not in module.loggers:
                module.loggers.append(logger)
            module.builders += 1
            self._logger = logger

        def create_network(self, flags: int) -> Network:
            assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
            return Network()

        def create_builder_config(self) -> BuilderConfig:
            return RtxConfig() if rtx else DeviceConfig()

        def create_optimization_profile(self) -> OptimizationProfile:
            return OptimizationProfile()

        def build_serialized_network(
            self, network: Network, config: BuilderConfig
        ) -> memoryview | None:
            gc.collect()
            assert network.model, "nothing was parsed"
            assert network.parser is not None
            assert network.parser() is not None, "the parser, which has the weights, has died"
            config.check()
            if module.failure is not None:
                self._logger.log(Severity.WARNING, "never mind")
                self._logger.log(Severity.ERROR, module.failure)
                return None
            config.built()
            described = {
                "version": version,
                "model": network.model.hex(),
                **config.described(),
            }
            return memoryview(json.dumps(described).encode())

    module.Builder = Builder
    module.OnnxParser = type("OnnxParser", (OnnxParser,), {})
    module.ILogger = ILogger
    module.NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    module.BuilderFlag = BuilderFlag
    module.MemoryPoolType = MemoryPoolType
    if rtx:
        module.ComputeCapability = ComputeCapability
    return module
