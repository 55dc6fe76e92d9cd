"""The runtime side of the stand-ins for `tensorrt` and `tensorrt_rtx`, which forgives nothing.

A plan is what `tests.plans.strict_tensorrt` builds. It is loaded by the version that built it only.
A run reads and writes a `FakeCuda`'s memory when its stream is waited for, and computes with ONNX
Runtime. Failures of assertions are what a real library answers with undefined behaviour: contexts
that two threads or two streams use at once, runs without shapes or addresses, addresses that are
nobody's, memory given back before the run is over. Objects that die before what was made of them
are noted in `mistakes`, since a destructor cannot fail.
"""

from __future__ import annotations

import enum
import functools
import json
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from ..plans.strict_tensorrt import ILogger, Severity
from .fake_cuda import FakeCuda, Stream, memory_at

Shape = tuple[int, ...]


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    INT32 = 3
    BF16 = 7


class DynamicShapesKernelSpecializationStrategy(enum.IntEnum):
    LAZY = 0
    EAGER = 1
    NONE = 2


_TYPES = {"tensor(float)": DataType.FLOAT, "tensor(int32)": DataType.INT32}
_NUMPY = {DataType.FLOAT: np.float32, DataType.INT32: np.int32}


@functools.lru_cache(maxsize=64)
def session_of(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class ICudaEngine:
    def __init__(self, module: Any, cuda: FakeCuda, told: dict[str, Any]) -> None:
        self._module, self._cuda = module, cuda
        self._session = session_of(bytes.fromhex(told["model"]))
        self._profiles = told["profiles"]
        self._inputs = {port.name: port for port in self._session.get_inputs()}
        self._outputs = {port.name: port for port in self._session.get_outputs()}
        self._names = [*self._inputs, *self._outputs]

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        if self._module.ports is not None:
            return self._module.ports
        return _TYPES[{**self._inputs, **self._outputs}[name].type]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Shape]:
        assert name in self._inputs
        return [tuple(shape) for shape in self._profiles[profile_index][name]]

    def create_runtime_config(self) -> IRuntimeConfig:
        assert self._module.rtx
        return IRuntimeConfig(self)

    def create_execution_context(
        self, runtime_config: IRuntimeConfig | None = None
    ) -> IExecutionContext | None:
        if self._module.memory_is_gone:
            self._module.say("out of memory")
            return None
        if self._module.rtx:
            assert runtime_config is not None, "kernels would change under way"
            assert runtime_config._engine() is self, "the configuration of another engine"
            runtime_config._check()
        else:
            assert runtime_config is None
        self._module.contexts += 1
        kind = RtxExecutionContext if self._module.rtx else IExecutionContext
        context = kind(self._module, self._cuda, self, runtime_config)
        _watch(self._module, self, context, "an engine died before its context")
        return context


class IRuntimeConfig:
    __slots__ = ("_cache", "_engine", "_strategy")

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = weakref.ref(engine)
        self._strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self._cache: weakref.ref[IRuntimeCache] | None = None

    @property
    def dynamic_shapes_kernel_specialization_strategy(
        self,
    ) -> DynamicShapesKernelSpecializationStrategy:
        return self._strategy

    @dynamic_shapes_kernel_specialization_strategy.setter
    def dynamic_shapes_kernel_specialization_strategy(
        self, strategy: DynamicShapesKernelSpecializationStrategy
    ) -> None:
        self._strategy = DynamicShapesKernelSpecializationStrategy(strategy)

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = weakref.ref(cache)
        return True

    def _check(self) -> None:
        strategies = DynamicShapesKernelSpecializationStrategy
        assert self._strategy is not strategies.LAZY, "kernels would change under way"
        assert self._cache is None or self._cache() is not None, "the store of kernels has died"

    def _compiled(self, what: bytes) -> None:
        self._check()
        cache = self._cache and self._cache()
        if cache is not None and what not in cache._kernels:
            cache._kernels += what


class IRuntimeCache:
    def __init__(self) -> None:
        self._kernels = b""

    def deserialize(self, blob: bytes) -> bool:
        assert type(blob) is bytes
        if not blob.startswith(b"kernels"):
            return False
        self._kernels = blob
        return True

    def serialize(self) -> memoryview:
        return memoryview(self._kernels)


