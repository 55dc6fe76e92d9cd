"""Bounds on a tensor's values, channel by channel, that hold whatever the inputs are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MAX_CHANNELS = 1 << 16
"""Most channels of one tensor."""

MAX_EXPONENT = 40
"""Units of grids are 2^-40 to 2^40."""

_NO_BIT = 1 << 12  # stands for the lowest bit of 0: higher than that of any float


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Bounds on a tensor `[N, C, ...]`; all arrays are `[C]`, one entry for each channel.

    A value is `n * 2^-exponent` with `low <= n <= high`, and `n` an integer unless the channel is
    free. Bounds are whole numbers in float64: exact below 2^53, and where they are not, far above
    every limit.
    """

    rank: int
    """4, or 2 for vectors."""
    dtype: str
    """"float32", or "int32" after the cast at the end or before a lookup."""
    exponent: I64
    low: F64
    """-infinity: not bounded."""
    high: F64
    """Infinity: not bounded."""
    peak: F64
    """Bounds `|n|` and every partial sum that led to the value, for the sake of libraries that
    merge sums (a convolution with the addition or the scale after it)."""
    free: npt.NDArray[np.bool_]
    """True: `n` may be any real number within the bounds."""
    source: str = ""
    """The graph input that this is a scaled, rounded or clipped copy of; "" if of none."""
    scale: I64 | None = None
    """If there is a source: the input was multiplied by 2^scale."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.low)

    @property
    def largest(self) -> F64:
        """The largest `|n|` of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def holds(self) -> bool:
        """Returns whether the bounds are as the class promises; if not, a rule is wrong."""
        whole = (np.rint(self.low) == self.low) & (np.rint(self.high) == self.high)
        ordered = (self.low <= self.high) & (self.peak >= self.largest)
        return bool(((whole & ordered) | self.free).all())

    def bounded(self, low: F64, high: F64, exponent: I64 | None = None) -> Values:
        """Returns these channels after a rounding or clip, which sets bounds and ends sums."""
        exponent = self.exponent if exponent is None else exponent
        peak = np.maximum(np.abs(low), np.abs(high))
        return dataclasses.replace(self, low=low, high=high, peak=peak, exponent=exponent)

    def on_grid(self, exponent: I64) -> Values:
        """Returns the same values in units of a grid that is at least as fine in every channel."""
        unit = np.ldexp(1.0, exponent - self.exponent)
        return dataclasses.replace(
            self,
            exponent=exponent,
            low=self.low * unit,
            high=self.high * unit,
            peak=self.peak * unit,
        )

    def take(self, channels: npt.NDArray[np.intp]) -> Values:
        """Returns some of the channels, in the order given."""
        return dataclasses.replace(
            self,
            exponent=self.exponent[channels],
            low=self.low[channels],
            high=self.high[channels],
            peak=self.peak[channels],
            free=self.free[channels],
            source="",
            scale=None,
        )


def free_values(name: str, rank: int, channels: int) -> Values:
    """Returns the bounds on a graph input: none."""
    zeros = np.zeros(channels, np.int64)
    endless = np.full(channels, np.inf)
    everywhere = np.ones(channels, np.bool_)
    return Values(rank, "float32", zeros, -endless, endless, endless, everywhere, name, zeros)


def constant_values(constants: F64, rank: int) -> Values:
    """Returns the bounds on finite constants, one for each channel."""
    exponent = -lowest_bits(constants)
    exponent[constants == 0] = 0
    whole = np.ldexp(constants, exponent)
    nowhere = np.zeros(len(whole), np.bool_)
    return Values(rank, "float32", exponent, whole, whole, np.abs(whole), nowhere)


def concatenated(parts: Sequence[Values]) -> Values:
    """Returns the channels of several tensors, one after the other."""
    return Values(
        parts[0].rank,
        parts[0].dtype,
        np.concatenate([part.exponent for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.peak for part in parts]),
        np.concatenate([part.free for part in parts]),
    )


def merged(values: Values, groups: npt.NDArray[np.intp]) -> Values:
    """Returns channels each of which holds the values of several others.

    Args:
        values: The others.
        groups: `[C, K]`: the numbers of the others that go into each channel.
    """
    exponent = values.exponent[groups].max(1)
    unit = np.ldexp(1.0, exponent[:, None] - values.exponent[groups])
    return dataclasses.replace(
        values,
        exponent=exponent,
        low=(values.low[groups] * unit).min(1),
        high=(values.high[groups] * unit).max(1),
        peak=(values.peak[groups] * unit).max(1),
        free=np.any(values.free[groups], axis=1),
        source="",
        scale=None,
    )


def lowest_bits(numbers: npt.NDArray[np.floating]) -> I64:
    """Returns for each number the `k` with `number = odd * 2^k`; far above all others for 0."""
    mantissa, exponent = np.frexp(np.asarray(numbers, np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return np.where(whole == 0, _NO_BIT, exponent - 53 + lowest).astype(np.int64)
