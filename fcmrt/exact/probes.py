"""Inputs that show whether a runner is exact: they drive sums to their bounds and meet ties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Graph, Node
from . import attributes
from .proof import InputRange, Proof
from .sums import grouped_weights
from .values import F64

Shape = tuple[int, ...]

_TILE = 16  # side of a tile of the mixed probe, in cells
_HEAVY = 4  # output channels of each layer whose sums are driven to their bounds
_UNKNOWN_RANGE = 1 << 11  # for an input that is not rounded and clipped at once, in units of 2^-4
_FORWARD = frozenset({"Clip", "Identity", "Max", "Min", "Mul", "Relu", "Round"})

_Origins = list[tuple[str, int] | None]  # for each channel, the input and channel that it copies
_Drive = dict[str, F64]  # by input: -1, 0 (does not matter) or 1, `[C, rows, columns]`


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
    ranges = {name: _range(proof, name, shape[1]) for name, shape in shapes.items()}
    drives = list(_drives(graph, proof, ranges))
    kinds = ("uniform", "ties", "ends", "beyond")
    turn = 0
    while True:
        probe = {}
        for name, shape in shapes.items():
            drive = drives[turn // 2 % len(drives)].get(name) if drives else None
            patterns = [_driven(rng, ranges[name], drive, shape)] if drive is not None else []
            if turn == 0:
                for other in drives[1:]:
                    if name in other:
                        patterns.append(_driven(rng, ranges[name], other[name], shape))
                patterns += [_drawn(rng, ranges[name], kind, shape) for kind in kinds]
                whole = _tiled(rng, patterns)
            elif turn % 2 and patterns:
                (whole,) = patterns
            else:
                whole = _drawn(rng, ranges[name], kinds[turn // 2 % len(kinds)], shape)
            scale = np.ldexp(1.0, -ranges[name].exponent).reshape(-1, *[1] * (len(shape) - 2))
            probe[name] = (whole * scale).reshape(shape).astype(np.float32)
        yield probe
        turn += 1


def _range(proof: Proof, name: str, channels: int) -> InputRange:
    known = proof.inputs.get(name)
    if known is not None:
        return known
    most = np.full(channels, float(_UNKNOWN_RANGE))
    return InputRange(-most, most, np.full(channels, 4, np.int64))


def _drawn(rng: np.random.Generator, found: InputRange, kind: str, shape: Shape) -> F64:
    """Integers of one kind, `[C, H, W]`."""
    over = (-1, *[1] * (len(shape) - 2))
    low, high = found.low.reshape(over), found.high.reshape(over)
    if kind == "ends":
        return np.where(rng.integers(0, 2, shape[1:]), low, high)
    uniform = np.rint(low + rng.random(shape[1:]) * (high - low))
    if kind == "ties":
        return np.minimum(uniform + 0.5, high)
    return uniform * 4 if kind == "beyond" else uniform


def _driven(rng: np.random.Generator, found: InputRange, drive: F64, shape: Shape) -> F64:
    """The ends of the range where a drive has signs, repeated over the picture; else uniform."""
    values = _drawn(rng, found, "uniform", shape)
    if values.ndim == 1:
        return np.where(drive[:, 0, 0] > 0, found.high, found.low)
    rows, columns = (
        np.arange(side) % period
        for side, period in zip(values.shape[1:], drive.shape[1:], strict=True)
    )
    wanted = drive[:, rows[:, None], columns]
    low, high = found.low[:, None, None], found.high[:, None, None]
    values = np.where(wanted > 0, high, values)
    return np.where(wanted < 0, low, values)


def _tiled(rng: np.random.Generator, patterns: Sequence[F64]) -> F64:
    """Takes the tiles from all patterns in turn."""
    if patterns[0].ndim == 1:
        return patterns[0]
    rows, columns = (np.arange(side) // _TILE for side in patterns[0].shape[1:])
    number = rows[:, None] * (columns[-1] + 1) + columns
    whole = np.empty_like(patterns[0])
    for k, pattern in enumerate(patterns):
        mask = number % len(patterns) == k
        whole[:, mask] = pattern[:, mask]
    return whole


def _drives(graph: Graph, proof: Proof, ranges: Mapping[str, InputRange]) -> Iterator[_Drive]:
    """Finds the layers that read inputs, and the signs of inputs that make their largest sums."""
    origins: dict[str, _Origins] = {
        name: [(name, channel) for channel in range(len(found.low))]
        for name, found in ranges.items()
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
            yield from _layer_drives(graph, proof, node, source, ranges)


def _layer_drives(
    graph: Graph, proof: Proof, node: Node, source: _Origins, ranges: Mapping[str, InputRange]
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
                pattern = drive.setdefault(
                    name, np.zeros((len(ranges[name].low), *signs.shape[1:]))
                )
                pattern[channel] = signs[k]
        yield drive


def _stored(graph: Graph, name: str) -> npt.NDArray[Any]:
    """A constant, which may be stored as float16 and cast."""
    while name not in graph.constants:
        name = next(node.inputs[0] for node in graph.nodes if name in node.outputs)
    return graph.constants[name]