class IExecutionContext:
    def __init__(
        self, module: Any, cuda: FakeCuda, engine: ICudaEngine, config: IRuntimeConfig | None
    ) -> None:
        self._module, self._cuda, self._engine = module, cuda, weakref.ref(engine)
        self._config = config
        self._profile = 0
        self._profile_stream: Stream | None = None
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._ready: dict[str, Shape] = {}  # the shapes of the last run that is over
        self._running: tuple[int, int] | None = None  # whose thread, in which stream
        self._under_way = 0

    def _alive(self) -> ICudaEngine:
        engine = self._engine()
        assert engine is not None, "the engine has died"
        assert self._running is None or self._running[0] == threading.get_ident(), (
            "two threads use one context"
        )
        return engine

    def _still(self) -> ICudaEngine:
        engine = self._alive()
        assert self._running is None, "changed while a run is under way"
        return engine

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        engine = self._still()
        if not 0 <= profile_index < engine.num_optimization_profiles:
            self._module.say(f"there is no profile {profile_index}")
            return False
        self._profile_stream = self._cuda.stream(stream_handle)
        self._profile_stream.put(lambda: None)
        self._profile, self._shapes, self._ready = profile_index, {}, {}
        return True

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        engine = self._still()
        assert name in engine._inputs
        assert type(shape) is tuple
        assert all(type(side) is int for side in shape)
        least, _, most = engine.get_tensor_profile_shape(name, self._profile)
        if not all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True)):
            self._module.say(f"{name} is outside of profile {self._profile}")
            return False
        self._shapes[name], self._ready = shape, {}
        return True

    def infer_shapes(self) -> list[str]:
        engine = self._still()
        if self._module.shapes_clash:
            raise RuntimeError("sides do not match")
        return [name for name in engine._inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> Shape:
        engine = self._alive()
        if name in engine._inputs:
            return self._shapes.get(name, (-1,))
        if self._shapes.keys() != engine._inputs.keys():
            return (-1,)
        zeros = {key: np.zeros(shape, np.float32) for key, shape in self._shapes.items()}
        (found,) = engine._session.run([name], zeros)
        return tuple(found.shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        engine = self._alive()
        assert type(memory) is int
        if name not in engine._names or not memory:
            self._module.say(f"{name} at {memory:#x}")
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._alive()
        stream = self._cuda.stream(stream_handle)
        recorded = stream.is_capturing()
        elsewhere = self._running is not None and self._running[1] != stream_handle
        assert not elsewhere, "two streams use one context"
        if self._profile_stream is not None:
            assert self._profile_stream is stream or self._profile_stream.idle, (
                "the profile may not be there yet"
            )
        assert self._shapes.keys() == engine._inputs.keys(), "runs before all shapes are known"
        assert set(self._addresses) == set(engine._names), "runs before all addresses are known"
        if self._module.run_fails:
            self._module.say("illegal instruction")
            return False
        if self._config is not None:
            self._config._compiled(b"kernels " + repr(sorted(self._shapes.items())).encode())
        assert not recorded or self._ready == self._shapes, "recorded before a run is over"
        stream.put(self._work(dict(self._shapes), dict(self._addresses), recorded))
        self._module.runs.append(stream_handle)
        if not recorded:
            self._running = threading.get_ident(), stream_handle
            self._under_way += 1
        return True

    def _work(
        self, shapes: dict[str, Shape], addresses: dict[str, int], recorded: bool
    ) -> Callable[[], None]:
        # Reads the addresses when it is put into the stream, the memory when it is its turn.
        own, cuda = weakref.ref(self), self._cuda

        def place(name: str, shape: Shape, dtype: Any) -> np.ndarray[Any, Any]:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            where = addresses[name]
            assert cuda.holds(where, size, "device"), f"{name} is in nobody's memory"
            return memory_at(where, size).view(dtype).reshape(shape)

        def compute() -> None:
            context = own()
            assert context is not None, "the context died before its run was over"
            engine = context._engine()
            assert engine is not None, "the engine died before its run was over"
            if recorded:
                assert context._ready == shapes, "replayed after other shapes were told"
                assert context._running is None, "replayed while a run is under way"
            given = {name: place(name, shape, np.float32) for name, shape in shapes.items()}
            names = list(engine._outputs)
            found = engine._session.run(names, {name: a.copy() for name, a in given.items()})
            for name, array in zip(names, found, strict=True):
                place(name, array.shape, array.dtype)[...] = array
            if recorded:
                return
            context._under_way -= 1
            if not context._under_way:
                context._running, context._ready = None, shapes

        return compute


class RtxExecutionContext(IExecutionContext):
    """TensorRT-RTX's: it tells whether it can be recorded."""

    def is_stream_capturable(self, stream: int) -> bool:
        engine = self._still()
        assert self._shapes.keys() == engine._inputs.keys(), "asked before all shapes are known"
        assert not self._cuda.stream(stream).is_capturing()
        told: bool = self._module.capturable
        return told


def add_runtime(module: Any, cuda: FakeCuda, *, rtx: bool) -> Any:
    """Gives a module of `strict_tensorrt.make_module` a runtime.

    Set `refusal` and no plan is loaded, `memory_is_gone` and there are no contexts,
    `shapes_clash` and shapes cannot be inferred, `run_fails` and runs are refused, `ports` and all
    inputs and outputs are of that type; clear `capturable`, and TensorRT-RTX says that nothing can
    be recorded. `runs` are the streams of all runs, `contexts` and `loads` count; `mistakes` tells
    who died too early, `living` are the engines and contexts that did not.
    """
    module.rtx = rtx
    module.refusal = None
    module.memory_is_gone = module.shapes_clash = module.run_fails = False
    module.capturable = True
    module.ports = None
    module.runs = []
    module.mistakes = []
    module.living = weakref.WeakSet()
    module.contexts = module.loads = 0
    module.say = lambda words: module.loggers[-1].log(Severity.ERROR, words)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, module.ILogger)
            assert logger.ready
            if logger not in module.loggers:
                module.loggers.append(logger)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            assert type(serialized_engine) is bytes
            if module.refusal is not None:
                module.say(module.refusal)
                return None
            try:
                told = json.loads(serialized_engine)
            except ValueError:
                module.say("not a plan")
                return None
            if told["version"] != module.__version__:
                module.say(f"a plan of version {told['version']}")
                return None
            module.loads += 1
            engine = ICudaEngine(module, cuda, told)
            _watch(module, self, engine, "a runtime died before its engine")
            return engine

    module.Runtime = Runtime
    module.ICudaEngine = ICudaEngine
    module.IExecutionContext = IExecutionContext
    module.IRuntimeConfig = IRuntimeConfig
    module.IRuntimeCache = IRuntimeCache
    module.TensorIOMode = TensorIOMode
    module.DataType = DataType
    module.DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
    return module


def _watch(module: Any, owner: Any, owned: Any, words: str) -> None:
    """Notes it if the owner dies before what was made of it does."""
    module.living.add(owned)
    left = weakref.ref(owned)

    def check() -> None:
        if left() is not None:
            module.mistakes.append(words)

    weakref.finalize(owner, check)
