"""The order of a latent's elements (format.md, section 3)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fcmrt.elements import elements_of
from fcmrt.spec import LatentSpec, Parity, TensorSpec

SOURCE = TensorSpec(5, 2, "float32")


def latent(channels: tuple[int, int] | None, parity: Parity | None) -> LatentSpec:
    return LatentSpec("y", "t", None, None, False, 0, channels, parity)


@pytest.mark.parametrize("parity", [None, "even", "odd"])
@pytest.mark.parametrize("channels", [None, (0, 5), (1, 4), (4, 5)])
@pytest.mark.parametrize("padded", [(1, 1), (6, 10), (7, 5), (1, 9)])
def test_elements_are_numbered_channel_row_column(
    channels: tuple[int, int] | None, parity: Parity | None, padded: tuple[int, int]
) -> None:
    elements = elements_of(latent(channels, parity), SOURCE, padded)
    rows, columns = -(-padded[0] // 2), -(-padded[1] // 2)
    tensor = np.arange(5 * rows * columns).reshape(1, 5, rows, columns)
    first, end = channels or (0, 5)
    wanted = [
        tensor[0, c, i, j]
        for c, i, j in itertools.product(range(first, end), range(rows), range(columns))
        if parity is None or (i + j) % 2 == (parity == "odd")
    ]
    taken = elements.take(tensor)
    assert taken.tolist() == wanted
    assert elements.count == len(wanted)
    own = elements.take(np.ascontiguousarray(tensor[:, first:end]))
    assert own.tolist() == wanted
    numbers = [c for c in range(end - first) for _ in range(len(wanted) // (end - first))]
    assert elements.channels.tolist() == numbers
    laid = elements.put(taken)
    assert laid.shape == tensor.shape
    assert laid.sum() == sum(wanted)
    assert elements.take(laid).tolist() == wanted


def test_only_small_ones_are_kept() -> None:
    """Else packets of a few bytes, each of another size, would add up to more than the limits."""
    one = latent(None, None)
    assert elements_of(one, SOURCE, (64, 64)) is elements_of(one, SOURCE, (64, 64))
    assert elements_of(one, SOURCE, (1024, 1024)) is not elements_of(one, SOURCE, (1024, 1024))
