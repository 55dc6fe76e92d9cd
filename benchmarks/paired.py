"""Whether pictures sent one way fare better than the same pictures sent another way.

A permutation test (SciPy's): were it all the same, the two ways could be exchanged in any picture.
A photo and its crops are exchanged together, since they are not independent. The effect comes with
the interval of a paired bootstrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .statistics import METRICS, SEED, Curve, draws, interval, merit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .statistics import Float64, Measured, Metric

PERMUTATIONS = 9999  # all of them, where there are no more


class Outcome(NamedTuple):
    """How much better the second way is."""

    change: float
    """Of the agreement, in points of 0 to 100; of the distance, in percent of it."""
    low: float
    high: float
    p: float
    """Of an advantage at least as large where there is none; one-sided. NaN with a single group."""


class Paired:
    """Two ways to send the same pictures, at several operating points.

    An advantage is the difference of pooled agreements, or the logarithm of the ratio of pooled
    distances; over several operating points, the mean.

    Args:
        points: Of both ways together: the pictures sent the first way, then the same pictures, in
            the same order, sent the second way.
        groups: Group of each picture; half as many as a point has pictures.
        permutations: How many exchanges are tried at most.
    """

    def __init__(
        self, points: Sequence[Measured], groups: Sequence[str], permutations: int = PERMUTATIONS
    ) -> None:
        self._curve = Curve(points)
        names, self._member = np.unique(np.asarray(groups), return_inverse=True)
        self._groups, self._permutations = len(names), permutations
        nobody = np.zeros(len(names), np.bool_)
        self._drawn = np.array([self._advantages(row, nobody) for row in draws(groups)])
        self._exchanged: dict[bytes, Float64] = {}  # all tests try the same exchanges

    def compare(self, metric: Metric, chosen: Sequence[int]) -> Outcome:
        """Test whether the second way is better, over some of the operating points.

        Args:
            metric: What is compared.
            chosen: Numbers of the points.
        """
        row, columns = METRICS.index(metric), list(chosen)
        advantages = self._drawn[:, row, columns].mean(1)
        low, high = sorted(_change(end, metric) for end in interval(advantages[1:]))

        def statistic(_: NDArray[np.int64], second: NDArray[np.int64]) -> float:
            return float(self._with_exchanged(second < self._groups)[row, columns].mean())

        return Outcome(_change(advantages[0], metric), low, high, self._chance(statistic))

    def _chance(self, statistic: Any) -> float:
        if self._groups < 2:
            return float("nan")
        from scipy.stats import permutation_test

        first = np.arange(self._groups)
        found = permutation_test(
            (first, first + self._groups),
            statistic,
            permutation_type="samples",
            vectorized=False,
            n_resamples=self._permutations,
            alternative="greater",
            random_state=SEED,
        )
        return float(found.pvalue)

    def _with_exchanged(self, exchanged: NDArray[np.bool_]) -> Float64:
        key = exchanged.tobytes()
        if key not in self._exchanged:
            self._exchanged[key] = self._advantages(np.ones(len(self._member)), exchanged)
        return self._exchanged[key]

    def _advantages(self, weights: Float64, exchanged: NDArray[np.bool_]) -> Float64:
        """float64 `[metrics, points]`, with the ways exchanged in some groups."""
        other = exchanged[self._member]
        parts = weights * ~other, weights * other
        first, second = (
            self._curve.values(np.concatenate(order)) for order in (parts, parts[::-1])
        )
        return np.array([merit(second, metric) - merit(first, metric) for metric in METRICS])


def _change(advantage: float, metric: Metric) -> float:
    return 100 * (advantage if metric == "agreement" else float(np.expm1(-advantage)))
