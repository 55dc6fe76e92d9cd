"""Launches that are repeated for every batch of one size, and how pictures become batches."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DeviceError
from ..kernels.cuda.device import Recording
from ..manifest import Manifest
from ..spec import Size, count_elements, tensor_size
from .machine import DeviceMachine

_MOST_PICTURES = 64
_MOST_BYTES = 1 << 29  # of a batch's buffers, about
_CODER_BYTES = 40  # that the coder keeps for an element, about


class Launches:
    """A list of launches: made one by one the first time, recorded the second, then replayed.

    The first time is not recorded, because what libraries prepare at their first use cannot be.

    Args:
        machine: The engine, ready to run.
        make: Makes the launches; what differs from batch to batch is read on the device.
        capturable: Whether they may be recorded.
    """

    def __init__(self, machine: DeviceMachine, make: Callable[[], None], capturable: bool) -> None:
        self._device = machine.device
        self._make = make
        self._records = capturable and machine.captures
        self._made = False
        self._recording: Recording | None = None

    def launch(self) -> None:
        """Makes all launches.

        Raises:
            DeviceError: They cannot be recorded.
        """
        if self._records and self._made and self._recording is None:
            self._recording = self._record()
        if self._recording is None:
            self._make()
        else:
            self._recording.replay()
        self._made = True

    def _record(self) -> Recording:
        try:
            return self._device.capture(self._make)
        except Exception as error:  # the only base of CuPy's and the runners' libraries' errors
            raise DeviceError(
                f"the launches cannot be recorded in a CUDA graph ({error}); with "
                "RuntimeOptions(cuda_graphs=False) they are made one by one"
            ) from error


def pictures_at_once(manifest: Manifest, padded: Size) -> int:
    """Returns how many pictures of a size a batch may hold; more are done in several batches."""
    size = 0
    for spec in (*manifest.tensors.values(), *(f.tensor for f in manifest.features)):
        rows, columns = tensor_size(spec, padded)
        size += 4 * spec.channels * rows * columns
    size += _CODER_BYTES * count_latents(manifest, padded)
    return max(1, min(_MOST_PICTURES, _MOST_BYTES // size))


def count_latents(manifest: Manifest, padded: Size) -> int:
    """Returns the number of elements in all latents of a picture."""
    return sum(
        count_elements(latent, manifest.tensors[latent.source], padded)
        for latent in manifest.latents.values()
    )


def shares(count: int, most: int) -> list[range]:
    """Splits the numbers 0 to `count` - 1 into ranges of at most `most`."""
    return [range(begin, min(begin + most, count)) for begin in range(0, count, most)]
