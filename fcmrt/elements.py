"""Which elements of a tensor a latent covers, and in which order they are coded.

The order is by channel, row and column; a latent may be one half of a checkerboard
(`docs/format.md`, section 3).
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .spec import LatentSpec, Size, TensorSpec, count_elements, tensor_size

Scalar = TypeVar("Scalar", bound=np.generic)

# Latents with more elements are not kept from packet to packet, so that packets of ever-changing
# sizes cannot fill the memory.
_MOST_KEPT = 1 << 18


class Elements:
    """The elements of one latent at one size; immutable, so that packets can share it.

    Args:
        latent: The latent.
        source: The tensor it is a part of.
        padded: Size of the padded finest level, in cells.
    """

    def __init__(self, latent: LatentSpec, source: TensorSpec, padded: Size) -> None:
        self.count = count_elements(latent, source, padded)
        self._first, self._end = latent.channel_range(source)
        self._channels = source.channels
        self._size = tensor_size(source, padded)
        self._cells: npt.NDArray[np.bool_] | None = None
        if latent.parity is not None:
            rows, columns = np.ogrid[: self._size[0], : self._size[1]]
            self._cells = (rows + columns) % 2 == (latent.parity == "odd")
        self.whole = self._cells is None and self._end - self._first == self._channels

    def take(self, tensor: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Gathers the latent's elements, in coding order.

        Args:
            tensor: `[1, C, H, W]`, with all of the source's channels or only the latent's.

        Returns:
            `[count]`, C-contiguous; a view if the latent is all of a contiguous tensor.
        """
        planes = tensor[0]
        if planes.shape[0] != self._end - self._first:
            planes = planes[self._first : self._end]
        if self._cells is not None:
            planes = planes[:, self._cells]
        return np.ascontiguousarray(planes).reshape(-1)

    def put(self, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Puts elements in their places in the source, with zeros elsewhere.

        Args:
            values: `[count]` in coding order.

        Returns:
            `[1, C, H, W]` of the source; a view of `values` if the latent is all of it.
        """
        shape = (1, self._channels, *self._size)
        if self.whole:
            return values.reshape(shape)
        tensor: npt.NDArray[Any] = np.zeros(shape, values.dtype)
        planes = tensor[0, self._first : self._end]
        if self._cells is None:
            planes[:] = values.reshape(planes.shape)
        else:
            planes[:, self._cells] = values.reshape(planes.shape[0], -1)
        return tensor

    @functools.cached_property
    def channels(self) -> npt.NDArray[Any]:
        """Channel number of every element, from 0; uint8, or uint16 for more than 256 channels."""
        count = self._end - self._first
        numbers = np.arange(count, dtype=np.uint8 if count <= 256 else np.uint16)
        repeated = np.repeat(numbers, self.count // count)
        repeated.flags.writeable = False
        return repeated


def elements_of(latent: LatentSpec, source: TensorSpec, padded: Size) -> Elements:
    """Returns the elements of a latent at a size; kept for the next packet if they are few."""
    if count_elements(latent, source, padded) > _MOST_KEPT:
        return Elements(latent, source, padded)
    return _kept(latent, source, padded)


@functools.lru_cache(maxsize=64)
def _kept(latent: LatentSpec, source: TensorSpec, padded: Size) -> Elements:
    return Elements(latent, source, padded)
