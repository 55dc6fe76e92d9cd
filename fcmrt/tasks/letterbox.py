"""Fits pictures into the square input of a network, at the top left.

Importing this module needs only numpy; Pillow is imported when a picture is resized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]


def fit(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """Resizes a picture so that it just fits into a square.

    Args:
        image: uint8 `[H, W, 3]`, RGB; borrowed until the call returns.
        side: Height and width of the square, in pixels.

    Returns:
        uint8 `[h, w, 3]`, RGB, the longer of both `side` (owned), and the scale from pixels of
        the picture to pixels of the square.
    """
    from PIL import Image

    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)), scale


def letterbox_square(
    image: NDArray[np.uint8], side: int, normalise: Callable[[NDArray[np.uint8]], Float32]
) -> tuple[Float32, float]:
    """Fits a picture into a network's square input, at the top left, padded with zeros.

    Args:
        image: uint8 `[H, W, 3]`, RGB; borrowed until the call returns.
        side: Height and width of the input, in pixels.
        normalise: Turns pixels (uint8 `[h, w, 3]`, RGB) into what the network takes (float32
            `[1, 3, h, w]`); the padding is 0 after this.

    Returns:
        The input (float32 `[1, 3, side, side]`; owned) and the scale from pixels of the picture
        to pixels of the input.
    """
    resized, scale = fit(image, side)
    x = np.zeros((1, 3, side, side), np.float32)
    x[:, :, : resized.shape[0], : resized.shape[1]] = normalise(resized)
    return x, scale
