"""A GPU through CuPy: its memory, its streams, and its run-time compiler with a cache on disk."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BackendUnavailableError, DeviceError, DTypeError
from . import sources
from .borrowing import borrowed
from .device import Argument, DeviceArray, Mark, Recording
from .recordings import recording
from .staging import Staging


class CupyDevice:
    """The GPU that CuPy has chosen when this is made (`cupy.cuda.Device`).

    Launches go to CuPy's current stream. The kernels are compiled by NVRTC at the first launch, and
    CuPy keeps the result on disk (`CUPY_CACHE_DIR`), by the whole source text, the options, the
    architecture and the compiler's version.

    Raises:
        BackendUnavailableError: CuPy is not installed.
        DeviceError: There is no GPU that it can use.
    """

    def __init__(self) -> None:
        self._cupy = _import_cupy()
        try:
            count = self._cupy.cuda.runtime.getDeviceCount()
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"CUDA kernels were asked for, and CuPy finds no usable GPU ({error}); install "
                "NVIDIA's driver, or choose other kernels"
            ) from error
        if count == 0:
            raise DeviceError("CUDA kernels were asked for, and this machine has no GPU")
        properties = self._cupy.cuda.runtime.getDeviceProperties(self._cupy.cuda.Device().id)
        self.name = bytes(properties["name"]).decode()
        self._staging = Staging(self._cupy)
        self._functions: dict[str, Any] = {}
        self._idle: list[Any] = []  # streams of recordings that are gone

    @functools.cached_property
    def _module(self) -> Any:
        return self._cupy.RawModule(code=sources.source(), options=sources.OPTIONS)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return allocated(self._cupy, self._cupy.empty, shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return allocated(self._cupy, self._cupy.zeros, shape, dtype)

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        target = self.empty(array.shape, array.dtype)
        self.write(target, array)
        return target

    def write(self, target: DeviceArray, values: npt.NDArray[Any] | int) -> None:
        if not isinstance(values, np.ndarray):
            target.fill(values)
        elif values.nbytes:
            self._staging.write(target.data.ptr, values)

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        return self.fetch(array)()[0]

    def fetch(self, *arrays: DeviceArray) -> Callable[[], list[npt.NDArray[Any]]]:
        return self._staging.fetch(arrays)

    def borrow(self, array: Any, name: str, *, to_write: bool = False) -> DeviceArray:
        view = borrowed(self._cupy, array, name)
        if to_write and not view.flags.c_contiguous:
            raise DTypeError(f"{name} is to be written to, and must be C-contiguous")
        return self._cupy.ascontiguousarray(view)

    @property
    def stream(self) -> int:
        return int(self._cupy.cuda.get_current_stream().ptr)

    def mark(self) -> Mark:
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(self._cupy.cuda.get_current_stream())
        return event

    def after(self, mark: Mark) -> None:
        self._cupy.cuda.get_current_stream().wait_event(mark)

    def wait(self, mark: Mark) -> None:
        mark.synchronize()

    def capture(self, launches: Callable[[], None]) -> Recording:
        # The null stream cannot be captured; and PyTorch gives no other stream the memory that the
        # recording uses, as long as the recording has a stream to itself. After that the stream
        # serves the next recording, as PyTorch keeps memory for every stream that it has ever seen.
        try:
            stream = self._idle.pop()
        except IndexError:
            stream = self._cupy.cuda.Stream(non_blocking=True)
        with in_stream(self._cupy, stream), recording():
            stream.begin_capture()
            try:
                launches()
            except BaseException:
                with contextlib.suppress(self._cupy.cuda.runtime.CUDARuntimeError):
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        captured = CapturedGraph(graph)
        weakref.finalize(captured, self._idle.append, stream)  # holds the stream until then
        return captured

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        function = self._functions.get(kernel)
        if function is None:  # CuPy itself would look it up at every launch
            function = self._functions[kernel] = self._module.get_function(kernel)
        # Not every CuPy takes None for a pointer.
        given = tuple(np.uint64(0) if value is None else value for value in arguments)
        function(grid, (threads, 1, 1), given, shared_mem=shared_bytes)


class CapturedGraph:
    """A CUDA graph, which may be launched on any stream."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def replay(self) -> None:
        self._graph.launch()


@contextlib.contextmanager
def in_stream(cupy: Any, stream: Any) -> Iterator[None]:
    """Makes a stream CuPy's current one while the context lasts, and then again the one before.

    `with stream` would go back to the stream of the `with` block around it, and forget one that the
    caller has chosen by `Stream.use`.
    """
    before = cupy.cuda.get_current_stream()
    stream.use()
    try:
        yield
    finally:
        before.use()


def allocated(
    cupy: Any, make: Callable[..., DeviceArray], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> DeviceArray:
    """Allocates an array with one of CuPy's functions.

    Raises:
        DeviceError: There is no memory left for it.
    """
    try:
        return make(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise DeviceError(
            f"the GPU has no memory left for {np.dtype(dtype)} {list(shape)} ({error}); code "
            "smaller batches or pictures, or code on the CPU"
        ) from error


def _import_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailableError(
            f"CUDA kernels need CuPy, which cannot be imported ({error}): pip install 'fcmrt[cuda]'"
        ) from error
    return cupy
