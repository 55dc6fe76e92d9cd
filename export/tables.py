"""From probabilities to the integer tables that an engine ships.

Made once, when the engine is made; at run time nothing rebuilds a table from floats.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from fcmrt.errors import ExportError
from fcmrt.tables import MAX_SIZE, PROB_BITS, CdfTables

TOTAL = 1 << PROB_BITS

LEAST_PROBABILITY = 2.0**-16.5
"""Integers less likely than this are left to the escape.

Giving one a frequency of 1 in 2^14 takes 1.44 / 2^14 bits from all others; leaving it to the escape
costs it about 8 bits more. The two are equal at a probability of 2^-16.5.
"""


def quantize_probabilities(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Finds the frequencies under which coding costs least.

    Args:
        probabilities: `[n]`, non-negative; need not add up to 1.

    Returns:
        uint16 `[n]`, each at least 1, together 2^14: the minimiser of the sum of
        `-p * log2(frequency)` among such integers.

    Determinism: depends on the arguments alone; ties go to the lower index.
    """
    mass = np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-12)
    mass = mass / mass.sum()
    freqs = np.maximum(1, np.floor(mass * TOTAL)).astype(np.int64)
    # The cost is convex in each frequency: once moving one unit between two of them saves nothing,
    # no other change does.
    while True:
        gains = mass * np.log2((freqs + 1) / freqs)
        losses = np.where(freqs > 1, mass * np.log2(freqs / np.maximum(freqs - 1, 1)), np.inf)
        to, source = int(np.argmax(gains)), int(np.argmin(losses))
        spare = TOTAL - int(freqs.sum())
        if spare == 0 and gains[to] <= losses[source]:
            break
        if spare >= 0:
            freqs[to] += 1
        if spare <= 0:
            freqs[source] -= 1
    return freqs.astype(np.uint16)


def table_of(
    probabilities: npt.NDArray[np.float64], low: int
) -> tuple[int, npt.NDArray[np.uint16]]:
    """Makes one table: cuts the range, gives the rest to the escape.

    Args:
        probabilities: `[n]` of the integers `low`, `low + 1`, ...; the rest to 1 is outside.
        low: The first integer.

    Returns:
        Offset, and frequencies uint16 `[size + 1]`, the escape's last.
    """
    likely = np.flatnonzero(probabilities >= LEAST_PROBABILITY)
    if not likely.size:
        return low, np.array([TOTAL], np.uint16)
    first, end = int(likely[0]), int(likely[-1]) + 1
    if end - first > MAX_SIZE:
        peak = int(np.argmax(probabilities))
        first = max(first, peak - MAX_SIZE // 2)
        end = min(end, first + MAX_SIZE)
    kept = probabilities[first:end]
    return low + first, quantize_probabilities(np.append(kept, max(0.0, 1.0 - kept.sum())))


def tables_of(rows: list[tuple[int, npt.NDArray[np.uint16]]]) -> CdfTables:
    """Joins tables, each offset and frequencies, to a set."""
    return CdfTables(
        np.array([offset for offset, _ in rows], np.int32),
        np.array([len(freqs) - 1 for _, freqs in rows], np.int32),
        np.concatenate([freqs for _, freqs in rows]),
    )


def gaussian_probabilities(sigma: float, reach: int) -> npt.NDArray[np.float64]:
    """Computes the probabilities of the integers `-reach..reach` under a zero-mean Gaussian.

    Args:
        sigma: Standard deviation, in units of the symbol.
        reach: At least 1.

    Returns:
        float64 `[2 * reach + 1]`; the rest to 1 is outside.
    """
    edges = [(k - 0.5) / (sigma * math.sqrt(2)) for k in range(reach + 2)]
    # On the positive side, differences of erfc keep their digits; the other side is the mirror.
    half = [0.5 * (math.erfc(a) - math.erfc(b)) for a, b in itertools.pairwise(edges)]
    return np.array(half[:0:-1] + half)


def gaussian_tables(
    count: int, sigma_0: float, per_octave: float, *, certain: int = 0
) -> CdfTables:
    """Makes the tables of zero-mean Gaussians whose deviations form a geometric series.

    Args:
        count: Number of tables.
        sigma_0: Standard deviation of table 0, in units of the symbol.
        per_octave: Tables after which the deviation has doubled.
        certain: How many integers on either side of 0 have a place however unlikely they are, for
            networks that underestimate deviations.
    """
    rows = []
    for i in range(count):
        sigma = sigma_0 * 2.0 ** (i / per_octave)
        reach = max(1, certain, math.ceil(6 * sigma))
        probabilities = gaussian_probabilities(sigma, reach)
        places = slice(reach - certain, reach + certain + 1)
        probabilities[places] = np.maximum(probabilities[places], LEAST_PROBABILITY)
        rows.append(table_of(probabilities, -reach))
    return tables_of(rows)


def channel_tables(probabilities: npt.NDArray[np.float64], low: int) -> CdfTables:
    """Makes one table per channel from its probabilities.

    Args:
        probabilities: `[C, n]` of the integers `low`, `low + 1`, ...
        low: The first integer.

    Raises:
        ExportError: They are not `[C, n]`, or one is negative, NaN or infinite.
    """
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2:
        raise ExportError(f"probabilities of channels are [C, n], got {list(rows.shape)}")
    wrong = ~(np.isfinite(rows) & (rows >= 0)).all(1)
    if wrong.any():
        raise ExportError(
            f"channel {int(np.argmax(wrong))} has values that are no probabilities: negative, NaN "
            "or infinite"
        )
    return tables_of([table_of(row, low) for row in rows])
