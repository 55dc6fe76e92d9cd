"""Codecs of pictures as codecs of features: a mosaic for each level, and one codec for them all."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fcmrt.errors import ExportError

from .deployment import Deployment
from .families import find_family
from .levels_deploy import side_by_side
from .mosaic import Layout, Range, deploy_mosaic, measured_range

PICTURES = 64
"""How many pictures of a file of features are read to measure ranges."""


def deploy_mosaics(
    picture: Deployment,
    ranges: Mapping[str, Range],
    strides: Sequence[int],
    *,
    bits: int | None = 8,
) -> Deployment:
    """Returns how a codec of pictures codes all levels, each in the least mosaic that holds it.

    Args:
        picture: As for `deploy_mosaic`.
        ranges: Least and greatest value of each channel, by level, finest first.
        strides: Side of a cell of each level, in cells of the finest.
        bits: As for `Tile`.

    Raises:
        ValueError: As `deploy_mosaic`.
    """
    levels = [
        deploy_mosaic(picture, name, Layout.square(len(low)), low, high, bits=bits)
        for name, (low, high) in ranges.items()
    ]
    return side_by_side(levels, strides) if len(levels) > 1 else levels[0]


def deploy(
    checkpoint: Mapping[str, Any],
    /,
    *,
    picture: str | None = None,
    features: str | None = None,
    level_names: Sequence[str] | None = None,
    bits: int | None = 8,
    **options: Any,
) -> Deployment:
    """Returns how the codec of pictures of a checkpoint is run on features.

    Args:
        checkpoint: Of the codec of pictures, as `read_checkpoint` gives it.
        picture: Its name, as `find_family` takes it.
        features: File of features of training pictures, whose ranges the mosaics get: an .npz with
            a batch `[N, C, H, W]` of each level, or a folder with one LEVEL.npy each.
        level_names: Names of the feature levels, finest first; None: all that the file has.
        bits: Of the samples of the mosaics; None: they are not rounded.
        **options: Of the codec of pictures.

    Raises:
        ExportError: As the family of that name; or it is no codec of pictures, the mosaics do not
            fit its strides, or the features cannot be read.
    """
    if picture is None or features is None:
        raise ExportError(
            "a mosaic needs the name of its codec of pictures and features whose ranges it gets: "
            "--option 'picture=\"elic2022-official\"' --option 'features=\"features.npz\"'"
        )
    maps = _read(Path(features), level_names)
    strides = _strides({name: array.shape[2:] for name, array in maps.items()})
    ranges = {
        name: measured_range([torch.from_numpy(np.asarray(array[:PICTURES], np.float32))])
        for name, array in maps.items()
    }
    for name, (low, high) in ranges.items():
        if not (low.isfinite() & high.isfinite()).all():
            raise ExportError(f"{features}: level {name!r} holds NaN or infinity")
    try:
        return deploy_mosaics(
            find_family(picture)(checkpoint, **options), ranges, strides, bits=bits
        )
    except ValueError as error:
        raise ExportError(f"{picture} as mosaics of {', '.join(maps)}: {error}") from error


def _strides(sizes: Mapping[str, tuple[int, ...]]) -> list[int]:
    """Returns the sides of the levels' cells, in cells of the first, from the sizes of their maps.

    If a level has few cells, several strides may give its size: then a power of two is preferred.
    """
    finest, *_ = sizes.values()
    strides = []
    for name, size in sizes.items():
        fits = [
            stride
            for stride in range(1, max(finest) + 1)
            if all(-(-side // stride) == own for side, own in zip(finest, size, strict=True))
        ]
        if not fits:
            raise ExportError(
                f"level {name!r} has maps of {list(size)}, which no whole stride makes of "
                f"{list(finest)}; sides of coarser levels are rounded up"
            )
        strides.append(next((s for s in fits if s & (s - 1) == 0), fits[0]))
    return strides


def _read(path: Path, names: Sequence[str] | None) -> dict[str, npt.NDArray[Any]]:
    """Maps `[N, C, H, W]` by level, finest first."""
    try:
        if path.is_dir():
            arrays = {f.stem: np.load(f, mmap_mode="r") for f in sorted(path.glob("*.npy"))}
        else:
            with np.load(path) as file:
                arrays = dict(file)
    except (OSError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path} holds no features: {error}") from error
    chosen = {n: arrays[n] for n in names or arrays if n in arrays and arrays[n].ndim == 4}
    if not chosen or len(chosen) < len(names or ()):
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ExportError(
            f"{path} holds {found or 'nothing'}; wanted is a batch [N, C, H, W] of "
            f"{', '.join(names) if names else 'each level'}"
        )
    if names is None:
        chosen = dict(sorted(chosen.items(), key=lambda item: -item[1].shape[2]))
    return chosen
