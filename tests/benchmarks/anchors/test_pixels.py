"""Pixels through x265 and AVIF."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.anchors.pixels import PixelsInAvif, PixelsInX265, media_bytes


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([120 + 100 * np.sin(x / 9), 2 * y % 256, 90 + 0 * x], -1).astype(np.uint8)


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


CODERS = {
    "x265": [PixelsInX265("ultrafast", qp) for qp in (8, 25, 45)],
    "avif": [PixelsInAvif(quality) for quality in (95, 50, 5)],
}


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("size", [(64, 96), (63, 97)])
def test_pictures_come_back(name: str, size: tuple[int, int]) -> None:
    given = picture(*size)
    sizes, errors = [], []
    for coder in CODERS[name]:
        count, decoded = coder.round_trip(given)
        assert decoded.shape == given.shape
        assert decoded.dtype == np.uint8
        sizes.append(count)
        errors.append(error(given, decoded))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert errors[0] < 6


def test_only_the_coded_picture_of_a_file_counts() -> None:
    coder = PixelsInAvif(50)
    given = picture(64, 96)
    data = coder.encode(given)
    count, decoded = coder.round_trip(given)
    assert count == media_bytes(data)
    assert 100 < len(data) - count < 1000  # the boxes around it
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image.convert("RGB")) == decoded).all()


def test_boxes_are_walked() -> None:
    def box(name: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + name + content

    data = box(b"ftyp", b"mdat") + box(b"mdat", b"12345") + box(b"free", b"") + box(b"mdat", b"1")
    assert media_bytes(data) == 6
    for broken in (data[:-1], b"\0\0\0\1mdat12345678"):
        with pytest.raises(ValueError, match="box of"):
            media_bytes(broken)
