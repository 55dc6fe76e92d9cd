"""The quantiser and its inverse, `docs/format.md` section 8."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import ConfigError, DTypeError, ShapeError
from fcmrt.kernels.rules import inverse_step

ONE = 65536
I32 = st.integers(-(1 << 31), (1 << 31) - 1)
STEPS = st.one_of(st.integers(1, (1 << 31) - 1), st.sampled_from([1, ONE, (1 << 31) - 1]))


def quantize(implementation, values, step=ONE, means=None, mean_bits=0, **more):
    values = np.asarray(values, np.float32)
    means = None if means is None else np.asarray(means, np.int32)
    indexes = more.pop("indexes", np.zeros(len(values), np.int32))
    options = {"shift": 0, "table_count": 64, "skip": 0} | more
    return implementation.quantize(values, means, mean_bits, step, indexes, **options)


def test_ties_go_to_even(implementation):
    """F-10: to the nearest integer, ties to even."""
    values = [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, -2.5000002, 8388607.5, -8388606.5, 4194304.5]
    wanted = [0, 2, 2, 0, -2, 0, -3, 8388608, -8388606, 4194304]
    assert quantize(implementation, values)[0].tolist() == wanted


def test_limits(implementation):
    """F-10: symbols are limited to 32 bits; what is not a number gives 0."""
    values = [2.0**31, 3e38, np.inf, -(2.0**31), -3e38, -np.inf, np.nan, 2147483520.0]
    largest, smallest = (1 << 31) - 1, -(1 << 31)
    wanted = [largest] * 3 + [smallest] * 3 + [0, 2147483520]
    assert quantize(implementation, values)[0].tolist() == wanted
    assert quantize(implementation, [1e38], step=1)[0].tolist() == [largest]


def test_every_operation_is_rounded(implementation):
    """F-10: (y - m / 2^g) * inv in binary32, one rounding each; a fused one would differ."""
    rng = np.random.default_rng(10)
    values = (rng.standard_normal(20000) * 50).astype(np.float32)
    means = rng.integers(-3000, 3000, len(values)).astype(np.int32)
    inverse = np.float32(ONE / 70001)
    t = (values - means.astype(np.float32) * np.float32(1 / 64)) * inverse
    symbols, _ = quantize(implementation, values, 70001, means, 6)
    assert np.array_equal(symbols, np.rint(t).astype(np.int32))


def test_means_and_steps(implementation):
    """Section 8: y = 10, m = 3 * 2^-1, step 2: (10 - 1.5) / 2 = 4.25; back: 1.5 + 4 * 2."""
    symbols, _ = quantize(implementation, [10.0], 2 * ONE, [3], 1)
    assert symbols.tolist() == [4]
    assert implementation.dequantize(symbols, np.array([3], np.int32), 1, 2 * ONE).tolist() == [9.5]


def test_skipped_elements_are_zero(implementation):
    """F-10: the clipped index decides."""
    indexes = np.array([0, 5, 6, 7, 300], np.int32)
    symbols, clipped = quantize(
        implementation, [9.0] * 5, indexes=indexes, shift=2, table_count=5, skip=4
    )
    assert clipped.tolist() == [0, 3, 4, 4, 4]
    assert clipped.dtype == np.uint8
    assert symbols.tolist() == [0, 0, 9, 9, 9]


def test_indexes_do_not_overflow(implementation):
    """Section 8: clip(i - d, 0, T - 1) for 32-bit i and d."""
    ends = np.array([-(1 << 31), -1, 0, (1 << 31) - 1], np.int32)
    for shift in (-(1 << 31), 0, (1 << 31) - 1):
        wanted = [min(max(int(i) - shift, 0), 299) for i in ends]
        clipped = implementation.shift_indexes(ends, shift, 300)
        assert clipped.dtype == np.uint16
        assert clipped.tolist() == wanted
    bytes_ = implementation.shift_indexes(np.array([0, 255], np.uint8), 1, 256)
    assert bytes_.dtype == np.uint8
    assert bytes_.tolist() == [0, 254]


def test_values_are_rounded_once(implementation):
    """Section 8: m * 2^(16-g) + s * step is exact in 64 bits, then rounded to even."""
    symbols = np.array([1, 1, -(1 << 31), (1 << 31) - 1, 16777217, 16777219], np.int32)
    means = np.array([0, 1, -(1 << 31), (1 << 31) - 1, 0, 0], np.int32)
    for mean_bits in (0, 6, 16):
        for step in (1, ONE, 70001, (1 << 31) - 1):
            values = implementation.dequantize(symbols, means, mean_bits, step)
            for v, s, m in zip(values, symbols.tolist(), means.tolist(), strict=True):
                assert v == nearest(Fraction(m, 1 << mean_bits) + Fraction(s * step, ONE))


def nearest(exact: Fraction) -> np.float32:
    """The binary32 number nearest to a fraction, ties to even; normal numbers only."""
    if exact == 0:
        return np.float32(0)
    exponent = 0
    while abs(exact) * Fraction(2) ** -exponent >= 1 << 24:
        exponent += 1
    while abs(exact) * Fraction(2) ** -exponent < 1 << 23:
        exponent -= 1
    # Python rounds fractions to even.
    return np.float32(float(round(exact * Fraction(2) ** -exponent)) * 2.0**exponent)


@settings(deadline=None)
@given(STEPS)
def test_inverse_steps(step):
    """F-10: inv[d] is 65536 / step, rounded once."""
    assert inverse_step(step) == nearest(Fraction(ONE, step))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(width=32), I32, st.integers(-9, 80), I32), min_size=1, max_size=40
    ),
    st.integers(0, 16),
    STEPS,
    st.integers(-5, 5),
    st.sampled_from([1, 64, 256, 257, 4096]),
    st.integers(0, 70),
    st.booleans(),
)
def test_all_agree(implementations, rows, mean_bits, step, shift, table_count, skip, with_means):
    values, means, indexes, symbols = (np.array(column) for column in zip(*rows, strict=True))
    given_means = means.astype(np.int32) if with_means else None
    results = [
        (
            *k.quantize(
                values.astype(np.float32),
                given_means,
                mean_bits,
                step,
                indexes.astype(np.int32),
                shift,
                table_count,
                skip,
            ),
            k.dequantize(symbols.astype(np.int32), given_means, mean_bits, step),
        )
        for k in implementations
    ]
    for first, *others in zip(*results, strict=True):
        for other in others:
            assert other.dtype == first.dtype
            assert other.tobytes() == first.tobytes()


def test_arguments_are_checked(implementation):
    values = np.zeros(3, np.float32)
    with pytest.raises(DTypeError):
        quantize(implementation, values, indexes=np.zeros(3, np.int64))
    with pytest.raises(ShapeError):
        quantize(implementation, values, indexes=np.zeros(2, np.int32))
    with pytest.raises(ShapeError):
        quantize(implementation, values, means=[1, 2])
    for bad in (
        {"step": 0},
        {"step": 1 << 31},
        {"mean_bits": 17},
        {"table_count": 0},
        {"table_count": 4097},
        {"shift": 1 << 31},
        {"skip": -1},
    ):
        with pytest.raises(ConfigError):
            quantize(implementation, values, **bad)
