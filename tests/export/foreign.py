"""Checkpoints in others' key layouts: what they are called.

`tests/golden/layouts` has names and shapes of the published sizes, as the authors' model
definitions over CompressAI 1.2.8 have them, with the names of its priors that older releases had.
"""

from __future__ import annotations

import re

from torch import nn

from benchmarks.golden_checkpoint import GOLDEN, read_shape
from fcmrt.export.foreign_state import Names, foreign_key

Shape = tuple[int, ...]


def layout(name: str) -> dict[str, Shape]:
    """Shapes by key of a checkpoint of the published sizes."""
    lines = (GOLDEN / "layouts" / f"{name}.txt").read_text("utf-8").splitlines()
    return {key: read_shape(shape) for key, shape in (line.split() for line in lines)}


def expected_layout(
    module: nn.Module, names: Names, found: dict[str, Shape], derived: re.Pattern[str]
) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Names and shapes that a module asks for, and those of a layout that are no constants."""
    ours = {foreign_key(module, key, names): tuple(p.shape) for key, p in module.named_parameters()}
    return ours, {key: shape for key, shape in found.items() if not derived.search(key)}
