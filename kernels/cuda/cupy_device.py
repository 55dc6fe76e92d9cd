"""A GPU by way of CuPy: its memory, its streams, and its run-time compiler with a cache on disk."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BackendUnavailableError, DeviceError
from . import sources
from .device import Argument, DeviceArray


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

    @functools.cached_property
    def _module(self) -> Any:
        return self._cupy.RawModule(code=sources.source(), options=sources.OPTIONS)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return self._cupy.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return self._cupy.zeros(shape, dtype)

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        return self._cupy.array(array)

    def write(self, target: DeviceArray, values: npt.NDArray[Any] | int) -> None:
        if isinstance(values, np.ndarray):
            target.set(values)
        else:
            target.fill(values)

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        copied: npt.NDArray[Any] = self._cupy.asnumpy(array)
        return copied

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        function = self._module.get_function(kernel)
        # Not every CuPy takes None for a pointer.
        given = tuple(np.uint64(0) if value is None else value for value in arguments)
        function(grid, (threads, 1, 1), given, shared_mem=shared_bytes)


def _import_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailableError(
            f"CUDA kernels need CuPy, which cannot be imported ({error}): pip install 'fcmrt[cuda]'"
        ) from error
    return cupy
