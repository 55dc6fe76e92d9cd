"""Finds the step of each level of a picture, from how much the task needs the level.

The loss of level `i` at step number `d` is `e_i loss_i(d)`: `loss_i` is the engine's curve, the
mean over training pictures, and `e_i` the importance of the level in this picture. The level's rate
follows the engine's curve of rates, shifted along the steps so that it passes through the rate that
was measured. The steps are those that minimise

    sum_i e_i loss_i(d_i) + trade * sum_i share_i rate_i(d_i)

where rates are in bits per element, and a level's share is its part of all elements.

This is the allocation of MFIBA (arXiv 2503.19278), but with losses as functions of the step, which
fit measurements better than a power of the rate; `fcmrt.loss_rate` has the original's closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .arguments import real
from .bitstream import Regions
from .errors import ConfigError, EngineError
from .executor import Executor
from .groups import Group, quality_groups
from .importance_map import FURTHEST, Nearby, find_regions
from .importance_model import OUTPUT, ImportanceModel
from .spec import Size, tensor_size
from .walk import Walk

Float64 = npt.NDArray[np.float64]

_PER_STEP = 4  # steps are tried in quarters
_HALVINGS = 60
_LEAST_TRADE, _MOST_TRADE = -60.0, 20.0  # logarithms
_MOST_LOG = 20.0  # greatest logarithm of a cell's importance; beyond it a prediction is a fault


class Taken(NamedTuple):
    """What a picture takes at one step everywhere, and at other steps by prediction."""

    bits: float
    """Ideal bits of all levels under the engine's tables."""
    elements: int
    """Number of elements in all padded levels."""
    log_rates: Float64
    """Logarithms of bits per element at all steps that are tried, `[levels, steps]`: the engine's
    curves, shifted to pass through the measured rates."""
    padded: Size
    """Size of the padded finest level, in cells."""


