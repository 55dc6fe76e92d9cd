"""What an engine knows of its levels' importance, and its JSON form in the manifest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import strictjson as sj
from .errors import EngineError
from .loss_rate import LossRate

OUTPUT = "importance"
"""Name of the output of the graph that predicts importances."""

_MAX_POINTS = 256
_MAX_LEVELS = 64
_MAX_STEP = 1 << 12


@dataclass(frozen=True, slots=True)
class LevelModel:
    """What coding one level costs and saves, on average over training pictures."""

    alpha: float
    """Factor of the loss-rate model (`fcmrt.loss_rate`), for rates in bits per element."""
    beta: float
    """Exponent of the loss-rate model."""
    fit: float
    """How well the model fits: the share of the losses' variance that it explains, at most 1."""
    losses: tuple[float, ...]
    """What the task loses by this level at each step, when all levels are coded; never decreasing.
    Only differences between steps count."""
    rates: tuple[float, ...]
    """Bits per element of the level at each step; strictly decreasing."""

    @property
    def loss_rate(self) -> LossRate:
        """The closed form's model."""
        return LossRate(self.alpha, self.beta)


@dataclass(frozen=True, slots=True)
class ImportanceModel:
    """What decides how many bits each level of a picture gets."""

    graph: str
    """Name of the graph that predicts importances: from all features, padded, to "importance",
    float32 `[1, levels, h, w]` of any height and width. The mean of a plane's exponentials is the
    importance of a level: 1 is that of training pictures, on average."""
    steps: tuple[int, ...]
    """Step numbers that were measured, increasing. Levels get steps within their range, before
    regions and offsets are added."""
    spread: int
    """The most steps by which a level may differ from the picture's mean."""
    levels: Mapping[str, LevelModel]
    """By name of the quality group (`fcmrt.groups`), finest first."""


def parse_importance(value: Any, place: str) -> ImportanceModel:
    """Reads `manifest.importance`; EngineError where it does not hold."""
    found = sj.fields(value, place, ("graph", "steps", "spread", "levels"))
    steps = sj.array(found["steps"], f"{place}.steps", 2, _MAX_POINTS)
    last = -_MAX_STEP - 1
    for i, step in enumerate(steps):
        last = sj.integer(step, f"{place}.steps[{i}]", last + 1, _MAX_STEP)
    levels = sj.mapping(found["levels"], f"{place}.levels")
    if not 1 <= len(levels) <= _MAX_LEVELS:
        raise EngineError(f"{place}.levels has {len(levels)} entries; it must have 1 to 64")
    return ImportanceModel(
        sj.name(found["graph"], f"{place}.graph"),
        tuple(steps),
        sj.integer(found["spread"], f"{place}.spread", 0, _MAX_STEP),
        {k: _level(v, f"{place}.levels.{k[:80]}", len(steps)) for k, v in levels.items()},
    )


def importance_value(model: ImportanceModel) -> dict[str, Any]:
    """Returns the JSON value of a model, as `parse_importance` reads it."""
    return asdict(model)


def _level(value: Any, place: str, points: int) -> LevelModel:
    found = sj.fields(value, place, ("alpha", "beta", "fit", "losses", "rates"))
    alpha, beta, fit = (_number(found[key], f"{place}.{key}") for key in ("alpha", "beta", "fit"))
    if alpha <= 0 or beta >= 0 or fit > 1:
        raise EngineError(f"{place}: alpha must be above 0, beta below 0, and fit at most 1")
    losses = _curve(found["losses"], f"{place}.losses", points)
    rates = _curve(found["rates"], f"{place}.rates", points)
    if any(a > b for a, b in itertools.pairwise(losses)):
        raise EngineError(f"{place}.losses decreases; a coarser step never loses less")
    if any(a <= b for a, b in itertools.pairwise(rates)):
        raise EngineError(f"{place}.rates does not decrease; a coarser step takes fewer bits")
    return LevelModel(alpha, beta, fit, losses, rates)


def _curve(value: Any, place: str, points: int) -> tuple[float, ...]:
    numbers = sj.array(value, place, points, points)
    curve = tuple(_number(number, f"{place}[{i}]") for i, number in enumerate(numbers))
    if min(curve) <= 0:
        raise EngineError(f"{place} has a number that is not above 0")
    return curve


def _number(value: Any, place: str) -> float:
    number = sj.real(value, place)
    if abs(number) > 1e12 or 0 < abs(number) < 1e-12:
        raise EngineError(f"{place} is {number}; its size must be within 1e-12 and 1e12")
    return number
