"""Pictures: those that come with the package, and any that Pillow reads."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from PIL import Image

SHIPPED = ("dog.jpg", "person.jpg", "basketball.jpg", "table.jpg")

_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values for pictures stored lying on their side


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture, decoded."""

    name: str
    """The file's name, for captions."""
    pixels: npt.NDArray[np.uint8]
    """uint8 [H, W, 3], RGB."""
    file_bytes: int
    """Size of the file it came from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def read_photo(path: str | Path) -> Photo:
    """Reads a picture file, and turns it upright as its EXIF data say.

    Raises:
        OSError: The file cannot be read.
        ConfigError: Pillow does not know the format or refuses the size, or the picture's numbers
            have no known range.
        BackendUnavailableError: Pillow is not installed.
    """
    return _decode(str(path), Path(path).read_bytes())


def shipped_photo(name: str) -> Photo:
    """Reads one of the photos in `SHIPPED`."""
    return _decode(name, (resources.files("fcmrt") / "assets" / "photos" / name).read_bytes())


def picture_size(path: str | Path) -> tuple[int, int]:
    """Returns the height and width of a picture file, upright, without decoding its pixels.

    Raises:
        As `read_photo`.
    """
    with _opened(str(path), Path(path).read_bytes()) as picture:
        width, height = picture.size
        sideways = picture.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
    return (width, height) if sideways else (height, width)


def _decode(path: str, data: bytes) -> Photo:
    with _opened(path, data) as picture:
        from PIL import ImageOps

        pixels = _pixels(path, ImageOps.exif_transpose(picture))
    return Photo(Path(path).name, pixels, len(data))


def _pixels(path: str, picture: Image.Image) -> npt.NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):
        # Pillow would clip everything above 255.
        grey = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, 2)
    if picture.mode in ("I", "F"):
        raise ConfigError(
            f"{path}: the picture's numbers have no known range (Pillow's mode {picture.mode}); "
            "convert it to 8 bits"
        )
    return np.array(picture.convert("RGB"), np.uint8)


@contextlib.contextmanager
def _opened(path: str, data: bytes) -> Iterator[Image.Image]:
    """Opens a picture; whatever Pillow raises until it is closed becomes a `ConfigError`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendUnavailableError("pictures need Pillow: pip install 'fcmrt[demo]'") from error
    try:
        with Image.open(io.BytesIO(data)) as picture:
            yield picture
    except Image.UnidentifiedImageError as error:
        raise ConfigError(f"{path}: not a picture, or of a format that Pillow lacks") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: the picture cannot be read: {error}") from error
