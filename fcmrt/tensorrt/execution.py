"""Runs plans, with TensorRT and TensorRT-RTX alike.

A plan is loaded once and has one execution context for each user. What a context needs (the
library's runtime and engine, and the kernels compiled for it) lives as long as the context does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError, EngineError
from .logger import emptied_logger, logged_errors, shortened, turn
from .recipe import Shape, takes

# By name of the libraries' DataType; an engine's ports have no bfloat16, nor smaller floats.
_PORT_TYPES: dict[str, npt.DTypeLike] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT32": np.int32,
    "INT64": np.int64,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}

Ports = dict[str, tuple[Shape, np.dtype[Any]]]
"""Shape and element type of inputs or outputs, by name."""


class LoadedPlan:
    """A plan that is loaded on this machine's GPU; may be shared by threads.

    Args:
        trt: The library's module.
        plan: Built by the same version of the library, for this GPU.
        configure: Given the library's engine, returns what its contexts are created with:
            arguments, and a store of compiled kernels or None.

    Raises:
        DeviceError: The library refuses it: another version, another GPU, or damage.
        EngineError: An input or output has a type that no engine's port has.
    """

    def __init__(
        self, trt: Any, plan: bytes, configure: Callable[[Any], tuple[tuple[Any, ...], Any]]
    ) -> None:
        # In the order in which they must be destroyed.
        self._arguments: tuple[Any, ...] = ()
        self._kernels: Any = None
        self._engine: Any = None
        self._runtime: Any = None
        self._trt = trt
        with turn:
            self._runtime = trt.Runtime(emptied_logger(trt))
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise DeviceError(f"the plan cannot be loaded: {self.words()}")
            self._arguments, self._kernels = configure(self._engine)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        taken = trt.TensorIOMode.INPUT
        self.inputs = {n: self._type(n) for n in names if self._engine.get_tensor_mode(n) == taken}
        """Element types, by name."""
        self.outputs = {name: self._type(name) for name in names if name not in self.inputs}
        """Element types, by name."""

    def _type(self, name: str) -> np.dtype[Any]:
        found = self._engine.get_tensor_dtype(name).name
        if found not in _PORT_TYPES:
            raise EngineError(f"{name!r} is of the type {found}, which arrays do not have")
        return np.dtype(_PORT_TYPES[found])

    def profile(self, shapes: Mapping[str, Shape]) -> int | None:
        """Returns the first profile that takes inputs of these shapes; None if there is none."""
        for number in range(self._engine.num_optimization_profiles):
            profile = {
                name: [tuple(dims) for dims in self._engine.get_tensor_profile_shape(name, number)]
                for name in self.inputs
            }
            if takes(profile, shapes):
                return number
        return None

    def context(self) -> PlanContext:
        """Makes a context for one more user; allocates memory on the device.

        Raises:
            DeviceError: The library makes none, usually for lack of memory.
        """
        with turn:
            emptied_logger(self._trt)
            made = self._engine.create_execution_context(*self._arguments)
            if made is None:
                raise DeviceError(f"the library makes no context of the plan: {self.words()}")
        return PlanContext(self, made)

    def kernels(self) -> bytes:
        """Returns the kernels compiled since the plan was built; b"" if the plan has them all."""
        return b"" if self._kernels is None else bytes(self._kernels.serialize())

    def words(self) -> str:
        """Returns the library's latest error messages, for an error."""
        return shortened(logged_errors(self._trt))


class PlanContext:
    """A plan ready to run, for one user and in one stream at a time.

    Runs use the context's memory, so two of them must be ordered by a stream or a wait. The library
    reads shapes and addresses when a run is put into its stream; the caller must keep the memory
    that they point to until the run is over.

    Args:
        plan: Kept alive.
        context: The library's, of this plan.
    """

    def __init__(self, plan: LoadedPlan, context: Any) -> None:
        self._context = context  # dies before the plan
        self._plan = plan
        self._addresses: dict[str, int] = {}

    def prepare(self, shapes: Mapping[str, Shape], stream: int) -> Ports:
        """Chooses the profile and sets the shapes; no run may be under way.

        Args:
            shapes: Of all inputs.
            stream: Must be waited for before the next run.

        Returns:
            Shape and type of every output.

        Raises:
            EngineError: No profile fits the shapes, or the graph does not accept them.
        """
        context = self._context
        profile = self._plan.profile(shapes)
        if profile is None:
            raise EngineError(f"the plan has no profile for inputs of {dict(shapes)}")
        if profile != context.active_optimization_profile and not (
            context.set_optimization_profile_async(profile, stream)
        ):
            raise EngineError(f"profile {profile} is refused: {self._plan.words()}")
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"{name!r} as {shape} is refused: {self._plan.words()}")
        try:
            missing = context.infer_shapes()
        except RuntimeError as error:
            raise EngineError(f"inputs of {dict(shapes)} are refused: {error}") from error
        found = {name: tuple(context.get_tensor_shape(name)) for name in self._plan.outputs}
        open_ends = [name for name, shape in found.items() if min(shape, default=0) < 0]
        if missing or open_ends:
            raise EngineError(f"the shapes of {', '.join((*missing, *open_ends))} are unknown")
        return {name: (shape, self._plan.outputs[name]) for name, shape in found.items()}

    def capturable(self, stream: int) -> bool:
        """Returns whether runs at the current shapes can be recorded, once the first one is over.

        TensorRT-RTX reports it. TensorRT can record all graphs except those with loops, branches or
        shapes that depend on values (Developer Guide, "CUDA Graphs"), which no engine has.

        Args:
            stream: Any stream that is not being recorded.
        """
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream))

    def launch(self, addresses: Mapping[str, int], stream: int) -> None:
        """Puts one run into a stream, and does not wait for it.

        Args:
            addresses: In the device's memory, of all inputs and outputs, which are contiguous.
            stream: The CUDA stream.

        Raises:
            EngineError: The library refuses.
        """
        for name, address in addresses.items():
            if self._addresses.get(name) != address:
                if not self._context.set_tensor_address(name, address):
                    raise EngineError(f"the address of {name!r} is refused: {self._plan.words()}")
                self._addresses[name] = address
        if not self._context.execute_async_v3(stream):
            raise EngineError(f"the run is refused: {self._plan.words()}")
