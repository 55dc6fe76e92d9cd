"""The symbols that coders are measured on, and what is said of their distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import coder_sources
from benchmarks.coder_sources import Source, Step
from fcmrt.tables import CdfTables


def two_tables(offset: int) -> CdfTables:
    sizes, freqs = np.array([1, 2], np.int32), np.array([16000, 384, 8000, 8000, 384], np.uint16)
    return CdfTables(np.array([offset, offset], np.int32), sizes, freqs)


@pytest.mark.parametrize(("name", "bits"), [("sparse", 0.3), ("mid", 1.4), ("dense", 3.7)])
def test_sources_have_the_bits_they_are_named_for(name: str, bits: float) -> None:
    tables = coder_sources.gaussian_tables()
    source = coder_sources.gaussian_source(name, 50_000, tables)
    assert source.ideal_bytes * 8 / source.coded == pytest.approx(bits, rel=0.1)
    again = coder_sources.gaussian_source(name, 50_000, tables)
    assert np.array_equal(source.steps[0].symbols, again.steps[0].symbols)


def test_entropy_of_a_wide_gaussian_is_that_of_the_continuous_one() -> None:
    # Rounding adds the variance of a uniform error.
    exact = 0.5 * math.log2(2 * math.pi * math.e * (20**2 + 1 / 12))
    assert coder_sources.gaussian_entropy(20.0) == pytest.approx(exact, rel=1e-6)


def test_mass_of_an_interval_is_precise_in_both_tails() -> None:
    low, high = np.array([-9.0, 8.0]), np.array([-8.0, 9.0])
    left, right = coder_sources.interval_mass(low, high)
    assert left == right == pytest.approx(6.22e-16, rel=1e-2)


def test_table_loss_is_what_drawn_symbols_cost_over_the_entropy() -> None:
    sigma, tables = 1.5, coder_sources.gaussian_tables()
    t = int(np.argmin(abs(coder_sources.SIGMAS - 3.0)))
    rng = np.random.default_rng(1)
    symbols = np.rint(sigma * rng.standard_normal(200_000)).astype(np.int32)
    indexes = np.full(len(symbols), t, np.uint8)
    # A table twice as wide as the symbols loses enough to stand out of what chance adds.
    sigmas = np.where(np.arange(tables.count) == t, sigma, 1.0)
    source = Source("wide", (Step(symbols, indexes, tables, 0),), sigmas)
    drawn = 8 * source.ideal_bytes / source.coded / coder_sources.gaussian_entropy(sigma) - 1
    assert source.table_loss == pytest.approx(drawn, rel=0.02)
    assert drawn > 0.1


def test_expected_bits_count_the_bytes_of_escapes() -> None:
    freqs = np.array([16384], np.uint16)
    escapes_only = CdfTables(np.zeros(1, np.int32), np.zeros(1, np.int32), freqs)
    assert coder_sources.expected_bits(escapes_only, 0, 1.0) == pytest.approx(8.0)


def test_coded_symbols_join_steps_and_leave_out_what_is_skipped() -> None:
    first = Step(np.array([5, 0, 5], np.int32), np.array([1, 0, 1], np.uint8), two_tables(5), 1)
    second = Step(np.array([-3, 9], np.int32), np.array([0, 1], np.uint16), two_tables(-3), 0)
    source = Source("two", (first, second))
    assert source.coded == 4
    assert source.table_loss is None
    coded = source.coded_symbols()
    assert coded.symbols.tolist() == [5, 5, -3, 9]
    assert coded.indexes.tolist() == [1, 1, 2, 3]
    assert coded.tables.offsets.tolist() == [5, 5, -3, -3]
    bits = coded.tables.ideal_bits(coded.symbols, coded.indexes)
    assert bits / 8 == pytest.approx(source.ideal_bytes)


def test_slices_begin_again_at_the_end() -> None:
    step = Step(np.arange(5, dtype=np.int32), np.array([0, 1, 0, 1, 1], np.uint8), two_tables(0), 0)
    (part,) = Source("short", (step,)).slice(3, 7).steps
    assert part.symbols.tolist() == [3, 4, 0, 1, 2, 3, 4]
    assert part.indexes.tolist() == [1, 1, 0, 1, 0, 1, 1]


def test_tiling_repeats_pictures_step_by_step() -> None:
    def picture(value: int) -> Source:
        indexes = np.zeros(2, np.uint8)
        steps = (Step(np.full(2, k + value, np.int32), indexes, two_tables(0), 0) for k in (0, 10))
        return Source("picture", tuple(steps))

    whole = coder_sources.tiled([picture(1), picture(2)], 16)
    assert [step.symbols.tolist() for step in whole.steps] == [
        [1, 1, 2, 2] * 2,
        [11, 11, 12, 12] * 2,
    ]
    assert len(coder_sources.tiled([picture(1)], 1).steps[0].symbols) == 2