class Allocator:
    """Shares bits out over the levels of pictures, for one engine.

    Its methods borrow walks: pictures at one step everywhere, with all their integers.

    Args:
        executor: The engine, ready to run.

    Raises:
        ConfigError: The engine has no importance model.
    """

    def __init__(self, executor: Executor) -> None:
        manifest = executor.manifest
        if manifest.importance is None:
            raise ConfigError(
                f"engine {manifest.name!r} has no importance model; export it with --importance, "
                "or give level_offsets"
            )
        self._executor = executor
        self._model: ImportanceModel = manifest.importance
        self._groups = quality_groups(manifest)
        first, last = self._model.steps[0], self._model.steps[-1]
        self._steps = np.linspace(first, last, (last - first) * _PER_STEP + 1)
        levels = self._model.levels.values()
        self._losses = np.exp(np.stack([self._curve(level.losses) for level in levels]))
        self._log_rates = np.stack([self._curve(level.rates) for level in levels])
        quality = manifest.quality
        self.first_step = quality.levels[quality.default - 1]
        """The step to quantise a picture at first, to measure its rates."""
        cells = {f.name: f.channels / f.stride**2 for f in manifest.features}
        elements = [sum(cells[name] for name in _levels(group)) for group in self._groups]
        self._shares = np.array(elements) / sum(elements)
        self._trades: dict[int, float] = {}  # by step number

    def _curve(self, values: Sequence[float]) -> Float64:
        """Returns the logarithms of a measured curve at all steps that are tried."""
        return np.interp(self._steps, self._model.steps, np.log(values))

    def predicted(self, walk: Walk) -> Float64:
        """Predicts the importances of a picture's levels: float64 `[levels]`, 1 on average.

        Raises:
            EngineError: As `predicted_map`.
        """
        return np.asarray(self.predicted_map(walk).mean((1, 2)))

    def predicted_map(self, walk: Walk) -> Float64:
        """Predicts the importances of a picture's parts: float64 `[levels, h, w]`, above 0.

        The mean of a level is its importance.

        Raises:
            EngineError: The graph's output is not as the manifest says.
        """
        features = {f.name: walk.tensors[f.name] for f in walk.manifest.features}
        (found,) = self._executor.run(self._model.graph, features, [OUTPUT])
        shape = found.shape
        if found.dtype != np.float32 or len(shape) != 4 or shape[1] != len(self._groups):
            raise EngineError(f"the predicted importance is {found.dtype} {list(shape)}")
        cells = found[0].astype(np.float64)
        if not (cells.size and np.isfinite(cells).all()):
            raise EngineError("the predicted importance is not finite")
        return np.asarray(np.exp(np.clip(cells, -_MOST_LOG, _MOST_LOG)))

    def by_level(self, importances: Float64) -> dict[str, float]:
        """Returns importances by the name of their level."""
        names = (group.name for group in self._groups)
        return dict(zip(names, map(float, importances), strict=True))

    def weighted(self, weights: Mapping[str, float]) -> Float64:
        """Turns weights by level, of which only the ratios count, into importances.

        Raises:
            ConfigError: There is not one weight above 0 for each level.
        """
        names = [group.name for group in self._groups]
        if set(weights) != set(names):
            raise ConfigError(f"give a weight for each level: {', '.join(names)}")
        found = np.array([real(weights[name], f"the weight of {name!r}") for name in names])
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise ConfigError("weights of levels must be above 0")
        return np.asarray(found * len(found) / found.sum())

    def measured(self, walk: Walk) -> Taken:
        """Measures a picture's bits, and shifts the curves of rates to pass through them."""
        bits, elements, rates = 0.0, 0, []
        for group, curve in zip(self._groups, self._log_rates, strict=True):
            own_bits, own_elements = self._bits(walk, group), _elements(walk, group)
            log_rate = math.log(max(own_bits, 1.0) / own_elements)
            place = _along(np.array([log_rate]), curve[::-1], self._steps[::-1])
            rates.append(_along(self._steps - walk.d + place, self._steps, curve))
            bits, elements = bits + own_bits, elements + own_elements
        return Taken(bits, elements, np.stack(rates), walk.padded)

    def steps_at(self, taken: Taken, importances: Float64, d: int) -> Float64:
        """Finds the steps at the price of bits that goes with a step number.

        The price is the one at which a picture of mean importances, with the mean curves, takes as
        many bits as with step `d` on all levels.

        Args:
            taken: What the picture takes.
            importances: Importances of its levels, `[levels]`.
            d: The step number.

        Returns:
            float64 `[levels]`, not rounded.
        """
        if d not in self._trades:
            near = int(np.argmin(np.abs(self._steps - d)))
            rate = float(self._shares @ np.exp(self._log_rates[:, near]))
            self._trades[d] = self._trade(self._losses, self._log_rates, rate)
        return self._cheapest(self._scaled(importances), taken.log_rates, self._trades[d])

    def steps_within(self, taken: Taken, importances: Float64, bits: float) -> Float64:
        """Finds the steps at which all levels together take a number of bits, with the least loss.

        Args:
            taken: What the picture takes.
            importances: Importances of its levels, `[levels]`.
            bits: Bits of all levels together.

        Returns:
            As `steps_at`; the nearest steps if the bits cannot be met.
        """
        losses, own = self._scaled(importances), taken.log_rates
        return self._cheapest(losses, own, self._trade(losses, own, bits / taken.elements))

    def regions(self, taken: Taken, parts: Float64, steps: Float64) -> tuple[int, Regions | None]:
        """Finds the regions of a picture, given the steps of its levels.

        Args:
            taken: What the picture takes.
            parts: Importances, as `predicted_map` gives them.
            steps: Steps of the levels, `[levels]`.

        Returns:
            As `find_regions`.
        """
        at = steps[:, None] + np.arange(-FURTHEST, FURTHEST + 1)
        rates = self._shares @ np.exp(self._at(at, taken.log_rates))
        nearby = Nearby(self._at(at, self._losses), rates)
        return find_regions(parts, nearby, taken.elements, taken.padded)

    def _at(self, steps: Float64, curves: Float64) -> Float64:
        """Interpolates each level's curve at each of its steps."""
        pairs = zip(steps, curves, strict=True)
        return np.stack([np.interp(at, self._steps, curve) for at, curve in pairs])

    def _scaled(self, importances: Float64) -> Float64:
        return importances[:, None] * self._losses

    def _bits(self, walk: Walk, group: Group) -> float:
        """Returns the ideal bits of a group's integers under the engine's tables."""
        bits = 0.0
        for name in group.latents:
            found = walk.integers[name]
            coded = found.indexes >= found.skip
            tables = self._executor.engine.tables(found.tables)
            bits += tables.ideal_bits(found.symbols[coded], found.indexes[coded])
        return bits

    def _cheapest(self, losses: Float64, log_rates: Float64, trade: float) -> Float64:
        costs = losses + trade * self._shares[:, None] * np.exp(log_rates)
        chosen = self._steps[np.argmin(costs, 1)]
        middle, spread = chosen.mean(), self._model.spread
        return np.asarray(np.clip(chosen, middle - spread, middle + spread))

    def _trade(self, losses: Float64, log_rates: Float64, rate: float) -> float:
        """Finds the price at which the levels together take `rate` bits per element."""
        rates = self._shares[:, None] * np.exp(log_rates)

        def taken(log_trade: float) -> float:
            places = np.argmin(losses + math.exp(log_trade) * rates, 1)[:, None]
            return float(np.take_along_axis(rates, places, 1).sum())

        return math.exp(_crossing(taken, rate))


def _levels(group: Group) -> list[str]:
    """Returns the names of the feature levels that a group codes."""
    return group.name.split("+")


def _elements(walk: Walk, group: Group) -> int:
    """Returns the number of elements in a group's padded feature levels."""
    count = 0
    for feature in walk.manifest.features:
        if feature.name in _levels(group):
            rows, columns = tensor_size(feature.tensor, walk.padded)
            count += feature.channels * rows * columns
    return count


def _crossing(falling: Callable[[float], float], wanted: float) -> float:
    """Finds where a falling function of the trade's logarithm passes a value."""
    low, high = _LEAST_TRADE, _MOST_TRADE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > wanted else (low, middle)
    return (low + high) / 2


def _along(at: Float64, x: Float64, y: Float64) -> Float64:
    """Evaluates a piecewise linear curve (`x` increasing), extended linearly beyond its ends."""
    right = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    slope = (y[right] - y[right - 1]) / (x[right] - x[right - 1])
    return np.asarray(y[right - 1] + (at - x[right - 1]) * slope)
