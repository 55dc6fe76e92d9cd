"""Checkpoints in others' key layouts: what they are called, and small ones with known results.

`tests/golden/layouts` has names and shapes of the published sizes; `tests/golden/checkpoints` small
seeded codecs, what goes into them and what comes out. Both were made by the authors' model
definitions over CompressAI 1.2.8, with the names of its priors that older releases had.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fcmrt.export.foreign_state import Names, foreign_key

_GOLDEN = Path(__file__).parents[1] / "golden"

Shape = tuple[int, ...]


def _shape(text: str) -> Shape:
    return tuple(int(side) for side in text.split("x"))


def layout(name: str) -> dict[str, Shape]:
    """Shapes by key of a checkpoint of the published sizes."""
    lines = (_GOLDEN / "layouts" / f"{name}.txt").read_text("utf-8").splitlines()
    return {key: _shape(shape) for key, shape in (line.split() for line in lines)}


def expected_layout(
    module: nn.Module, names: Names, found: dict[str, Shape], derived: re.Pattern[str]
) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Names and shapes that a module asks for, and those of a layout that are no constants."""
    ours = {foreign_key(module, key, names): tuple(p.shape) for key, p in module.named_parameters()}
    return ours, {key: shape for key, shape in found.items() if not derived.search(key)}


class GoldenCheckpoint:
    """A small codec in its authors' layout, with what it computes."""

    def __init__(self, name: str) -> None:
        with np.load(_GOLDEN / "checkpoints" / f"{name}.npz") as file:
            self.arrays: dict[str, npt.NDArray[Any]] = dict(file)
        self.state: dict[str, Tensor] = {}
        values = torch.from_numpy(self.arrays["values"].astype(np.float32))
        for line in str(self.arrays["keys"]).splitlines():
            key, text = line.split()
            shape = _shape(text)
            count = int(np.prod(shape))
            self.state[key], values = values[:count].reshape(shape), values[count:]
        assert not len(values)

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name].astype(np.float32))

    def levels(self, name: str) -> list[Tensor]:
        """Arrays `name0`, `name1`, ... as float32 tensors."""
        return [self[f"{name}{i}"] for i in range(4) if f"{name}{i}" in self.arrays]
