"""Runs cut networks whose maps are `[N, H, W, C]`, on features that are `[N, C, H, W]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]


def run_front(
    front: Any, cut: Sequence[str], names: Sequence[str], x: Float32
) -> dict[str, Float32]:
    """Runs a front half, picture by picture.

    Args:
        front: Session whose one input is `[1, H, W, 3]`.
        cut: Names of its outputs, finest first.
        names: Names of the features that they become.
        x: float32 `[N, 3, H, W]`.

    Returns:
        float32 `[N, C, H, W]` by name, owned.
    """
    source = front.get_inputs()[0].name
    pixels = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    rows = [front.run(cut, {source: pixels[i : i + 1]}) for i in range(len(x))]
    return {
        name: np.ascontiguousarray(
            np.concatenate([row[level] for row in rows]).transpose(0, 3, 1, 2)
        )
        for level, name in enumerate(names)
    }


def run_back(
    back: Any, cut: Sequence[str], names: Sequence[str], features: Mapping[str, Float32]
) -> list[Float32]:
    """Runs a back half, picture by picture.

    Args:
        back: Session.
        cut: Names of its inputs, finest first.
        names: Their names in `features`.
        features: float32 `[N, C, H, W]` by name.

    Returns:
        Its outputs, each float32 `[N, ...]`, owned.
    """
    maps = [
        np.ascontiguousarray(np.asarray(features[name], np.float32).transpose(0, 2, 3, 1))
        for name in names
    ]
    rows = [
        back.run(None, {level: m[i : i + 1] for level, m in zip(cut, maps, strict=True)})
        for i in range(len(maps[0]))
    ]
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]
