"""What the host side asks of a device, so that the kernels can also run without one."""

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
    """Launches that were recorded once, to be launched as one."""

    def replay(self) -> None:
        """Launches them, with the arrays and scalars that they had when they were recorded."""
        ...


class Device(Protocol):
    """Memory and launches, in the order of the calls, in the stream that is current then.

    Only what says that it waits makes the host wait.
    """

    name: str

    @property
    def stream(self) -> int:
        """The current stream's address."""
        ...

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
        """Copies values of the same shape and type, or one value, into an array.

        The values are taken before this returns. What is captured may write one value only.
        """
        ...

    def download(self, array: DeviceArray) -> npt.NDArray[Any]:
        """A copy of an array; waits for all that was launched before."""
        ...

    def fetch(self, *arrays: DeviceArray) -> Callable[[], list[npt.NDArray[Any]]]:
        """Launches copies of arrays to the host; what it returns waits for them, and has them."""
        ...

    def borrow(self, array: Any, name: str, *, to_write: bool = False) -> DeviceArray:
        """Views an array of any library in this device's memory as one of this device.

        Args:
            array: This device's own, or one with `__dlpack__` or `__cuda_array_interface__`;
                borrowed for as long as the view lives. What follows in the current stream comes
                after what its owner has launched, as these protocols say.
            name: What to call it in an error.
            to_write: Whether it is to be written to.

        Returns:
            A view; a copy of an array that is not C-contiguous, if it is only to be read.

        Raises:
            DeviceError: It is in other memory.
            DTypeError: It cannot be taken, or is to be written to and not C-contiguous.
        """
        ...

    def mark(self) -> Mark:
        """This point in the current stream."""
        ...

    def after(self, mark: Mark) -> None:
        """Lets what follows in the current stream come after a point in any stream."""
        ...

    def wait(self, mark: Mark) -> None:
        """Waits until a point is reached."""
        ...

    def capture(self, launches: Callable[[], None]) -> Recording:
        """Records launches, which are not made meanwhile.

        Args:
            launches: Makes them, and asks for no memory. Where networks are among them, these are
                such as can be recorded. All of it has been launched once before.
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
        """Launches a kernel of `kernels.cu` with so many threads to a block."""
        ...
