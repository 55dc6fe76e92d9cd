"""Layer after layer: the scales of a float network's integers, and the operations on them.

A tensor's value of 1 (its *unit*) is any real number per channel, so that its range is used in
full: weights are scaled and rounded in any case. What a sum is rescaled by is a power of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fcmrt.errors import EngineError

from .floatlayers import (
    Add,
    Affine,
    Channels,
    Concat,
    Input,
    Layer,
    Leaky,
    Limit,
    Lookup,
    Shuffle,
    Sum,
    evaluate,
    per_channel,
)
from .lookup import LookUp, unit_of
from .network import Step
from .operations import (
    LARGEST_FACTOR,
    CastOutput,
    Combine,
    Move,
    Positive,
    Quantiser,
    Rounding,
    RoundOnly,
    Scale,
    WeightedSum,
)
from .precision import ExactInput, Precision
from .scales import FINEST, dyadic, exponents
from .signals import Signal, in_units, part_of, use_of
from .writer import Operation

PART_BITS = 4
"""Fractional bits to which the parts of a split layer are rounded."""

_OFFSET_BITS = 5  # fractional bits of a constant that is added to integers
_LARGEST_OUTPUT = 2.0**23  # in units of its grid; a sum reaches no further than twice that


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
        self._signals: dict[str, Signal] = {}
        self._narrowed: dict[str, Signal] = {}

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
        elif isinstance(layer, Affine):
            signal = self._affine(layer)
        elif isinstance(layer, Lookup):
            signal = self._lookup(layer)
        else:
            signal = self._move(layer)
        self._signals[layer.name] = signal

    def output(self, name: str, tensor: str, unit: Tensor, *, on_grid: bool) -> None:
        """Adds the last steps of an output.

        Args:
            name: Of the output.
            tensor: What it is of the layers' tensors.
            unit: The value of 1 in its channels, float64 `[C]`.
            on_grid: It is float32, its integers times their unit; else it is the integers.
        """
        source = self._in_unit(name, tensor, unit)
        rounded = self._append(f"{name}/integers", (source,), RoundOnly())
        self._append(name, (rounded,), Scale(unit) if on_grid else CastOutput())

    def _in_unit(self, name: str, tensor: str, unit: Tensor) -> str:
        """The name of a tensor's values in another unit, not rounded."""
        signal = self._signals[tensor]
        if torch.equal(signal.unit, unit):
            return signal.name
        signal = self._narrow(tensor)
        factors = dyadic([signal.unit / unit], [signal.limit])
        return self._append(f"{name}/scaled", (signal.name,), Combine(factors))

    def _append(self, name: str, sources: Sequence[str], operation: Operation) -> str:
        made = operation(*(self._actual[source] for source in sources))
        self._actual[name] = made
        self.steps.append(Step(name, tuple(sources), made.ndim, made.shape[1]))
        self.operations.append(operation)
        return name

    def _input(self, layer: Input) -> Signal:
        grid = self._inputs[layer.name]
        unit = grid.units(layer.channels)
        name = self._append(f"{layer.name}/integers", (layer.name,), Quantiser(unit, grid.limit))
        return Signal(name, unit, torch.full_like(unit, grid.limit), narrow=True)

    def _narrow(self, tensor: str) -> Signal:
        """The signal of a tensor, rounded and clipped."""
        signal = self._signals[tensor]
        if signal.narrow:
            return signal
        if tensor not in self._narrowed:
            operation = Rounding(-signal.limit, signal.limit)
            name = self._append(f"{tensor}/narrow", (signal.name,), operation)
            self._narrowed[tensor] = replace(signal, name=name, narrow=True)
        return self._narrowed[tensor]

    def _unit(self, layer: Layer) -> tuple[Tensor, Tensor]:
        """The value of 1 that a layer's output takes, and what it is to be clipped to."""
        use = use_of(self._layers, layer.name)
        reach = self._reach(layer, negative=use.low < 0)
        reach = torch.maximum(reach, reach.max() / 256).clamp(min=1e-12)  # of silent channels
        reach = (reach * self._precision.margin).clamp(max=max(abs(use.low), use.high))
        if len(reach) % use.ties == 0:  # else the tie is with another layer, and refused there
            reach = reach.reshape(-1, use.ties).amax(1).repeat_interleave(use.ties)
        unit, limit = reach / self._top, torch.full_like(reach, self._top)
        fixed = self._units.get(layer.name)
        if fixed is not None:
            unit = torch.where(fixed.isnan(), unit, fixed)
            limit = torch.where(fixed.isnan(), limit, float(LARGEST_FACTOR - 1))
        return unit, limit

    def _reach(self, layer: Layer, *, negative: bool = True) -> Tensor:
        """The largest value of each channel over the calibration inputs, float64 `[C]`."""
        values = self._float[layer.name].transpose(0, 1).flatten(1).double()
        return values.abs().amax(1) if negative else values.amax(1)

    def _sum(self, layer: Sum) -> Signal:
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
        return Signal(name, unit, limit, narrow=False, ends=layer.name in self._units)

    def _coarse(self, layer: Sum, source: Signal, unit: Tensor, parts: int) -> float | None:
        """The largest weight of the coarsest channel, if the layer is to be split further."""
        size = -(-len(source.limit) // parts)
        for start in range(0, len(source.limit), size):
            cut, signal = part_of(layer, source, start, start + size)
            weight, bias = in_units(cut, signal, unit)
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

    def _weighted(self, layer: Sum, source: Signal, floats: Tensor, unit: Tensor) -> str:
        """Adds a weighted sum whose mean over the calibration inputs is that of the float layer."""
        weight, bias = in_units(layer, source, unit)
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

    def _split(self, layer: Sum, source: Signal, floats: Tensor, unit: Tensor, parts: int) -> str:
        """Adds the sums of groups of inputs, each rounded to a finer grid, and their sum."""
        size = -(-len(source.limit) // parts)
        finer = 2.0**-PART_BITS
        room = torch.full_like(unit, 2**24 // parts - 1)  # for each part's share of their sum
        names = []
        for start in range(0, len(source.limit), size):
            stop = min(start + size, len(source.limit))
            cut, signal = part_of(layer, source, start, stop)
            channels = Channels(f"{cut.name}/inputs", (source.name,), start, stop)
            name = self._append(channels.name, (source.name,), Move(channels))
            made = self._weighted(
                cut, replace(signal, name=name), floats[:, start:stop], unit * finer
            )
            names.append(self._append(f"{cut.name}/rounded", (made,), Rounding(-room, room)))
        factor = torch.full_like(unit, finer)
        return self._append(layer.name, names, Combine([factor] * len(names)))

    def _limit(self, layer: Limit) -> Signal:
        signal = self._signals[layer.sources[0]]
        most = torch.full_like(signal.limit, _LARGEST_OUTPUT) if signal.ends else signal.limit
        low = torch.maximum((layer.low / signal.unit).round(), -most)
        high = torch.minimum((layer.high / signal.unit).round(), most)
        name = self._append(layer.name, (signal.name,), Rounding(low, high))
        limit = torch.maximum(low.abs(), high.abs())
        narrow = bool((limit < LARGEST_FACTOR).all())
        return replace(signal, name=name, limit=limit.clamp(max=LARGEST_FACTOR - 1), narrow=narrow)

    def _leaky(self, layer: Leaky) -> Signal:
        signal = self._narrow(layer.sources[0])
        positive = self._append(f"{layer.name}/positive", (signal.name,), Positive())
        slopes, _ = dyadic([layer.slope, 1 - layer.slope], [signal.limit] * 2)
        operation = Combine([slopes, 1 - slopes])
        name = self._append(layer.name, (signal.name, positive), operation)
        return replace(signal, name=name, narrow=False)

    def _add(self, layer: Add) -> Signal:
        terms = [self._narrow(source) for source in layer.sources]
        unit, limit = self._unit(layer)
        own = terms[0].unit
        reach = self._reach(layer) * self._precision.margin
        if all(torch.equal(term.unit, own) for term in terms[1:]) and (
            (reach <= terms[0].limit * own).all()
        ):
            # Parts of one tensor, such as the halves of a checkerboard: nothing is to be rounded.
            unit, limit = own, terms[0].limit
        factors = dyadic([term.unit / unit for term in terms], [term.limit for term in terms])
        name = self._append(layer.name, [term.name for term in terms], Combine(factors))
        return Signal(name, unit, limit, narrow=False)

    def _affine(self, layer: Affine) -> Signal:
        source = self._narrow(layer.sources[0])
        factor = layer.factor.sign()
        unit = source.unit * torch.where(factor == 0, 1.0, layer.factor.abs())
        # The factor only changes what an integer means. The offset wants a unit so fine that little
        # is lost by rounding it, and so coarse that the integers are still factors of products.
        reach = source.limit + (layer.offset / unit).abs()
        bits = torch.log2(2 * self._top / reach).floor().clamp(0, _OFFSET_BITS)
        finer = torch.where((layer.offset / unit).frac() == 0, 1.0, torch.exp2(bits))
        limit = (reach * finer).ceil()
        if (limit < LARGEST_FACTOR).all():
            offset = (layer.offset / unit * finer).round()
            operation = Combine([factor * finer], offset if offset.any() else None)
            name = self._append(layer.name, (source.name,), operation)
            return Signal(name, unit / finer, limit, narrow=True)
        coarse, limit = self._unit(layer)
        terms = [layer.factor * source.unit / coarse, layer.offset / coarse]
        factor, offset = dyadic(terms, [source.limit, torch.ones_like(source.limit)])
        name = self._append(layer.name, (source.name,), Combine([factor], offset))
        return Signal(name, coarse, limit, narrow=False)

    def _lookup(self, layer: Lookup) -> Signal:
        units = torch.full_like(self._signals[layer.sources[0]].unit, unit_of(layer.scale))
        source = self._in_unit(layer.name, layer.sources[0], units)
        operation = LookUp(layer.scale)
        last = torch.full_like(units, len(operation.table) - 1)
        number = self._append(
            f"{layer.name}/units", (source,), Rounding(torch.zeros_like(last), last)
        )
        name = self._append(layer.name, (number,), operation)
        limit = torch.full_like(units, float(operation.table.abs().max()))
        return Signal(name, torch.ones_like(units), limit, narrow=True)

    def _move(self, layer: Layer) -> Signal:
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
        return Signal(name, unit, limit, narrow=first.narrow, ends=first.ends)
