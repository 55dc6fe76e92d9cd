"""Weights of earlier runs: for export, and to start other runs from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from fcmrt.export.checkpoint import read_checkpoint
from fcmrt.export.codec import FeatureCodec
from fcmrt.export.trained import codec_of


def load_codec(path: Path) -> FeatureCodec:
    """Loads the codec of a checkpoint, with its averaged weights, ready for export.

    Args:
        path: `checkpoint.pt` of a training run, or what `slim` made of it.
    """
    return codec_of(read_checkpoint(path))


def levels_that_fit(weights: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Picks the weights of the levels that have the same sizes in both, by the level's number.

    Args:
        weights: State of a `LevelCodecs`; borrowed.
        own: State of the codec that takes them.

    Returns:
        A part of `weights`, shared.

    Raises:
        ValueError: No level's sizes are the same.
    """

    def by_level(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        levels: dict[str, dict[str, Tensor]] = {}
        for name, weight in state.items():
            levels.setdefault(name.split(".")[1], {})[name] = weight
        return levels

    theirs = by_level(weights)
    fitting: dict[str, Tensor] = {}
    for level, ours in by_level(own).items():
        given = theirs.get(level, {})
        if {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in ours.items()}:
            fitting |= given
    if not fitting:
        raise ValueError("no level of the checkpoint has the sizes of this codec's")
    return fitting
