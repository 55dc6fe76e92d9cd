"""Inputs that show whether a runner is exact: they drive sums to their bounds and meet ties."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Graph, Node
from . import attributes
from .proof import InputRange, Proof
from .sums import grouped_weights
from .values import F64

F32 = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Cells = tuple[int, ...]  # a place or a size, in rows and columns

_TILE = 16  # side of a tile of the mixed probe, in cells
_HEAVY = 4  # output channels of each layer whose sums are driven to their bounds
_UNKNOWN_RANGE = 1 << 11  # for an input that is not rounded and clipped at once, in units of 2^-4
_KINDS = ("uniform", "ties", "ends", "beyond")
_FORWARD = frozenset({"Clip", "Identity", "Max", "Min", "Mul", "Relu", "Round"})

_Origins = list[tuple[str, int] | None]  # for each channel, the input and channel that it copies
_Drive = dict[str, F64]  # by input: -1, 0 (does not matter) or 1, `[C, rows, columns]`
_Pattern = str | F64  # one of the kinds, or the signs of a drive
_Channels = slice | npt.NDArray[np.bool_]


def make_probes(
    graph: Graph, proof: Proof, shapes: Mapping[str, Shape], seed: int
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    """Makes an endless series of inputs for a graph, the most revealing first.

    The first probe has tiles of all kinds, which later probes have one at a time: signs that drive
    the layers that read the inputs to their bounds, uniform integers over the whole range, half-way
    cases for the first rounding, the ends of the range, and values beyond it.

    Args:
        graph: Proved; borrowed.
        proof: Its proof.
        shapes: Shape of every input, `(1, C, H, W)` or `(1, C)`.
        seed: Of the random numbers.

    Determinism: the same arguments give the same inputs everywhere.
    """
    rng = np.random.default_rng(seed)
    fields = {name: _Field(proof.inputs.get(name), shape) for name, shape in shapes.items()}
    drives = list(_drives(graph, proof, {name: shape[1] for name, shape in shapes.items()}))
    turn = 0
    while True:
        driven = drives[turn // 2 % len(drives)] if drives else {}
        probe = {}
        for name, field in fields.items():
            if turn == 0:
                signs = (drive[name] for drive in drives if name in drive)
                whole = field.tiled(rng, [*signs, *_KINDS])
            elif turn % 2 and name in driven:
                whole = field.drawn(rng, driven[name])
            else:
                whole = field.drawn(rng, _KINDS[turn // 2 % len(_KINDS)])
            probe[name] = whole.reshape(shapes[name])
        yield probe
        turn += 1


class _Field:
    """An input of a graph, whose values are drawn by a pattern.

    A pattern is a kind of integers, or signs: the ends of the range where these are 1 and -1,
    repeated over the picture, and uniform integers where they are 0.

    Args:
        known: What is proved of the input.
        shape: Its shape.
    """

    def __init__(self, known: InputRange | None, shape: Shape) -> None:
        if known is None:
            most = np.full(shape[1], float(_UNKNOWN_RANGE))
            known = InputRange(-most, most, np.full(shape[1], 4, np.int64))
        self._size = (*shape[2:], 1, 1)[:2]
        unit = np.ldexp(1.0, -known.exponent)
        self._low, self._high, self._unit = (
            n.reshape(-1, 1, 1).astype(np.float32) for n in (known.low, known.high, unit)
        )

    def drawn(self, rng: np.random.Generator, pattern: _Pattern) -> F32:
        """Draws a picture, `[C, H, W]`."""
        return self._drawn(rng, pattern, (0, 0), self._size)

    def tiled(self, rng: np.random.Generator, patterns: Sequence[_Pattern]) -> F32:
        """Draws a picture of tiles, to which the patterns come in turn; `[C, H, W]`."""
        whole = np.empty((len(self._low), *self._size), np.float32)
        places = itertools.product(*(range(0, side, _TILE) for side in self._size))
        for place, pattern in zip(places, itertools.cycle(patterns)):
            row, column = place
            part = whole[:, row : row + _TILE, column : column + _TILE]
            part[:] = self._drawn(rng, pattern, place, part.shape[1:])
        return whole

    def _drawn(self, rng: np.random.Generator, pattern: _Pattern, place: Cells, size: Cells) -> F32:
        """Draws the part of a picture that begins at a place."""
        if isinstance(pattern, np.ndarray):
            values = self._driven(rng, pattern, place, size)
        elif pattern == "ends":
            side = rng.integers(0, 2, (len(self._low), *size), np.bool_)
            values = np.where(side, self._low, self._high)
        else:
            values = self._uniform(rng, slice(None), size)
            if pattern == "ties":
                values += 0.5
                np.minimum(values, self._high, out=values)
            elif pattern == "beyond":
                values *= 4
        values *= self._unit
        return values

    def _uniform(self, rng: np.random.Generator, channels: _Channels, size: Cells) -> F32:
        low, high = self._low[channels], self._high[channels]
        values = rng.random((len(low), *size), np.float32)
        values *= high - low
        values += low
        return np.rint(values, out=values)

    def _driven(self, rng: np.random.Generator, signs: F64, place: Cells, size: Cells) -> F32:
        rows, columns = (
            np.arange(start, start + side) % period
            for start, side, period in zip(place, size, signs.shape[1:], strict=True)
        )
        ends = np.where(signs > 0, self._high, self._low)
        values: F32 = ends.take(rows, 1).take(columns, 2)
        loose = (signs == 0).any((1, 2))
        where = (signs[loose] == 0).take(rows, 1).take(columns, 2)
        values[loose] = np.where(where, self._uniform(rng, loose, size), values[loose])
        return values


def _drives(graph: Graph, proof: Proof, channels: Mapping[str, int]) -> Iterator[_Drive]:
    """Finds the layers that read inputs, and the signs of inputs that make their largest sums."""
    origins: dict[str, _Origins] = {
        name: [(name, channel) for channel in range(count)] for name, count in channels.items()
    }
    for node in graph.nodes:
        source = next((origins[name] for name in node.inputs if name in origins), None)
        if source is None:
            continue
        if node.op in _FORWARD:
            origins[node.outputs[0]] = source
        elif node.op == "Concat":
            nothing: _Origins = []
            joined = [origins.get(name, nothing) for name in node.inputs]
            if all(joined):
                origins[node.outputs[0]] = [origin for part in joined for origin in part]
        elif node.op in ("Conv", "ConvTranspose") and node.inputs[0] in origins:
            yield from _layer_drives(graph, proof, node, source, channels)


def _layer_drives(
    graph: Graph, proof: Proof, node: Node, source: _Origins, channels: Mapping[str, int]
) -> Iterator[_Drive]:
    weights = _stored(graph, node.inputs[1]).astype(np.float32)
    form = attributes.convolution(node)
    transposed = node.op == "ConvTranspose"
    grouped, phases = grouped_weights(weights, form, transposed)
    _, outputs, inputs, _ = grouped.shape
    if transposed:  # taps that meet read different cells: one sign a channel, of the first phase
        kernel = (1, 1)
        grouped = grouped[..., phases[0]].sum(-1, keepdims=True)
    else:
        kernel = (weights.shape[2], weights.shape[3])
    # The sums of each output channel are in units of its own grid.
    sums = np.ldexp(np.abs(grouped).sum((2, 3), np.float64).reshape(-1), proof.units[node.name])
    heaviest = np.argsort(-sums, kind="stable")[:_HEAVY]
    for output in heaviest:
        group, within = divmod(int(output), outputs)
        signs = np.sign(grouped[group, within].astype(np.float64)).reshape(inputs, *kernel)
        if not transposed:
            signs = signs.repeat(form.dilations[0], 1).repeat(form.dilations[1], 2)
        drive: _Drive = {}
        for k, origin in enumerate(source[group * inputs : (group + 1) * inputs]):
            if origin is not None:
                name, channel = origin
                pattern = drive.setdefault(name, np.zeros((channels[name], *signs.shape[1:])))
                pattern[channel] = signs[k]
        yield drive


def _stored(graph: Graph, name: str) -> npt.NDArray[Any]:
    """A constant, which may be stored as float16 and cast."""
    while name not in graph.constants:
        name = next(node.inputs[0] for node in graph.nodes if name in node.outputs)
    return graph.constants[name]
