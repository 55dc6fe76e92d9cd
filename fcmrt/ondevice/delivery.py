"""The arrays that a packet's features are written to, and how they are handed to the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import (
    Framework,
    as_numpy,
    from_device,
    is_on_device,
    require_finite,
    require_levels,
    require_output,
)
from ..kernels.cuda.device import Device, DeviceArray
from .decoding import Targets

Shapes = Mapping[str, tuple[int, ...]]
"""By level, `[C, H, W]`, without padding."""


class Delivery:
    """One packet's features: written to `targets` by launches, or copied from the host by `put`.

    Args:
        device: Where the features are decoded.
        shapes: Their shapes.
        out: The caller's arrays, on the host or the device, as for `Decoder.decode`; None: new ones
            are made.
        dtype: Element type of new arrays.
        framework: Kind of new arrays.

    Raises:
        ShapeError, DTypeError, DeviceError: The caller's arrays are not as `Decoder.decode` says.
    """

    def __init__(
        self, device: Device, shapes: Shapes, out: Any, dtype: str, framework: Framework
    ) -> None:
        self._device = device
        self._out = out
        self._framework = framework
        self._given: dict[str, npt.NDArray[Any]] = {}  # the caller's arrays on the host
        self._put: dict[str, npt.NDArray[Any]] = {}  # what `put` took for the host
        if out is None:
            self.targets: Targets = {n: device.empty(shape, dtype) for n, shape in shapes.items()}
        else:
            self.targets = self._take(shapes)
        self._to_host = [*(shapes if out is None and framework == "numpy" else self._given)]

    def _take(self, shapes: Shapes) -> dict[str, DeviceArray]:
        require_levels(self._out, shapes)
        targets = {}
        for name, shape in shapes.items():
            array = self._out[name]
            if is_on_device(array):
                targets[name] = self._device.borrow(array, name, to_write=True)
                require_output(targets[name], name, shape, True)
            else:
                self._given[name] = view = as_numpy(array, name)
                require_output(view, name, shape, view.flags.writeable)
                targets[name] = self._device.empty(shape, view.dtype)
        return targets

    def put(self, features: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes features that were decoded on the host instead; by level, copied."""
        for name, target in self.targets.items():
            with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity
                values = np.array(features[name], target.dtype, order="C")
            if name in self._to_host:
                self._put[name] = values
            else:
                self._device.write(target, values)

    def handed_out(self) -> Callable[[], dict[str, Any]]:
        """Launches the copies to the host that are needed.

        Returns:
            A function that waits for them and returns the features, by level. It raises a
            NonFiniteError if features that come to the host are not finite; infinity in float16 is
            allowed, since it may be a value that float16 cannot hold. Features that stay on the
            device are not checked, since that would mean waiting for them.
        """
        names = [name for name in self._to_host if name not in self._put]
        fetch = self._device.fetch(*(self.targets[name] for name in names)) if names else list

        def get() -> dict[str, Any]:
            fetched = dict(zip(names, fetch(), strict=True))
            for name, array in fetched.items():
                if array.dtype == np.float32 or np.isnan(array).any():
                    require_finite(array, name)
            found = self._put | fetched
            for name, array in self._given.items():
                np.copyto(array, found[name])
            if self._out is not None:
                return {name: self._out[name] for name in self.targets}
            if self._to_host:
                return {name: found[name] for name in self.targets}
            return {name: from_device(a, self._framework) for name, a in self.targets.items()}

        return get
