"""Regions found in maps of importances."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt import Decoder, Encoder
from fcmrt.bitstream import Regions
from fcmrt.importance_map import Nearby, find_regions
from fcmrt.spec import Size
from fcmrt.step_maps import block_offsets

from .allocating import picture, tiny_allocating

STEPS = np.arange(-8, 9)
NEARBY = Nearby(np.array([[0.01], [0.02]]) * 2 ** (STEPS / 8), 2 * 2.0 ** (-STEPS / 8))
"""Of eight steps each, twice the loss and half the bits."""
PADDED = (32, 64)
CHEAP = 10**6  # elements of a picture where bits of regions do not count


def offsets(moved: int, regions: Regions | None, padded: Size = PADDED) -> np.ndarray:
    """By how many steps every cell of the finest level is coarser."""
    if regions is None:
        return np.full(padded, moved)
    side = 1 << regions.block_bits
    cells = block_offsets(regions, padded).repeat(side, 0).repeat(side, 1)
    return moved + cells[: padded[0], : padded[1]]


def parts(rows: int = 8, columns: int = 16) -> np.ndarray:
    """Importances of a grid; one object in it."""
    found = np.full((2, rows, columns), 0.5)
    found[:, rows // 4 : rows // 2, columns // 4 : columns // 2] = 8
    return found


def test_what_matters_is_finer_and_the_rest_coarser() -> None:
    found = offsets(*find_regions(parts(), NEARBY, CHEAP, PADDED))
    assert (found[8:16, 16:32] == found[8, 16]).all()
    assert found[8, 16] < 0 <= found[0, 0]
    outside = found.copy()
    outside[8:16, 16:32] = found[0, 0]
    assert (outside == found[0, 0]).all()
    assert np.abs(found).max() <= 8


def test_how_important_the_whole_picture_is_does_not_count() -> None:
    one, other = (offsets(*find_regions(k * parts(), NEARBY, CHEAP, PADDED)) for k in (1, 1000))
    assert (one == other).all()


def test_most_of_the_picture_is_not_told() -> None:
    _, regions = find_regions(parts(), NEARBY, CHEAP, PADDED)
    assert regions is not None
    assert len(regions.rectangles) == 1


@pytest.mark.parametrize("cells", [np.ones((2, 8, 16)), np.ones((2, 1, 1))])
def test_where_all_is_alike_there_are_none(cells: np.ndarray) -> None:
    assert find_regions(cells, NEARBY, CHEAP, PADDED) == (0, None)


def test_regions_that_cost_more_than_they_bring_are_none() -> None:
    assert find_regions(parts(), NEARBY, 20, PADDED) == (0, None)


def test_dear_regions_are_coarser() -> None:
    rng = np.random.default_rng(0)
    cells = np.exp(rng.standard_normal((2, 8, 16)))
    bits = []
    for elements in (500, 10**7):
        _, regions = find_regions(cells, NEARBY, elements, PADDED)
        assert regions is None or len(regions.rectangles) <= 32
        bits.append(0 if regions is None else len(regions.rectangles))
    assert bits[0] < bits[1]


def test_a_grid_that_is_none_of_blocks_has_no_regions() -> None:
    assert find_regions(parts(7, 13), NEARBY, CHEAP, PADDED) == (0, None)


def test_curves_that_do_not_change_have_no_regions() -> None:
    for one in (
        NEARBY._replace(losses=np.ones((2, 17))),
        NEARBY._replace(rates=np.ones(17)),
    ):
        assert find_regions(parts(), one, CHEAP, PADDED) == (0, None)


def test_grids_may_end_within_a_block() -> None:
    found = offsets(*find_regions(parts(7, 13), NEARBY, CHEAP, (26, 50)), (26, 50))
    assert found[4, 12] < found[0, 0]


@pytest.mark.parametrize("side", [48, 44])
def test_packets_tell_what_is_predicted_where_it_lies(side: int) -> None:
    """The test engine's map follows the features: a picture with one loud corner."""
    engine = tiny_allocating()
    encoder = Encoder(engine)
    features = picture(1, side=side)
    for level in features:
        level[:, : level.shape[1] // 3, : level.shape[2] // 3] *= 6
    walk = encoder.walk(features, quality=2, importance=True)
    assert walk.importance.regions is not None
    decoded = Decoder(engine).decode(encoder.code(walk))
    assert [decoded[name].shape for name in ("p3", "p4", "p5")] == [f.shape for f in features]
