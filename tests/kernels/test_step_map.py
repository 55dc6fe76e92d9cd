"""A quantiser step for each element: as the reference, and a constant map as one step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import ConfigError, DTypeError, ShapeError
from fcmrt.kernels.api import StepMap
from fcmrt.kernels.rules import inverse_step

I32 = st.integers(-(1 << 31), (1 << 31) - 1)
WIDTHS = np.array([round(65536 * 1.09**d) for d in range(-20, 21)], np.uint32)
FIRST = -20


def step_map(numbers, widths=WIDTHS, first=FIRST):
    return StepMap(np.asarray(widths, np.uint32), first, np.asarray(numbers, np.int8))


def same(arrays):
    first, *others = arrays
    return all(a.dtype == first.dtype and a.tobytes() == first.tobytes() for a in others)


@st.composite
def maps(draw):
    """A table of steps and a few numbers of it."""
    count = draw(st.integers(1, 256))
    first = draw(st.integers(-128, 128 - count))
    width = st.one_of(st.integers(1, (1 << 31) - 1), st.sampled_from([1, 65536, (1 << 31) - 1]))
    few = draw(st.lists(width, min_size=1, max_size=8))
    return np.resize(np.array(few, np.uint32), count), first


@settings(deadline=None)
@given(
    maps(),
    st.lists(
        st.tuples(st.floats(width=32), I32, I32, I32, st.integers(0, 255)), min_size=1, max_size=70
    ),
    st.sampled_from((np.int32, np.uint8, np.uint16)),
    st.integers(0, 16),
    st.sampled_from([1, 64, 256, 257, 4096]),
    st.integers(0, 70),
    st.booleans(),
    st.sampled_from([None, 0, -7, (1 << 31) - 1]),
)
def test_all_agree(
    implementations, table, rows, index_type, mean_bits, table_count, skip, with_means, shift
):
    widths, first = table
    values, means, indexes, symbols, picks = (np.array(c) for c in zip(*rows, strict=True))
    steps = step_map(first + picks % len(widths), widths, first)
    means = means.astype(np.int32) if with_means else None
    indexes = indexes.astype(index_type)
    arguments = (values.astype(np.float32), means, mean_bits, steps, indexes, shift)
    found = [k.quantize(*arguments, table_count, skip) for k in implementations]
    assert same([symbols for symbols, _ in found])
    assert same([clipped for _, clipped in found])
    symbols = symbols.astype(np.int32)
    assert same([k.dequantize(symbols, means, mean_bits, steps) for k in implementations])
    shifted = [k.shift_indexes(indexes, steps, table_count) for k in implementations]
    assert same(shifted)
    if shift is None:
        assert same([shifted[0], found[0][1]])


@pytest.mark.parametrize("number", [-20, -1, 0, 3, 20])
def test_a_constant_map_is_one_step(implementation, number):
    rng = np.random.default_rng(number + 100)
    n = 3001
    values = (rng.standard_normal(n) * 40).astype(np.float32)
    means = rng.integers(-900, 900, n).astype(np.int32)
    indexes = rng.integers(-30, 90, n).astype(np.int32)
    steps, step = step_map(np.full(n, number)), int(WIDTHS[number - FIRST])
    mapped = implementation.quantize(values, means, 6, steps, indexes, None, 64, 5)
    plain = implementation.quantize(values, means, 6, step, indexes, number, 64, 5)
    assert same([mapped[0], plain[0]])
    assert same([mapped[1], plain[1]])
    symbols = plain[0]
    assert same([implementation.dequantize(symbols, means, 6, s) for s in (steps, step)])
    assert same([implementation.shift_indexes(indexes, s, 64) for s in (steps, number)])


def test_each_element_has_its_own_step(implementation):
    """Every element as if it were alone with its step; long enough for whole vectors."""
    rng = np.random.default_rng(5)
    n = 2500
    values = (rng.standard_normal(n) * 40).astype(np.float32)
    means = rng.integers(-900, 900, n).astype(np.int32)
    indexes = rng.integers(-30, 90, n).astype(np.int32)
    numbers = rng.integers(-20, 21, n).astype(np.int8)
    found, clipped = implementation.quantize(
        values, means, 6, step_map(numbers), indexes, None, 64, 0
    )
    back = implementation.dequantize(found, means, 6, step_map(numbers))
    for number in np.unique(numbers):
        here = numbers == number
        step = int(WIDTHS[number - FIRST])
        alone = implementation.quantize(
            values[here], means[here], 6, step, indexes[here], int(number), 64, 0
        )
        assert np.array_equal(found[here], alone[0])
        assert np.array_equal(clipped[here], alone[1])
        values_back = implementation.dequantize(alone[0], means[here], 6, step)
        assert np.array_equal(back[here], values_back)


def test_inverses_are_rounded_once(implementation):
    """F-10: 65536 / width in binary32, as for one step."""
    widths = np.array([3, 65535, 70001, (1 << 31) - 1], np.uint32)
    numbers = np.arange(4, dtype=np.int8)
    values = np.full(4, 1e6 / 3, np.float32)
    found, _ = implementation.quantize(
        values, None, 0, step_map(numbers, widths, 0), np.zeros(4, np.int32), 0, 64, 0
    )
    inverses = np.array([inverse_step(int(w)) for w in widths], np.float32)
    products = np.rint(values * inverses).astype(np.float64)
    assert np.array_equal(found, np.minimum(products, (1 << 31) - 1).astype(np.int32))


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        (step_map([0, 21, 0]), ConfigError),
        (step_map([0, -21, 0]), ConfigError),
        (step_map([0, 0, 0], [0, 5], 0), ConfigError),
        (step_map([0, 0, 0], [5, 1 << 31], 0), ConfigError),
        (step_map([0, 0, 0], [], 0), ConfigError),
        (step_map([0, 0, 0], [1] * 257, -128), ConfigError),
        (step_map([0, 0, 0], [1, 1], 127), ConfigError),
        (step_map([0, 0, 0], [1, 1], -129), ConfigError),
        (step_map([0, 0]), ShapeError),
        (step_map([0, 0, 0])._replace(numbers=np.zeros(3, np.int32)), DTypeError),
        (step_map([0, 0, 0])._replace(widths=WIDTHS.astype(np.int64)), DTypeError),
    ],
)
def test_bad_maps_are_refused(implementation, steps, error):
    values, indexes = np.zeros(3, np.float32), np.zeros(3, np.int32)
    with pytest.raises(error):
        implementation.quantize(values, None, 0, steps, indexes, None, 64, 0)
    with pytest.raises(error):
        implementation.dequantize(indexes, None, 0, steps)
    with pytest.raises(error):
        implementation.shift_indexes(indexes, steps, 64)


def test_no_shift_needs_a_map(implementation):
    with pytest.raises(ConfigError, match="each element"):
        implementation.quantize(
            np.zeros(1, np.float32), None, 0, 65536, np.zeros(1, np.int32), None, 64, 0
        )


def test_empty(implementation):
    empty = np.zeros(0, np.float32)
    symbols, clipped = implementation.quantize(
        empty, None, 0, step_map([]), np.zeros(0, np.int32), None, 64, 0
    )
    assert len(symbols) == len(clipped) == 0
