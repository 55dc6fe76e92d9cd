"""Features in our order, through networks that want them channels last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fcmrt.tasks.channels_last import run_back, run_front

NAMES = ("fine", "coarse")
CUT = ("conv_1", "conv_2")


class Front:
    """Gives the pixels themselves and every second of them, channels last."""

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="image")]

    def run(self, wanted: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert tuple(wanted) == CUT
        image = feed["image"]
        assert image.shape[0] == 1
        assert image.flags.c_contiguous
        return [image, image[:, ::2, ::2]]


class Back:
    """Gives its inputs, and their sums over all but the picture."""

    def run(self, wanted: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        maps = [feed[name] for name in CUT]
        assert all(m.flags.c_contiguous for m in maps)
        return [*maps, np.array([sum(float(m.sum()) for m in maps)], np.float32)]


def test_features_come_channels_first_and_go_back_channels_last() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    features = run_front(Front(), CUT, NAMES, x)
    assert list(features) == list(NAMES)
    np.testing.assert_array_equal(features["fine"], x)
    np.testing.assert_array_equal(features["coarse"], x[:, :, ::2, ::2])
    assert all(level.flags.c_contiguous for level in features.values())
    fine, coarse, sums = run_back(Back(), CUT, NAMES, features)
    np.testing.assert_array_equal(fine, x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(coarse, x[:, :, ::2, ::2].transpose(0, 2, 3, 1))
    assert sums.shape == (2,)
