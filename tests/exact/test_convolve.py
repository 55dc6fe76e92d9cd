"""Two sums in one product: the same bits as integer arithmetic, up to the bound and beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.exact.attributes import Convolution
from fcmrt.exact.convolve import convolve, matrices_of

Array = npt.NDArray[Any]

LIMIT = 1 << 24
_PAIR = st.tuples(st.integers(1, 2), st.integers(1, 2))
_FORMS = st.builds(
    Convolution,
    strides=_PAIR,
    dilations=_PAIR,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    output_padding=st.just((0, 0)),
    group=st.integers(1, 2),
)


def whole_sums(x: Array, weights: Array, bias: Array, form: Convolution) -> Array:
    """A Conv in int64, cell by cell."""
    top, left, bottom, right = form.pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    steps = list(zip(form.strides, form.dilations, weights.shape[2:], x.shape[1:], strict=True))
    rows, columns = ((n - d * (k - 1) - 1) // s + 1 for s, d, k, n in steps)
    sums = np.empty((len(weights), rows, columns), np.int64)
    outputs, inputs = len(weights) // form.group, weights.shape[1]
    for output, row, column in np.ndindex(*sums.shape):
        first = output // outputs * inputs
        seen = [
            slice(at * s, at * s + d * (k - 1) + 1, d)
            for at, (s, d, k, _) in zip((row, column), steps, strict=True)
        ]
        cells = x[first : first + inputs, seen[0], seen[1]]
        sums[output, row, column] = (cells * weights[output]).sum() + bias[output]
    return sums


def convolved(
    x: Array, weights: Array, bias: Array, form: Convolution, units: Array
) -> list[Array]:
    """The same on the outputs' grids, two sums in one and one at a time."""
    scale = np.ldexp(1.0, -units)
    matrices = matrices_of(weights * scale[:, None, None, None], form.group, transposed=False)
    given_bias = (bias * scale)[:, None, None]
    kernel = weights.shape[2:]
    narrow = x.astype(np.float32)
    return [convolve(narrow, matrices, given_bias, kernel, form, n) for n in (units, None)]


@settings(max_examples=150)
@given(
    st.integers(0, 1 << 32),
    _FORMS,
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    st.booleans(),
)
def test_two_sums_in_one_are_the_sums_of_integers(
    seed: int, form: Convolution, kernel: tuple[int, int], side: tuple[int, int], ends: bool
) -> None:
    draw = np.random.default_rng(seed)
    inputs, outputs = (int(draw.integers(1, 4)) for _ in range(2))
    weights = draw.integers(-500, 501, (outputs * form.group, inputs, *kernel))
    bias = draw.integers(-500, 501, len(weights))
    most = (LIMIT - 1 - 500) // max(1, int(np.abs(weights).sum((1, 2, 3)).max()))
    if ends:  # sums at the bound: every input at an end of its range, and the bias fills the rest
        x = draw.choice([-most, most], (inputs * form.group, *side))
        room = LIMIT - 1 - most * np.abs(weights).sum((1, 2, 3))
        bias = room * draw.choice([-1, 1], len(weights))
    else:
        x = draw.integers(-most, most + 1, (inputs * form.group, *side))
    units = draw.integers(-9, 10, len(weights))
    form_fits = all(
        d * (k - 1) + 1 <= n + form.pads[axis] + form.pads[axis + 2]
        for axis, (d, k, n) in enumerate(zip(form.dilations, kernel, side, strict=True))
    )
    if not form_fits:
        with pytest.raises(ValueError, match="larger than the picture"):
            convolved(x, weights, bias, form, units)
        return
    wanted = whole_sums(x, weights, bias, form) * np.ldexp(1.0, -units)[:, None, None]
    for found in convolved(x, weights, bias, form, units):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)


PLAIN = Convolution((1, 1), (1, 1), (0, 0, 0, 0), (0, 0), 1)


@pytest.mark.parametrize("near", [LIMIT - 1, 1 - LIMIT])
@pytest.mark.parametrize("far", [LIMIT - 1, 1 - LIMIT, 0, 1, -1])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("unit", [-40, 0, 40])
def test_both_halves_reach_their_bounds(near: int, far: int, rows: int, unit: int) -> None:
    x = np.full((1, rows, 3), near)
    x[:, rows // 2 :] = far
    found = convolved(x, np.ones((1, 1, 1, 1)), np.zeros(1), PLAIN, np.array([unit]))
    for sums in found:
        np.testing.assert_array_equal(sums, x * 2.0**-unit)


def test_many_cells_are_laid_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcmrt.exact.convolve._COPIED", 100)
    monkeypatch.setattr("fcmrt.exact.convolve._PIECE", 30)
    draw = np.random.default_rng(0)
    form = Convolution((2, 1), (1, 2), (1, 2, 1, 2), (0, 0), 2)
    x, weights = draw.integers(-99, 100, (4, 23, 7)), draw.integers(-99, 100, (6, 2, 3, 3))
    bias, units = draw.integers(-99, 100, 6), np.arange(6)
    wanted = whole_sums(x, weights, bias, form) * np.ldexp(1.0, -units)[:, None, None]
    for found in convolved(x, weights, bias, form, units):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("over", [LIMIT + 1, -LIMIT - 1, 3 * LIMIT + 1])
@pytest.mark.parametrize("row", [0, 3])
def test_sums_that_float32_does_not_hold_are_not_rounded_silently(over: int, row: int) -> None:
    # If a proof were wrong, a runner would round such a sum, and the reference must not.
    x = np.zeros((4, 4, 2))
    x[:3, row], x[3, row] = over // 4, over - 3 * (over // 4)
    for units in np.array([0]), None:
        matrices = matrices_of(np.ones((1, 4, 1, 1)), 1, transposed=False)
        with pytest.raises(OverflowError, match="24 bits"):
            convolve(x.astype(np.float32), matrices, np.zeros((1, 1, 1)), (1, 1), PLAIN, units)
