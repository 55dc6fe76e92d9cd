"""What the host side asks of a device, so that the kernels can also run without one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

DeviceArray = Any
"""A C-contiguous array in the device's memory, with NumPy's `shape`, `dtype`, `view` and slices."""

Argument = DeviceArray | np.generic | None
"""What a kernel takes: arrays, scalars of the parameter's own type, None for no array."""


class Device(Protocol):
    """Memory and launches, in the order of the calls."""

    name: str

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """An array of any values."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """An array of zeros."""
        ...

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        """A copy of an array."""
        ...

    def write(self, target: DeviceArray, values: npt.NDArray[Any] | int) -> None:
        """Copies values of the same shape and type, or one value, into an array."""
        ...

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        """A copy of an array; waits for all that was launched before."""
        ...

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        """Launches a kernel of `kernels.cu` with so many threads to a block."""
        ...
