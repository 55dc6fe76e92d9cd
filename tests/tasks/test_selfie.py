"""Masks of the selfie network, and its input."""

from __future__ import annotations

import numpy as np
import pytest

from fcmrt.tasks.selfie import INPUT_SIZE, Outputs, Selfie
from fcmrt.tasks.task import SELFIE


def test_letterbox_gives_colours_from_0_to_1() -> None:
    pytest.importorskip("PIL")
    image = np.full((100, 200, 3), (255, 51, 0), np.uint8)
    x, scale = SELFIE.letterbox(image)
    assert scale == INPUT_SIZE / 200
    assert (x[0, :, :128].max((1, 2)) == np.array([1, 0.2, 0], np.float32)).all()
    assert (x[0, :, 128:] == 0).all()


def test_a_mask_is_of_the_pictures_part_of_the_input() -> None:
    probabilities = np.zeros((2, INPUT_SIZE, INPUT_SIZE), np.float32)
    probabilities[1, 20:40, 30:90] = 0.7
    probabilities[1, 40:60, 30:90] = 0.5  # not above
    probabilities[1, 200:, :] = 0.9  # in the padding
    net = Selfie.__new__(Selfie)  # needs no network for this
    found = net.mask(Outputs(probabilities), 0.5, (256, 512), item=1)
    assert found.shape == (128, 256)
    assert found.dtype == np.bool_
    assert found.sum() == 20 * 60
    assert found[20:40, 30:90].all()
