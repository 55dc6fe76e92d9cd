"""Small codecs in their authors' layouts, made by the authors' model definitions.

`tests/golden/checkpoints` holds seeded weights, what goes into them and what comes out, as the
definitions gave them over CompressAI 1.2.8, with the names of its priors that older releases had.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"


def read_shape(text: str) -> tuple[int, ...]:
    """Read a shape such as `64x3x5x5`."""
    return tuple(int(side) for side in text.split("x"))


class GoldenCheckpoint:
    """A small codec in its authors' layout, with what it computes.

    Args:
        name: Of its file, without the suffix.
    """

    def __init__(self, name: str) -> None:
        with np.load(GOLDEN / "checkpoints" / f"{name}.npz") as file:
            self.arrays: dict[str, NDArray[Any]] = dict(file)
        self.state: dict[str, Tensor] = {}
        values = torch.from_numpy(self.arrays["values"].astype(np.float32))
        for line in str(self.arrays["keys"]).splitlines():
            key, text = line.split()
            shape = read_shape(text)
            count = int(np.prod(shape))
            self.state[key], values = values[:count].reshape(shape), values[count:]
        assert not len(values)

    def __getitem__(self, name: str) -> Tensor:
        """Give an array as a float32 tensor."""
        return torch.from_numpy(self.arrays[name].astype(np.float32))

    def levels(self, name: str) -> list[Tensor]:
        """Give arrays `name0`, `name1`, ... as float32 tensors."""
        return [self[f"{name}{i}"] for i in range(4) if f"{name}{i}" in self.arrays]
