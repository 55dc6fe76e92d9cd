"""Sizes, element counts, steps and quality levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.errors import ConfigError, ShapeError
from fcmrt.spec import (
    FeatureSpec,
    LatentSpec,
    Padding,
    Quality,
    StepTable,
    TensorSpec,
    count_elements,
    level_sizes,
    margins,
    padded_size,
    require_related,
    tensor_size,
)

PYRAMID = (FeatureSpec("p3", 8, 1), FeatureSpec("p4", 8, 2), FeatureSpec("p5", 8, 4))


def test_level_sizes_round_up():
    assert level_sizes(PYRAMID, 25, 40) == ((25, 40), (13, 20), (7, 10))


def test_padded_size_holds_every_level():
    padding = Padding(8, "reflect", "start")
    assert padded_size(PYRAMID, level_sizes(PYRAMID, 25, 40), padding) == (32, 40)
    # A level larger than the finest one asks for counts as well.
    assert padded_size(PYRAMID, ((25, 40), (13, 20), (9, 10)), padding) == (40, 40)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([4, 8, 12, 32]))
def test_padding_of_regular_pyramids_depends_on_the_finest_level_only(height, width, multiple):
    padding = Padding(multiple, "zero", "start")
    padded = padded_size(PYRAMID, level_sizes(PYRAMID, height, width), padding)
    assert padded == (-(-height // multiple) * multiple, -(-width // multiple) * multiple)


@pytest.mark.parametrize("sizes", [((4, 4), (2, 2)), ((4, 4), (2, 0), (1, 1))])
def test_padded_size_refuses_wrong_sizes(sizes):
    with pytest.raises(ShapeError):
        padded_size(PYRAMID, sizes, Padding(4, "zero", "start"))


FIVE = [FeatureSpec(f"p{n}", 4, 1 << n - 3) for n in range(3, 8)]


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), min_size=4, max_size=4),
)
def test_levels_of_networks_are_related(side, convolutions):
    """Strided convolutions and poolings of any kernel up to 5, padded or (up to 3) not."""
    sides = [side]
    for kernel, padded, up in convolutions:
        margin = 2 * ((kernel - 1) // 2) if padded or kernel > 3 else 0
        covered = sides[-1] + margin - kernel
        sides.append(max(1, -(-covered // 2) + 1 if up else covered // 2 + 1))
    require_related(FIVE, [(side, side) for side in sides])


def test_levels_of_several_pictures_or_in_another_order_are_not_related():
    levels = PYRAMID
    require_related(levels, [(1, 1), (1, 1), (1, 1)])
    require_related(levels, [(52, 40), (26, 20), (13, 10)])
    for sizes in [
        [(13, 10), (26, 20), (52, 40)],
        [(26, 20), (52, 40), (13, 10)],
        [(8, 8), (100, 100), (2, 2)],
        [(52, 40), (20, 26), (13, 10)],
        [(52, 40), (26, 20), (10, 10)],
        [(52, 40), (26, 20), (13, 13)],
    ]:
        with pytest.raises(ShapeError, match=r"p3 .* \(stride 1\), p4 .*, p5 .* \(stride 4\)"):
            require_related(levels, sizes)


def test_margins():
    assert margins((5, 7), (8, 8), Padding(4, "zero", "start")) == (0, 3, 0, 1)
    assert margins((5, 7), (8, 8), Padding(4, "zero", "center")) == (1, 2, 0, 1)


def test_tensor_size_rounds_up():
    assert tensor_size(TensorSpec(1, 8, "float32"), (12, 16)) == (2, 2)


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([None, (0, 2), (1, 4)]),
    st.sampled_from([None, "even", "odd"]),
)
def test_count_elements_counts_the_checkerboard(height, width, channels, parity):
    source = TensorSpec(4, 1, "float32")
    latent = LatentSpec("y", "t", None, None, step=False, skip=0, channels=channels, parity=parity)
    rows, columns = np.indices((height, width))
    board = np.ones((height, width), bool)
    if parity:
        board = (rows + columns) % 2 == (parity == "odd")
    start, stop = latent.channel_range(source)
    assert count_elements(latent, source, (height, width)) == (stop - start) * int(board.sum())


def test_step_table():
    table = StepTable(-1, (50000, 65536, 80000))
    assert (table.last, table.width(-1), table.width(0), table.width(1)) == (1, 50000, 65536, 80000)
    for d in (-2, 2):
        with pytest.raises(ConfigError, match="-1 to 1"):
            table.width(d)


def test_quality_levels_and_what_lies_between():
    quality = Quality((20, 15, 5, -20), 2)
    assert [quality.shift(level) for level in (1, 2, 3, 4)] == [20, 15, 5, -20]
    assert quality.shift(2.25) == 12  # 12.5: ties go to even
    assert quality.shift(2.75) == 8  # 7.5 likewise
    assert quality.shift(1.1) == 19  # the float 1.1 lies above, so this is no tie
    assert quality.shift(np.float32(3.5)) == -8


@pytest.mark.parametrize("bad", [0, 0.99, 4.01, 5, float("nan"), float("inf"), True, "2", None])
def test_quality_refuses(bad):
    with pytest.raises(ConfigError, match="quality"):
        Quality((20, 15, 5, -20), 2).shift(bad)


@given(st.lists(st.integers(-99, 99), min_size=1, unique=True), st.floats(0, 1), st.floats(0, 1))
def test_quality_is_monotone(levels, a, b):
    quality = Quality(tuple(sorted(levels, reverse=True)), 1)
    low, high = sorted(1 + x * (len(levels) - 1) for x in (a, b))
    assert quality.shift(low) >= quality.shift(high)
