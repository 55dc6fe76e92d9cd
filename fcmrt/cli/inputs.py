"""What the commands read: engines and features."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, EngineError, ShapeError

if TYPE_CHECKING:
    from ..engine import Engine


def add_engine_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--engine`."""
    parser.add_argument(
        "--engine", metavar="FILE", help="engine file (default: the one that comes with fcmrt)"
    )


def add_engine_operand(parser: argparse.ArgumentParser) -> None:
    """Adds `ENGINE`, which may be left out."""
    parser.add_argument(
        "engine",
        metavar="ENGINE",
        nargs="?",
        help="engine file (default: the one that comes with fcmrt)",
    )


def load_engine(path: str | Path | None, file: BinaryIO | None = None) -> Engine:
    """Loads an engine file, or the built-in engine for None.

    Args:
        path: The file.
        file: The same, open already; None: it is opened.

    Raises:
        EngineError: As `Engine.load`, with the path in front.
        OSError: The file cannot be read.
    """
    from ..engine import Engine

    if path is None:
        return Engine.builtin()
    try:
        return Engine.load(file or path)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error


def is_array_file(path: Path) -> bool:
    """Returns whether a file has the suffix of a NumPy file."""
    return path.suffix.lower() in (".npy", ".npz")


def read_features(path: Path, levels: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Reads one picture's or one batch's features.

    Args:
        path: An .npz with one array per level, or, for engines with one level, an .npy.
        levels: Names of the engine's feature levels.

    Raises:
        ConfigError: It is not such a file, or its names are not the engine's.
        ShapeError: An array is neither one picture's nor a batch's.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = dict.fromkeys(levels[:1], loaded)
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a NumPy file, or has pickles in it: {error}") from error
    if set(arrays) != set(levels):
        raise ConfigError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}"
            f"{' (one unnamed array)' if path.suffix.lower() == '.npy' else ''}; "
            f"this engine takes {', '.join(levels)}, one array each in an .npz"
        )
    for name, array in arrays.items():
        if array.ndim not in (3, 4):
            raise ShapeError(
                f"{path}: {name} has shape {list(array.shape)}; it must be [C, H, W], or "
                "[N, C, H, W] for a batch"
            )
    return arrays


def read_pictures(
    path: Path, levels: Sequence[str], count: int
) -> list[list[npt.NDArray[np.float32]]]:
    """Reads the features of the first pictures of a batch.

    Args:
        path: As for `read_features`, with a batch; or a folder with one LEVEL.npy for each level,
            `[N, C, H, W]`, read no further than needed.
        levels: Names of the feature levels.
        count: How many pictures at most; at least 1.

    Returns:
        The levels of each picture, float32 `[1, C, H, W]`.

    Raises:
        ConfigError: As `read_features`; or a level is missing in the folder, `count` is below 1, or
            a feature is NaN or infinity.
        ShapeError: It is no batch, or levels have different numbers of pictures.
    """
    if count < 1:
        raise ConfigError(f"{count} pictures are too few; at least 1 is needed")
    if path.is_dir():
        try:
            arrays = {
                name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in levels
            }
        except (FileNotFoundError, ValueError) as error:
            raise ConfigError(
                f"{path} must hold {', '.join(f'{name}.npy' for name in levels)}: {error}"
            ) from error
    else:
        arrays = read_features(path, levels)
    sizes = {array.shape[0] if array.ndim == 4 else 0 for array in arrays.values()}
    if len(sizes) != 1 or 0 in sizes:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ShapeError(f"{path} holds {shapes}; they must be batches [N, C, H, W] of the same N")
    pictures = [
        [np.asarray(array[n : n + 1], np.float32) for array in arrays.values()]
        for n in range(min(count, *sizes))
    ]
    for n, picture in enumerate(pictures):
        for name, level in zip(arrays, picture, strict=True):
            if not np.isfinite(level).all():
                raise ConfigError(f"{path}: {name} of picture {n} holds NaN or infinity")
    return pictures
