"""Layer after layer: the scales of a float network's integers, and the operations on them.

A tensor's value of 1 (its *unit*) is any real number per channel, so that its range is used in
full: weights are scaled and rounded in any case. What a sum is rescaled by is a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fcmrt.errors import EngineError

from .floatlayers import (
    Add,
    Channels,
    Concat,
    Input,
    Layer,
    Leaky,
    Limit,
    Shuffle,
    Sum,
    evaluate,
    per_channel,
)
from .network import Step
from .operations import (
    LARGEST_FACTOR,
    CastOutput,
    Combine,
    Move,
    Operation,
    Positive,
    Quantiser,
    Rounding,
    RoundOnly,
    WeightedSum,
)
from .precision import ExactInput, Precision
from .scales import FINEST, dyadic, exponents

PART_BITS = 4
"""Fractional bits to which the parts of a split layer are rounded."""


@dataclass(frozen=True)
class _Signal:
    """A tensor of the integer network and what its integers mean."""

    name: str
    unit: Tensor
    """The value of 1, float64 `[C]`."""
    limit: Tensor
    """Largest magnitude, float64 `[C]`: what it is clipped to, or is to be."""
    narrow: bool
    """Rounded and clipped, as the input of a weighted sum must be."""


@dataclass(frozen=True)
class _Use:
    """What becomes of a layer's output before the next layer that chooses a scale."""

    ties: int = 1
    """So many neighbouring channels must have one scale, since they become one channel."""
    low: float = -math.inf
    high: float = math.inf

    def joined(self, other: _Use) -> _Use:
        ties = math.lcm(self.ties, other.ties)
        return _Use(ties, min(self.low, other.low), max(self.high, other.high))


