"""The allocation `mse`: the steps with which the squared error of a set's features is least.

Every level of every picture is coded at many steps. What is chosen of these trials are the steps
where error + price * bits is least, with one price for all levels of all pictures, as it is for
the predicted importance: no other choice of as few bits has less error. It looks at what is
decoded, at every step, and so is an anchor and not a way to encode.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fcmrt
from fcmrt.groups import quality_groups
from fcmrt.schedule import Dequantize, Run
from fcmrt.spec import margins, tensor_size

from . import report
from .entropy import ideal_bits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.walk import Walk

    Float64 = NDArray[np.float64]
    Places = NDArray[np.intp]
    Features = Mapping[str, NDArray[np.float32]]

STRIDE = 2  # between the step numbers that are tried
LEAST_PRICE, MOST_PRICE = -60.0, 60.0  # logarithms, of squared error for a bit
HALVINGS = 60
OFTEN = 10  # pictures between reports of progress


class Trials(NamedTuple):
    """What every level of every picture takes and loses at every step that is tried."""

    bits: Float64
    """float64 [pictures, levels, steps], ideal."""
    errors: Float64
    """float64 [pictures, levels, steps], squared, summed."""

    def cheapest(self, price: float) -> Places:
        """Give the places of the steps that are best at a price of bits: `[pictures, levels]`."""
        return np.argmin(self.errors + price * self.bits, axis=2)

    def taken(self, places: Places) -> float:
        """Add up the bits that all pictures take at these places."""
        return float(np.take_along_axis(self.bits, places[:, :, None], 2).sum())

    def within(self, allowed: float) -> Places:
        """Give the places of the steps that are best at the lowest price that keeps within bits.

        Args:
            allowed: Bits of all pictures together; no fewer than the cheapest steps take.

        Returns:
            `[pictures, levels]`.
        """
        low, high = LEAST_PRICE, MOST_PRICE
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fits = self.taken(self.cheapest(math.exp(middle))) <= allowed
            low, high = (low, middle) if fits else (middle, high)
        return self.cheapest(math.exp(high))


class LeastError:
    """The steps of one engine's levels with which a set of pictures has the least error.

    Steps are tried over the range of the engine's quality levels, and of its importance model where
    it has one, so that neither allocation reaches further than the other.

    Args:
        encoder: Of an engine whose levels have groups of their own.
        pictures: Features of all pictures, float32 `[C, H, W]` by level; borrowed.
    """

    def __init__(self, encoder: fcmrt.Encoder, pictures: Sequence[Features]) -> None:
        self._encoder, self._pictures = encoder, pictures
        self._numbers = {id(features): k for k, features in enumerate(pictures)}
        manifest = encoder.engine.manifest
        self._quality = manifest.quality
        self._groups = quality_groups(manifest)
        plain = [self._quality.shift(level + 1) for level in range(len(self._quality.levels))]
        reach = [*plain, *(manifest.importance.steps if manifest.importance else ())]
        self.steps = sorted({*plain, *range(min(reach), max(reach) + 1, STRIDE)})
        """Step numbers that are tried, increasing."""
        self._chosen: dict[int, Places] = {}

    def steps_of(self, features: Features, quality: int) -> tuple[int, ...]:
        """Give the step numbers of a picture's levels, where the set takes a quality's bits.

        Args:
            features: Those of one of the pictures, the very object.
            quality: Quality level; all pictures together take no more bits than with it on all
                levels, and no fewer than it takes to stay below.
        """
        if quality not in self._chosen:
            plain = self.steps.index(self._quality.shift(quality))
            self._chosen[quality] = self.trials.within(float(self.trials.bits[:, :, plain].sum()))
        places = self._chosen[quality][self._numbers[id(features)]]
        return tuple(self.steps[place] for place in places)

    @functools.cached_property
    def trials(self) -> Trials:
        """All levels of all pictures at all steps; taken when it is first asked for."""
        found = []
        for number, features in enumerate(self._pictures):
            if number % OFTEN == 0:
                report.progress(
                    f"least error: {len(self.steps)} steps, picture {number + 1} of "
                    f"{len(self._pictures)}"
                )
            found.append(self._tried(features))
        bits, errors = np.moveaxis(np.array(found, np.float64), 2, 0).swapaxes(2, 3)
        return Trials(bits, errors)

    def _tried(self, features: Features) -> list[tuple[list[float], list[float]]]:
        """Ideal bits and squared errors of one picture's levels, for each step on all of them."""
        walk = self._encoder.walk(features, step=self.steps[0])
        tried = []
        for step in self.steps:
            again = self._encoder.requantise(walk, step=step)  # runs no analysis
            decoded = _decoded(again)
            bits, errors = [], []
            for group in self._groups:
                latents = [again.integers[name] for name in group.latents]
                bits.append(ideal_bits(self._encoder.engine, latents))
                errors.append(
                    sum(
                        float(np.sum((features[level].astype(np.float64) - decoded[level]) ** 2))
                        for level in group.name.split("+")
                    )
                )
            tried.append((bits, errors))
        return tried


def _decoded(walk: Walk) -> Features:
    """What a decoder makes of an encoder's integers; coding them first would change nothing.

    Of the decoder's schedule, what the encoder has not taken already.
    """
    manifest = walk.manifest
    known = walk.tensors.keys()
    for step in manifest.decode:
        if isinstance(step, Run) and not known >= {*step.outputs}:
            walk.run(step)
        elif isinstance(step, Dequantize) and step.output not in known:
            walk.dequantize(step)
    features = {}
    for spec, (rows, columns) in zip(manifest.features, walk.sizes, strict=True):
        padded = tensor_size(spec.tensor, walk.padded)
        top, _, left, _ = margins((rows, columns), padded, manifest.padding)
        array = walk.tensors[manifest.outputs[spec.name]]
        features[spec.name] = array[0, :, top : top + rows, left : left + columns]
    return features
