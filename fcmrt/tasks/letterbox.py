"""A picture in the square input of a network: letterboxed at the top left.

Importing this module needs numpy only; Pillow is imported when a picture is resized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]


def letterbox_square(
    image: NDArray[np.uint8], side: int, normalise: Callable[[NDArray[np.uint8]], Float32]
) -> tuple[Float32, float]:
    """Fit a picture into a network's square input, at the top left, padded with zeros.

    Args:
        image: uint8 `[H, W, 3]`, RGB; borrowed until the call returns.
        side: Height and width of the input, in pixels.
        normalise: Turns pixels (uint8 `[h, w, 3]`, RGB) into what the network wants (float32
            `[1, 3, h, w]`); the padding is 0 behind it.

    Returns:
        The input (float32 `[1, 3, side, side]`; owned) and the scale from pixels of the picture
        to pixels of the input.
    """
    from PIL import Image

    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    x = np.zeros((1, 3, side, side), np.float32)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    x[:, :, : size[1], : size[0]] = normalise(np.asarray(resized))
    return x, scale
