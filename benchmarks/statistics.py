"""Curves of bytes against a figure of merit, how sure they are, and what lies between two of them.

A `Curve` keeps what was measured per picture, so that pictures can be drawn again: a bootstrap
over *groups* of pictures (a photo and its crops are one group), with a fixed seed, the same draws
for every curve. Intervals are the 2.5th and 97.5th percentiles.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import bjontegaard
import numpy as np

from fcmrt.tasks.agreement import pooled_distance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]

SEED = 1
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
METRICS: tuple[Metric, ...] = ("agreement", "distance")

Metric = Literal["agreement", "distance"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One operating point of one codec, per picture."""

    label: str | int
    bytes: Float64
    """float64 [pictures]."""
    agreement: Callable[[Float64], float]
    """From how often each picture counts (float64 [pictures]) to the agreement."""
    sums: Float64
    """float64 [pictures, 2 x terms], distance_sums."""


class Values(NamedTuple):
    """A codec's operating points under one weighting of the pictures: float64 `[points]` each."""

    bytes: Float64
    agreement: Float64
    distance: Float64


@dataclass(frozen=True, slots=True)
class Curve:
    """All operating points of one codec on one set of pictures."""

    points: Sequence[Measured]

    def values(self, weights: Float64) -> Values:
        """Give mean bytes, agreement and distance of every point.

        Args:
            weights: float64 `[pictures]`, how often each picture counts.
        """
        return Values(
            np.array([point.bytes @ weights / weights.sum() for point in self.points]),
            np.array([point.agreement(weights) for point in self.points]),
            np.array([pooled_distance(point.sums, weights) for point in self.points]),
        )


def draws(groups: Sequence[str], count: int = RESAMPLES, seed: int = SEED) -> Float64:
    """Draw groups of pictures with replacement.

    Args:
        groups: Group of each picture.
        count: Number of resamples.
        seed: Seed of the generator.

    Returns:
        float64 `[1 + count, pictures]`: how often each picture counts; row 0: all once.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    taken = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), count)
    return np.concatenate([np.ones((1, len(groups))), taken[:, member].astype(np.float64)])


def interval(samples: Float64) -> tuple[float, float]:
    """Give the interval of bootstrap samples; NaN samples are left out, NaN if none is left."""
    finite = samples[np.isfinite(samples)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, INTERVAL)
    return float(low), float(high)


def frontier(sizes: Float64, quality: Float64) -> tuple[Float64, Float64]:
    """Keep the points that no smaller (or equally small) one matches.

    Args:
        sizes: float64 `[points]`, bytes.
        quality: float64 `[points]`, higher is better; NaN points are left out.

    Returns:
        Bytes and quality, both strictly increasing.
    """
    order = np.lexsort((-quality, sizes))
    kept_sizes: list[float] = []
    kept: list[float] = []
    for k in order:
        if np.isfinite(quality[k]) and (not kept or quality[k] > kept[-1]):
            kept_sizes.append(float(sizes[k]))
            kept.append(float(quality[k]))
    return np.array(kept_sizes), np.array(kept)


def bytes_for(target: Float64, sizes: Float64, quality: Float64) -> Float64:
    """Give the bytes that a codec needs for a quality, between its best points.

    Linear in the logarithm of bytes along the `frontier`; no extrapolation.

    Args:
        target: float64 `[n]`, qualities wanted.
        sizes: float64 `[points]`, bytes of the codec's points.
        quality: float64 `[points]`, higher is better.

    Returns:
        float64 `[n]`; NaN where the quality is beyond the best or below the worst point.
    """
    best_sizes, best = frontier(sizes, quality)
    if len(best) == 0:
        return np.full(len(target), np.nan)
    logs = np.interp(target, best, np.log(best_sizes), left=np.nan, right=np.nan)
    return np.asarray(np.exp(logs), np.float64)


def merit(values: Values, metric: Metric) -> Float64:
    """Give the figure to compare at, higher is better: the agreement, or -log of the distance."""
    if metric == "agreement":
        return values.agreement
    return -np.log(np.maximum(values.distance, np.finfo(np.float64).tiny))


def ratios(codec: Values, anchor: Values, metric: Metric) -> Float64:
    """Give anchor bytes over codec bytes at equal quality, for each point of the codec.

    A point counts with the best that the codec reaches with its bytes or fewer.

    Returns:
        float64 `[points]`; NaN where the anchor has nothing comparable (no extrapolation).
    """
    order = np.argsort(codec.bytes, kind="stable")
    reached = np.empty(len(order))
    reached[order] = np.maximum.accumulate(merit(codec, metric)[order])
    return bytes_for(reached, anchor.bytes, merit(anchor, metric)) / codec.bytes


class RatioSummary(NamedTuple):
    """Ratios of anchor bytes to codec bytes, with intervals."""

    points: Float64
    """float64 [points, 3]: ratio, low, high."""
    minimum: tuple[float, float, float]
    """Smallest ratio over the points, low, high; resampling minima leans low."""


def summarise_ratios(
    codec: Sequence[Values], anchor: Sequence[Values], metric: Metric
) -> RatioSummary:
    """Give ratios at equal quality and their bootstrap intervals.

    Args:
        codec: The codec's values under each weighting, the plain one first (`draws`).
        anchor: The anchor's values under the same weightings.
        metric: What is held equal.
    """
    each = np.array([ratios(c, a, metric) for c, a in zip(codec, anchor, strict=True)])
    bounds = np.array([interval(column) for column in each[1:].T]).reshape(-1, 2)
    comparable = np.isfinite(each).any(1)
    smallest = np.full(len(each), np.nan)
    smallest[comparable] = np.nanmin(each[comparable], axis=1)
    minimum = (float(smallest[0]), *interval(smallest[1:]))
    return RatioSummary(np.concatenate([each[:1].T, bounds], 1), minimum)


def bd_rate(codec: Values, anchor: Values, metric: Metric) -> float:
    """Give the Bjøntegaard delta rate of the codec against the anchor, in percent of bytes.

    Computed by the `bjontegaard` package (piecewise cubic Hermite) on the frontiers, with the
    agreement or, for the distance, -10 log10 of it, as the quality.

    Returns:
        Negative where the codec needs fewer bytes; NaN with fewer than two points on a frontier
        or without overlap.
    """
    scale = 1.0 if metric == "agreement" else 10 / np.log(10)
    codec_sizes, codec_quality = frontier(codec.bytes, scale * merit(codec, metric))
    anchor_sizes, anchor_quality = frontier(anchor.bytes, scale * merit(anchor, metric))
    if min(len(codec_sizes), len(anchor_sizes)) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on partial overlap, which overlap() measures
        percent = bjontegaard.bd_rate(
            anchor_sizes,
            anchor_quality,
            codec_sizes,
            codec_quality,
            method="pchip",
            require_matching_points=False,
            min_overlap=0,
        )
    return float(percent)


def overlap(codec: Values, anchor: Values, metric: Metric) -> float:
    """Give the share of the codec's range of quality that the anchor covers, 0 to 1."""
    ours, theirs = merit(codec, metric), merit(anchor, metric)
    low, high = np.nanmin(ours), np.nanmax(ours)
    if high <= low:
        return 0.0
    shared = min(high, np.nanmax(theirs)) - max(low, np.nanmin(theirs))
    return float(np.clip(shared / (high - low), 0, 1))