class Converter:
    """Converts layer after layer, and keeps what float and integer network make of the inputs."""

    def __init__(
        self,
        layers: Sequence[Layer],
        units: Mapping[str, Tensor],
        given: Mapping[str, Tensor],
        inputs: Mapping[str, ExactInput],
        precision: Precision,
    ) -> None:
        self.steps: list[Step] = []
        self.operations: list[Operation] = []
        self.limits: dict[str, Tensor] = {}
        self._layers = layers
        self._units = units
        self._inputs = inputs
        self._precision = precision
        self._top = float(2**precision.activation_bits - 1)
        self._float = evaluate(layers, dict(given))
        self._actual = dict(given)
        self._signals: dict[str, _Signal] = {}
        self._narrowed: dict[str, _Signal] = {}

    def convert(self, layer: Layer) -> None:
        """Adds the operations of one layer."""
        if isinstance(layer, Input):
            signal = self._input(layer)
        elif isinstance(layer, Sum):
            signal = self._sum(layer)
        elif isinstance(layer, Limit):
            signal = self._limit(layer)
        elif isinstance(layer, Leaky):
            signal = self._leaky(layer)
        elif isinstance(layer, Add):
            signal = self._add(layer)
        else:
            signal = self._move(layer)
        self._signals[layer.name] = signal

    def output(self, name: str, tensor: str) -> None:
        """Adds the rounding and the cast of an output."""
        signal = self._signals[tensor]
        rounded = self._append(f"{name}/integers", (signal.name,), RoundOnly())
        self._append(name, (rounded,), CastOutput())

    def _append(self, name: str, sources: Sequence[str], operation: Operation) -> str:
        made = operation(*(self._actual[source] for source in sources))
        self._actual[name] = made
        self.steps.append(Step(name, tuple(sources), made.ndim, made.shape[1]))
        self.operations.append(operation)
        return name

    def _input(self, layer: Input) -> _Signal:
        told = self._inputs[layer.name]
        name = self._append(
            f"{layer.name}/integers", (layer.name,), Quantiser(told.bits, told.limit)
        )
        ones = torch.ones(layer.channels, dtype=torch.float64)
        return _Signal(name, ones * 2.0**-told.bits, ones * told.limit, narrow=True)

    def _narrow(self, tensor: str) -> _Signal:
        """The signal of a tensor, rounded and clipped."""
        signal = self._signals[tensor]
        if signal.narrow:
            return signal
        if tensor not in self._narrowed:
            operation = Rounding(-signal.limit, signal.limit)
            name = self._append(f"{tensor}/narrow", (signal.name,), operation)
            self._narrowed[tensor] = replace(signal, name=name, narrow=True)
        return self._narrowed[tensor]

    def _use(self, name: str) -> _Use:
        """What becomes of a tensor, over all layers that read it."""
        found: _Use | None = None
        for layer in self._layers:
            if name not in layer.sources:
                continue
            use = _Use()
            if isinstance(layer, Limit):
                use = replace(self._use(layer.name), low=layer.low, high=layer.high)
            elif isinstance(layer, Shuffle):
                within = self._use(layer.name)
                use = replace(within, ties=within.ties * layer.factor**2)
            elif not isinstance(layer, (Sum, Add)):
                use = replace(self._use(layer.name), low=-math.inf, high=math.inf)
            found = use if found is None else found.joined(use)
        return found or _Use()

    def _unit(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """The value of 1 that a layer's output takes, and what it is to be clipped to."""
        values = self._float[layer.name].transpose(0, 1).flatten(1).double()
        use = self._use(layer.name)
        reach = values.amax(1) if use.low >= 0 else values.abs().amax(1)
        reach = torch.maximum(reach, reach.max() / 256).clamp(min=1e-12)  # of silent channels
        reach = (reach * self._precision.margin).clamp(max=max(abs(use.low), use.high))
        if len(reach) % use.ties == 0:  # else the tie is with another layer, and refused there
            reach = reach.reshape(-1, use.ties).amax(1).repeat_interleave(use.ties)
        unit, limit = reach / self._top, torch.full_like(reach, self._top)
        told = self._units.get(layer.name)
        if told is not None:
            unit = torch.where(told.isnan(), unit, told)
            limit = torch.where(told.isnan(), limit, float(LARGEST_FACTOR - 1))
        return unit, limit

    def _sum(self, layer: Sum) -> _Signal:
        source = self._narrow(layer.sources[0])
        unit, limit = self._unit(layer)
        floats = self._float[layer.sources[0]]
        parts = 1
        while (coarse := self._coarse(layer, source, unit, parts)) is not None:
            parts *= 2
            inputs = len(source.limit)
            if layer.form.groups > 1 or parts > min(self._precision.most_parts, inputs):
                raise EngineError(
                    f"layer {layer.name!r} has no exact form: to keep its sums below 2^24, the "
                    f"largest weight of an output channel would be {coarse:.0f}, even in "
                    f"{parts // 2} parts; use fewer inputs or a lower activation_bits"
                )
        if parts == 1:
            name = self._weighted(layer, source, floats, unit)
        else:
            name = self._split(layer, source, floats, unit, parts)
        return _Signal(name, unit, limit, narrow=False)

    def _coarse(self, layer: Sum, source: _Signal, unit: Tensor, parts: int) -> float | None:
        """The largest weight of the coarsest channel, if the layer is to be split further."""
        size = -(-len(source.limit) // parts)
        for start in range(0, len(source.limit), size):
            cut, signal = _part(layer, source, start, start + size)
            weight, bias = _in_units(cut, signal, unit)
            exponent = exponents(layer.form, weight, bias, signal.limit)
            rows, phases = layer.form.rows(weight), layer.form.phases(weight)
            largest = (rows.abs().amax((2, 3)).reshape(-1) * torch.exp2(exponent)).round()
            # What moves the output by less than half a unit needs no fine weights, and what is on a
            # finer grid than float16 holds cannot have them.
            moves = layer.form.reach(rows, signal.limit, phases) > 0.5
            least = float(torch.where(moves & (exponent < FINEST), largest, math.inf).min())
            if least < self._precision.least_weight:
                return least
        return None

    def _weighted(self, layer: Sum, source: _Signal, floats: Tensor, unit: Tensor) -> str:
        """Adds a weighted sum whose mean over the calibration inputs is that of the float layer."""
        weight, bias = _in_units(layer, source, unit)
        exponent = exponents(layer.form, weight, bias, source.limit)
        power = torch.exp2(exponent)
        operation = WeightedSum(
            layer.form, layer.form.scaled(weight, power), bias * power, exponent
        )
        wanted = layer(floats)
        missing = wanted / per_channel(unit, wanted) - operation(self._actual[source.name])
        operation.bias += missing.double().transpose(0, 1).flatten(1).mean(1) * power
        self.limits[layer.name] = source.limit
        return self._append(layer.name, (source.name,), operation)

    def _split(self, layer: Sum, source: _Signal, floats: Tensor, unit: Tensor, parts: int) -> str:
        """Adds the sums of groups of inputs, each rounded to a finer grid, and their sum."""
        size = -(-len(source.limit) // parts)
        finer = 2.0**-PART_BITS
        room = torch.full_like(unit, 2**24 // parts - 1)  # for each part's share of their sum
        names = []
        for start in range(0, len(source.limit), size):
            stop = min(start + size, len(source.limit))
            cut, signal = _part(layer, source, start, stop)
            channels = Channels(f"{cut.name}/inputs", (source.name,), start, stop)
            name = self._append(channels.name, (source.name,), Move(channels))
            made = self._weighted(
                cut, replace(signal, name=name), floats[:, start:stop], unit * finer
            )
            names.append(self._append(f"{cut.name}/rounded", (made,), Rounding(-room, room)))
        factor = torch.full_like(unit, finer)
        return self._append(layer.name, names, Combine([factor] * len(names)))

    def _limit(self, layer: Limit) -> _Signal:
        signal = self._signals[layer.sources[0]]
        low = torch.maximum((layer.low / signal.unit).round(), -signal.limit)
        high = torch.minimum((layer.high / signal.unit).round(), signal.limit)
        name = self._append(layer.name, (signal.name,), Rounding(low, high))
        limit = torch.maximum(low.abs(), high.abs())
        return replace(signal, name=name, limit=limit, narrow=True)

    def _leaky(self, layer: Leaky) -> _Signal:
        signal = self._narrow(layer.sources[0])
        positive = self._append(f"{layer.name}/positive", (signal.name,), Positive())
        slopes, _ = dyadic([layer.slope, 1 - layer.slope], [signal.limit] * 2)
        operation = Combine([slopes, 1 - slopes])
        name = self._append(layer.name, (signal.name, positive), operation)
        return replace(signal, name=name, narrow=False)

    def _add(self, layer: Add) -> _Signal:
        terms = [self._narrow(source) for source in layer.sources]
        unit, limit = self._unit(layer)
        factors = dyadic([term.unit / unit for term in terms], [term.limit for term in terms])
        name = self._append(layer.name, [term.name for term in terms], Combine(factors))
        return _Signal(name, unit, limit, narrow=False)

    def _move(self, layer: Layer) -> _Signal:
        """Adds a layer that moves values; per channel, what is known of them moves along."""
        sources = [self._signals[source] for source in layer.sources]
        if isinstance(layer, Concat):
            sources = [self._narrow(source) for source in layer.sources]
        name = self._append(layer.name, [source.name for source in sources], Move(layer))
        first = sources[0]
        unit = torch.cat([source.unit for source in sources])
        limit = torch.cat([source.limit for source in sources])
        if isinstance(layer, Channels):
            unit, limit = unit[layer.start : layer.stop], limit[layer.start : layer.stop]
        elif isinstance(layer, Shuffle):
            unit, limit = (part.reshape(-1, layer.factor**2) for part in (unit, limit))
            if (unit != unit[:, :1]).any():
                raise EngineError(
                    f"layer {layer.name!r} joins channels of several layers, which have no common "
                    "scale; shuffle before the concatenation"
                )
            unit, limit = unit[:, 0], limit.amax(1)
        return _Signal(name, unit, limit, narrow=first.narrow)


def _part(layer: Sum, source: _Signal, start: int, stop: int) -> tuple[Sum, _Signal]:
    """A weighted sum of some input channels only; the first has the bias."""
    if start == 0 and stop >= len(source.limit):
        return layer, source
    axis = 0 if layer.form.kind == "transposed" else 1
    stop = min(stop, len(source.limit))
    weight = layer.weight.narrow(axis, start, stop - start).contiguous()
    bias = layer.bias if start == 0 else torch.zeros_like(layer.bias)
    cut = replace(layer, name=f"{layer.name}/{start}-{stop - 1}", weight=weight, bias=bias)
    return cut, replace(source, unit=source.unit[start:stop], limit=source.limit[start:stop])


def _in_units(layer: Sum, source: _Signal, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and biases in units of the output per unit of the input."""
    return layer.form.scaled(layer.weight, 1 / unit, source.unit), layer.bias / unit
