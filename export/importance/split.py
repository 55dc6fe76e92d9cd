"""Which crops a predictor is trained on, and which it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HELD_BACK = 5
"""One crop in so many, about, is kept back."""


@dataclass(frozen=True, slots=True)
class Split:
    """Places of crops: those that are trained on, and those that are kept back."""

    trained: NDArray[np.int64]
    held: NDArray[np.int64]
    pictures: int | None
    """How many pictures the kept ones show, which no other shows; None: they may show the same."""

    @property
    def words(self) -> str:
        """Says in words what was kept back."""
        if self.pictures is None:
            return f"{len(self.held)} crops, of the same photos as those that were trained on"
        return f"{len(self.held)} crops, of {self.pictures} pictures that were not trained on"


def split_of(shown: Sequence[Sequence[str]] | None, count: int, seed: int) -> Split:
    """Keeps about one crop in five back.

    Args:
        shown: Names of the pictures that each crop shows. Pictures are kept back whole, in an order
            that is drawn; crops that show both kinds are left out. None: that is not known, and
            every fifth crop is kept back.
        count: Number of crops.
        seed: Of the order.

    Raises:
        ValueError: Pictures are so few that none can be kept back.
    """
    places = np.arange(count)
    if shown is None:
        held = places % HELD_BACK == 0
        return Split(places[~held], places[held], None)
    crops_of: dict[str, int] = {}
    for names in shown:
        for name in set(names):
            crops_of[name] = crops_of.get(name, 0) + 1
    kept: set[str] = set()
    room = count / HELD_BACK
    for name in np.random.default_rng([seed, 6]).permutation(sorted(crops_of)):
        if crops_of[name] <= room:  # a clip, which has very many crops, may have to stay
            kept.add(str(name))
            room -= crops_of[name]
    inside = np.array([len(kept.intersection(names)) / len(set(names)) for names in shown])
    split = Split(places[inside == 0], places[inside == 1], len(kept))
    if not (len(split.trained) and len(split.held)):
        raise ValueError(f"{len(crops_of)} pictures are too few to keep some back")
    return split
