"""What the host side needs of a device; a protocol, so that the kernels can run without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

DeviceArray = Any
"""A C-contiguous array in the device's memory, with NumPy's `shape`, `dtype`, `view` and slices."""

Argument = DeviceArray | np.generic | None
"""What a kernel takes: arrays, scalars of the parameter's own type, None for no array."""


Mark = Any
"""A point in a stream."""


class Recording(Protocol):
    """Launches that were recorded once, and are replayed as one."""

    def replay(self) -> None:
        """Launches them in the current stream, with the arrays and scalars that were recorded."""
        ...


class Device(Protocol):
    """Memory and launches, in the order of the calls, each in the stream that is current then.

    Methods make the host wait only where they say so.
    """

    name: str
    """What the GPU's driver calls it."""

    @property
    def stream(self) -> int:
        """The current stream's address."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Allocates an array with undefined values."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Allocates an array of zeros."""
        ...

    def upload(self, array: npt.NDArray[Any]) -> DeviceArray:
        """Copies an array to the device."""
        ...

    def write(self, target: DeviceArray, values: npt.NDArray[Any] | int) -> None:
        """Copies values of the same shape and type, or one value, into an array.

        The values are not needed after the call. While launches are recorded (`capture`), only one
        value can be written.
        """
        ...

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        """Copies an array to the host; waits for all that was launched before."""
        ...

    def fetch(self, *arrays: DeviceArray) -> Callable[[], list[npt.NDArray[Any]]]:
        """Launches copies of arrays to the host; returns a function that waits and returns them."""
        ...

    def borrow(self, array: Any, name: str, *, to_write: bool = False) -> DeviceArray:
        """Views an array of any library in this device's memory as one of this device's arrays.

        Args:
            array: This device's own, or one with `__dlpack__` or `__cuda_array_interface__`;
                borrowed for as long as the view lives. Later launches in the current stream wait
                for what the array's owner has launched, as these protocols say.
            name: What to call it in an error.
            to_write: Whether it is to be written to.

        Returns:
            A view; a copy if the array is not C-contiguous and only to be read.

        Raises:
            DeviceError: It is in other memory.
            DTypeError: It cannot be taken, or is to be written to and not C-contiguous.
        """
        ...

    def mark(self) -> Mark:
        """Marks this point in the current stream."""
        ...

    def after(self, mark: Mark) -> None:
        """Makes later launches in the current stream wait for a point in any stream."""
        ...

    def wait(self, mark: Mark) -> None:
        """Waits until the device has reached a point."""
        ...

    def capture(self, launches: Callable[[], None]) -> Recording:
        """Records launches without making them.

        Args:
            launches: Makes the launches. It has been called once before, allocates nothing through
                this device, and runs only networks that can be recorded.
        """
        ...

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        threads: int,
        *arguments: Argument,
        shared_bytes: int = 0,
    ) -> None:
        """Launches a kernel of `kernels.cu`.

        Args:
            kernel: Its name.
            grid: Number of blocks in each dimension.
            threads: Threads of a block, in one dimension.
            arguments: The kernel's parameters.
            shared_bytes: Shared memory of a block beyond what the kernel declares.
        """
        ...
