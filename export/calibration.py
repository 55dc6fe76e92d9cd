"""How large the values of a graph become on given inputs, and which of them are worth keeping."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper

Feeds = Sequence[Mapping[str, npt.NDArray[np.float32]]]
"""Inputs of a graph, by name, once for each run; sizes may differ."""

Method = Literal["minmax", "percentile", "entropy", "mse"]

METHODS: Final = ("minmax", "percentile", "entropy", "mse")

LEVELS = 127
"""Largest integer of symmetric int8; -128 is not used."""

_BINS = 2048
_PERCENTILE = 99.99
_STEP = 16  # bins between the candidates for a limit


def magnitudes(
    model: onnx.ModelProto, names: Collection[str], feeds: Feeds, method: Method
) -> dict[str, float]:
    """Chooses for each value the magnitude that becomes the largest integer.

    "minmax" takes the largest value seen; "percentile" cuts off the largest 0.01 %; "entropy"
    keeps the histogram's shape (least Kullback-Leibler divergence, as TensorRT's calibration);
    "mse" has the least squared error, of rounding and of cutting off.

    Args:
        model: Float32, run by ONNX Runtime on the CPU.
        names: Values to look at.
        feeds: Calibration inputs, at least one; never those that the result is judged by.
        method: How to choose.

    Returns:
        By name; 0 for a value that is always 0.
    """
    watch = _Watch(model, names)
    largest = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, values in watch.run(feed):
            largest[name] = max(largest[name], float(values.max(initial=0)))
    if method == "minmax":
        return largest
    counts = {name: np.zeros(_BINS, np.int64) for name in names}
    for feed in feeds:
        for name, values in watch.run(feed):
            # Exact zeros stay 0 whatever the limit.
            found, _ = np.histogram(values[values > 0], _BINS, (0, largest[name] or 1))
            counts[name] += found
    chosen = {"percentile": _percentile, "entropy": _entropy, "mse": _mse}[method]
    return {
        name: largest[name] * (chosen(counts[name].astype(np.float64)) / _BINS) for name in names
    }


class _Watch:
    """A session that outputs the magnitudes of values inside a graph."""

    def __init__(self, model: onnx.ModelProto, names: Collection[str]) -> None:
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        known = {port.name for port in watched.graph.output}
        self._given = {port.name for port in watched.graph.input} & set(names)
        self._names = sorted(set(names) - self._given)
        watched.graph.output.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in self._names
            if name not in known
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(
        self, feed: Mapping[str, npt.NDArray[np.float32]]
    ) -> list[tuple[str, npt.NDArray[np.float32]]]:
        found = self._session.run(self._names, dict(feed)) if self._names else []
        pairs = [*zip(self._names, found, strict=True), *((n, feed[n]) for n in self._given)]
        return [(name, np.abs(values)) for name, values in pairs]


def _percentile(counts: npt.NDArray[np.float64]) -> int:
    """Returns how many bins hold `_PERCENTILE` percent of the values."""
    wanted = counts.sum() * _PERCENTILE / 100
    return min(int(np.searchsorted(np.cumsum(counts), wanted)) + 1, _BINS)


def _mse(counts: npt.NDArray[np.float64]) -> int:
    """Returns the number of bins with the least squared error, of rounding and of cutting off."""
    centres = np.arange(_BINS) + 0.5
    candidates = np.arange(LEVELS, _BINS + 1, _STEP)
    excess = np.maximum(centres - candidates[:, None], 0) ** 2
    rounding = (candidates / LEVELS) ** 2 / 12
    inside = centres < candidates[:, None]
    errors = (excess * counts).sum(1) + rounding * (inside * counts).sum(1)
    return int(candidates[np.argmin(errors)])


def _entropy(counts: npt.NDArray[np.float64]) -> int:
    """Returns the number of bins whose histogram the integers describe best."""
    candidates = range(LEVELS, _BINS + 1, _STEP)
    return min(candidates, key=lambda bins: _divergence(counts, bins))


def _divergence(counts: npt.NDArray[np.float64], bins: int) -> float:
    """Returns the Kullback-Leibler divergence between a cut-off histogram and its integers'."""
    wanted = counts[:bins].copy()
    present = wanted > 0
    wanted[-1] += counts[bins:].sum()
    starts = np.arange(LEVELS) * bins // LEVELS
    sizes = np.diff(starts, append=bins)
    shares = np.add.reduceat(counts[:bins], starts)
    occupied = np.add.reduceat(present.astype(np.float64), starts)
    level = np.divide(shares, occupied, out=np.zeros(LEVELS), where=occupied > 0)
    described = np.where(present, np.repeat(level, sizes), 0)
    both = (wanted > 0) & (described > 0)
    if wanted.sum() == 0 or described.sum() == 0:
        return 0.0
    p, q = wanted / wanted.sum(), described / described.sum()
    lost = p[(wanted > 0) & ~both].sum()  # mass that no integer describes
    return float((p[both] * np.log(p[both] / q[both])).sum() + lost * np.log(1 / 1e-12))
