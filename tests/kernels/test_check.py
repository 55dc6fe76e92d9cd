"""The check over the integers, `docs/format.md` section 6."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import DTypeError, ShapeError

MASK = 0xFFFFFFFF


def fmix(h: int) -> int:
    h ^= h >> 16
    h = h * 0x85EBCA6B & MASK
    h ^= h >> 13
    h = h * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def check(values, salt):
    return (
        sum(
            fmix((v + 0x9E3779B9 * (p + 1) + fmix(salt + 1 & MASK)) & MASK)
            for p, v in enumerate(values)
        )
        & MASK
    )


def test_fmix_is_that_of_murmurhash3():
    """Published values of the finaliser."""
    assert fmix(0) == 0
    assert fmix(1) == 0x514E28B7
    assert fmix(MASK) == 0x81F16F39


def test_known_values(implementation):
    """Section 6: nothing gives 0; other values as the formula gives them in plain integers."""
    assert implementation.check(np.zeros(0, np.int32), 3) == 0
    for values in ([0], [-1], [1, 2, 3], [-(1 << 31), (1 << 31) - 1] * 50):
        for salt in (0, 1, 21):
            assert implementation.check(np.array(values, np.int32), salt) == check(values, salt)


@settings(deadline=None)
@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=99), st.integers(0, MASK))
def test_all_agree(implementations, values, salt):
    array = np.array(values, np.int32)
    assert {k.check(array, salt) for k in implementations} == {check(values, salt)}


def test_one_wrong_integer_shows(implementation):
    values = np.arange(1000, dtype=np.int32)
    right = implementation.check(values, 0)
    for place in (0, 500, 999):
        for bit in range(32):
            wrong = values.copy()
            wrong.view(np.uint32)[place] ^= np.uint32(1 << bit)
            assert implementation.check(wrong, 0) != right
    swapped = values.copy()
    swapped[:2] = swapped[1::-1]
    assert implementation.check(swapped, 0) != right
    assert implementation.check(values, 1) != right


def test_arrays_are_checked(implementation):
    with pytest.raises(DTypeError):
        implementation.check(np.zeros(4, np.int64), 0)
    with pytest.raises(DTypeError):
        implementation.check(np.zeros(8, np.int32)[::2], 0)
    with pytest.raises(ShapeError):
        implementation.check(np.zeros((2, 2), np.int32), 0)
