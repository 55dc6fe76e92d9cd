"""Integer tables from probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.errors import ExportError
from fcmrt.export.tables import (
    LEAST_PROBABILITY,
    TOTAL,
    channel_tables,
    gaussian_tables,
    quantize_probabilities,
    table_of,
)


def cost(probabilities: np.ndarray, freqs: np.ndarray) -> float:
    """Expected bits of a symbol under integer frequencies."""
    mass = probabilities / probabilities.sum()
    return float(-(mass * np.log2(freqs / TOTAL)).sum())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300).filter(lambda p: sum(p) > 0))
def test_frequencies_are_a_table(values: list[float]) -> None:
    freqs = quantize_probabilities(np.array(values))
    assert freqs.dtype == np.uint16
    assert freqs.min() >= 1
    assert int(freqs.sum()) == TOTAL


@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=8))
def test_no_exchange_of_one_makes_coding_cheaper(values: list[float]) -> None:
    mass = np.array(values)
    freqs = quantize_probabilities(mass).astype(np.int64)
    best = cost(mass, freqs)
    for up, down in itertools.permutations(range(len(freqs)), 2):
        if freqs[down] > 1:
            other = freqs.copy()
            other[up] += 1
            other[down] -= 1
            assert cost(mass, other) >= best - 1e-12


def test_wide_tables_spread_the_correction() -> None:
    """256 entries of at least 1 leave every one a positive share."""
    mass = np.exp(-np.abs(np.arange(-400, 401)) / 5.0)
    freqs = quantize_probabilities(mass)
    assert freqs.min() == 1
    assert int(freqs.sum()) == TOTAL
    assert np.abs(freqs.astype(int) - freqs[::-1]).max() <= 1


def test_unlikely_integers_are_left_to_the_escape() -> None:
    mass = np.array([LEAST_PROBABILITY / 2, 0.3, 0.0, 0.5, LEAST_PROBABILITY / 2])
    offset, freqs = table_of(mass, -2)
    assert offset == -1
    assert len(freqs) == 3 + 1  # -1, 0, 1 and the escape
    assert freqs[-1] == pytest.approx(0.2 * TOTAL, abs=2)
    offset, freqs = table_of(np.zeros(5), 7)
    assert freqs.tolist() == [TOTAL]


@pytest.mark.parametrize(("count", "sigma_0", "per_octave"), [(64, 0.11, 8), (16, 0.2, 2)])
def test_gaussian_tables_lose_next_to_nothing(count: int, sigma_0: float, per_octave: int) -> None:
    """Bits of Gaussian integers under the tables, escapes at 8 bits more, against their entropy."""
    tables = gaussian_tables(count, sigma_0, per_octave)
    assert tables.count == count
    for t in range(count):
        sigma = sigma_0 * 2 ** (t / per_octave)
        symbols = np.arange(-math.ceil(8 * sigma) - 1, math.ceil(8 * sigma) + 2)
        edge = sigma * math.sqrt(2)
        mass = np.array(
            [
                0.5 * (math.erfc((abs(k) - 0.5) / edge) - math.erfc((abs(k) + 0.5) / edge))
                for k in symbols
            ]
        )
        entropy = -(mass[mass > 0] * np.log2(mass[mass > 0])).sum()
        low, size = int(tables.offsets[t]), int(tables.sizes[t])
        assert low == -(size // 2)  # symmetric
        freqs = tables.freqs[tables.starts[t] : tables.starts[t + 1]]
        inside = (symbols >= low) & (symbols < low + size)
        bits = -(mass[inside] * np.log2(freqs[:-1] / TOTAL)).sum()
        bits += mass[~inside].sum() * (-math.log2(freqs[-1] / TOTAL) + 8)
        assert bits - entropy < 0.002 + 0.001 * entropy


def test_channel_tables_follow_their_rows() -> None:
    rows = np.array([[0.1, 0.8, 0.1, 0.0], [0.0, 0.25, 0.25, 0.5]])
    tables = channel_tables(rows, -1)
    assert tables.offsets.tolist() == [-1, 0]
    assert tables.sizes.tolist() == [3, 3]
    assert tables.freqs[1] == pytest.approx(0.8 * TOTAL, abs=2)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_what_is_no_probability_makes_no_table(wrong: float) -> None:
    probabilities = np.full((3, 5), 0.2)
    probabilities[1, 2] = wrong
    with pytest.raises(ExportError, match="channel 1"):
        channel_tables(probabilities, -2)
    with pytest.raises(ExportError, match=r"got \[5\]"):
        channel_tables(probabilities[0], -2)
