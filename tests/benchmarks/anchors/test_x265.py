"""Pictures through x265: sizes, depths and errors that follow the QP."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.anchors import x265
from benchmarks.anchors.features_in_x265 import FeaturesInX265
from benchmarks.anchors.packing import RANGE_BYTES

pytest.importorskip("av")


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    wave = (
        np.sin(x / 7) + np.cos(y / 5) + 0.2 * np.random.default_rng(0).normal(size=(height, width))
    )
    return np.clip(512 + 180 * wave, 0, 1023).astype(np.uint16)


@pytest.mark.parametrize("size", [(64, 96), (50, 70), (546, 64), (33, 37)])
def test_ten_bits_of_any_size_come_back(size: tuple[int, int]) -> None:
    plane = smooth(*size)
    decoded = x265.decode_plane(x265.encode_plane(plane, "ultrafast", 0))
    assert decoded.shape == plane.shape
    assert decoded.max() > 255
    assert np.abs(decoded.astype(int) - plane.astype(int)).mean() < 2


@pytest.mark.parametrize("preset", ["ultrafast", "medium", "slow"])
def test_a_larger_qp_takes_fewer_bytes_and_errs_more(preset: x265.Preset) -> None:
    plane = smooth(96, 128)
    stills = [x265.encode_plane(plane, preset, qp) for qp in (10, 25, 40, 51)]
    errors = [
        float(np.square(x265.decode_plane(still).astype(float) - plane).mean()) for still in stills
    ]
    sizes = [len(still.data) for still in stills]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[0] > 10 * sizes[-1]


def test_pictures_have_the_qp_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """x265's own default takes 3 less for an intra picture than it is told."""
    plane = smooth(96, 128)
    sizes = [len(x265.encode_plane(plane, "medium", qp).data) for qp in (27, 48)]
    assert len(x265.encode_plane(plane, "medium", 51).data) < sizes[1]
    monkeypatch.setattr(x265, "PARAMETERS", x265.PARAMETERS.replace("ipratio=1:", ""))
    assert [len(x265.encode_plane(plane, "medium", qp).data) for qp in (30, 51)] == sizes


def test_the_same_picture_gives_the_same_bytes() -> None:
    plane = smooth(96, 128)
    assert x265.encode_plane(plane, "medium", 30) == x265.encode_plane(plane, "medium", 30)


def test_parameter_sets_are_the_same_for_every_picture() -> None:
    plane = smooth(96, 128)
    one, other = (x265.encode_plane(p, "medium", 30) for p in (plane, 1023 - plane))
    assert one.head == other.head
    assert one.data != other.data


def test_features_count_their_ranges() -> None:
    rng = np.random.default_rng(0)
    given = {
        "p3": rng.normal(0, 1, (16, 16, 16)).astype(np.float32),
        "p4": rng.normal(2, 9, (16, 8, 8)).astype(np.float32),
    }
    coder = FeaturesInX265("ultrafast", 4)
    packed = coder.encode(given)
    size, decoded = coder.round_trip(given)
    assert size == packed.size == len(packed.still.data) + 2 * RANGE_BYTES
    for name, values in given.items():
        error = np.square(decoded[name] - values).mean() / values.var()
        assert error < 1e-3
    assert coder.label == 4
