"""What coding costs at one quality: bytes, error of the features, and what the detector loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .statistics import Curve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    import fcmrt

    from .evaluation import Evaluation
    from .systems import Coded

    Features = Mapping[str, NDArray[np.float32]]


class Errors(NamedTuple):
    """Squared error and energy of features, by level, summed over pictures."""

    error: dict[str, float]
    energy: dict[str, float]

    def add(self, original: Features, decoded: Features) -> None:
        """Add one picture."""
        for name, level in original.items():
            exact = level.astype(np.float64)
            error = float(np.sum((exact - decoded[name]) ** 2))
            self.error[name] = self.error.get(name, 0.0) + error
            self.energy[name] = self.energy.get(name, 0.0) + float(np.sum(exact**2))

    @property
    def nmse(self) -> float:
        """Error over energy, the mean over the levels."""
        return float(np.mean([self.error[name] / self.energy[name] for name in self.error]))


class CodingCost(NamedTuple):
    """Of all pictures at one quality."""

    bytes: NDArray[np.float64]
    """float64 [pictures], of each packet."""
    nmse: float
    """Squared error over energy of the features, the mean over the levels."""
    agreement: float
    distance: float


def coding_cost(
    encoder: fcmrt.Encoder, decoder: fcmrt.Decoder, task: Evaluation, quality: int
) -> CodingCost:
    """Code a task's pictures, one after another, and see what is left of them.

    Args:
        encoder: Codes every picture.
        decoder: Of the same engine.
        task: Pictures and references.
        quality: Quality level.
    """
    errors = Errors({}, {})

    def code(features: Features) -> Coded:
        packet = encoder.encode(features, quality=quality)
        decoded = decoder.decode(packet)
        errors.add(features, decoded)
        return len(packet), decoded

    measured = task.measure(str(quality), code, parallel=False)
    values = Curve([measured]).values(np.ones(len(measured.bytes)))
    return CodingCost(
        measured.bytes, errors.nmse, float(values.agreement[0]), float(values.distance[0])
    )
