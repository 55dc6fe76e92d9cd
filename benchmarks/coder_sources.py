"""The sources that the coder is measured on: Gaussian symbols, and the shipped codec's integers.

Gaussian sources have one of 64 tables chosen for each symbol: sparse (about 0.3 bit a symbol), mid
(1.4) and dense (3.7). The latents are those of the shipped photos.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fcmrt
from fcmrt.tables import PROB_BITS, CdfTables

from .latency import photo_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIGMAS = np.geomspace(0.11, 32, 64)
# Mean and deviation of the table index, which give the bits a symbol that the names promise.
GAUSSIANS = {"sparse": (0.0, 13.0), "mid": (17.0, 13.0), "dense": (37.0, 10.0)}
LATENTS, PICTURE = "latents", "picture"
_TOTAL = 1 << PROB_BITS
_TAIL = 9.0  # deviations beyond which a Gaussian's mass is 0 to a float


class Step(NamedTuple):
    """One code step: what `fcmrt.kernels.api.CodeStep` is made from."""

    symbols: NDArray[np.int32]
    """`[n]`."""
    indexes: NDArray[np.uint8 | np.uint16]
    """`[n]`."""
    tables: CdfTables
    skip: int


class CodedSymbols(NamedTuple):
    """The coded symbols of all steps in one row, for coders that know neither steps nor skip."""

    symbols: NDArray[np.int32]
    """`[m]`."""
    indexes: NDArray[np.int32]
    """`[m]`, into the joined table sets of all steps."""
    tables: CdfTables
    sigmas: NDArray[np.float64] | None
    """`[tables]`; None: the tables are not those of Gaussians."""


@dataclass(frozen=True)
class Source:
    """Symbols to code."""

    name: str
    steps: tuple[Step, ...]
    sigmas: NDArray[np.float64] | None = None
    """Deviations of the true distributions, `[tables]`; None: these are unknown."""

    @functools.cached_property
    def coded(self) -> int:
        """Number of symbols that are coded, not skipped."""
        return sum(int(np.count_nonzero(step.indexes >= step.skip)) for step in self.steps)

    @functools.cached_property
    def ideal_bytes(self) -> float:
        """Entropy under the integer tables, escapes' values included."""
        bits = 0.0
        for step in self.steps:
            kept = step.indexes >= step.skip
            bits += step.tables.ideal_bits(step.symbols[kept], step.indexes[kept])
        return bits / 8

    @functools.cached_property
    def table_loss(self) -> float | None:
        """What the integer tables cost over the true distributions' entropy, as a share of it."""
        if self.sigmas is None:
            return None
        (step,) = self.steps
        counts = np.bincount(step.indexes, minlength=step.tables.count)
        entropies = np.array([gaussian_entropy(sigma) for sigma in self.sigmas])
        costs = np.array([expected_bits(step.tables, t, s) for t, s in enumerate(self.sigmas)])
        return float(counts @ costs / (counts @ entropies)) - 1

    def slice(self, begin: int, count: int) -> Source:
        """Give `count` symbols from `begin` on, of a source of one step; it repeats at its end."""
        (step,) = self.steps
        places = np.arange(begin, begin + count) % len(step.symbols)
        part = step._replace(symbols=step.symbols[places], indexes=step.indexes[places])
        return Source(self.name, (part,), self.sigmas)

    def coded_symbols(self) -> CodedSymbols:
        """Give the coded symbols of all steps, in coding order."""
        symbols, indexes, first = [], [], 0
        for step in self.steps:
            kept = step.indexes >= step.skip
            symbols.append(step.symbols[kept])
            indexes.append(step.indexes[kept].astype(np.int32) + first)
            first += step.tables.count
        tables = CdfTables(
            *(
                np.concatenate([getattr(step.tables, name) for step in self.steps])
                for name in ("offsets", "sizes", "freqs")
            )
        )
        return CodedSymbols(np.concatenate(symbols), np.concatenate(indexes), tables, self.sigmas)


def interval_mass(
    low: NDArray[np.floating[Any]], high: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Give the mass of a standard Gaussian between bounds, precise in both tails."""
    # By symmetry both bounds are brought to the left tail, where erfc keeps its digits.
    flip = low + high > 0
    left, right = np.where(flip, -high, low), np.where(flip, -low, high)
    tail = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))
    return np.asarray(tail(right) - tail(left), np.float64)


def rounded_gaussian(sigma: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the integers that a rounded Gaussian takes, and their probabilities."""
    reach = math.ceil(_TAIL * sigma) + 1
    values = np.arange(-reach, reach + 1)
    return values, interval_mass((values - 0.5) / sigma, (values + 0.5) / sigma)


def gaussian_entropy(sigma: float) -> float:
    """Give the entropy of a rounded Gaussian in bits."""
    _, mass = rounded_gaussian(sigma)
    mass = mass[mass > 0]
    return float(-(mass @ np.log2(mass)))


def expected_bits(tables: CdfTables, t: int, sigma: float) -> float:
    """Give what a rounded Gaussian's symbol costs on average under a table, escapes included."""
    values, mass = rounded_gaussian(sigma)
    event = values - tables.offsets[t]
    inside = (event >= 0) & (event < tables.sizes[t])
    freq = tables.table(t)[event[inside]].astype(np.float64)
    bits = float(mass[inside] @ (PROB_BITS - np.log2(freq)))
    number = np.full(1, t)
    for value, share in zip(values[~inside], mass[~inside], strict=True):
        bits += share * tables.ideal_bits(np.array([value], np.int32), number)
    return bits


def gaussian_tables() -> CdfTables:
    """Make 64 tables of Gaussians, four deviations wide, at most 127 to each side."""
    offsets, sizes, freqs = [], [], []
    for sigma in SIGMAS:
        reach = min(127, math.ceil(4 * sigma))
        values = np.arange(-reach, reach + 1)
        inside = interval_mass((values - 0.5) / sigma, (values + 0.5) / sigma)
        share = np.append(inside, max(0.0, 1 - inside.sum()))
        freq = np.maximum(1, np.round(share * _TOTAL)).astype(np.int64)
        # What rounding has added or taken goes to the likeliest symbols, one each.
        order = np.argsort(-freq, kind="stable")
        while (missing := _TOTAL - int(freq.sum())) != 0:
            some = order[: max(1, int((freq > 16).sum()))][: abs(missing)]
            freq[some] += np.sign(missing)
        offsets.append(-reach)
        sizes.append(2 * reach + 1)
        freqs.append(freq)
    return CdfTables(
        np.array(offsets, np.int32),
        np.array(sizes, np.int32),
        np.concatenate(freqs).astype(np.uint16),
    )


def gaussian_source(name: str, count: int, tables: CdfTables) -> Source:
    """Draw the symbols of a Gaussian source, always the same ones."""
    rng = np.random.default_rng(2026)
    mean, deviation = GAUSSIANS[name]
    drawn = np.rint(rng.normal(mean, deviation, count))
    indexes = np.clip(drawn, 0, len(SIGMAS) - 1).astype(np.uint8)
    symbols = np.rint(rng.standard_normal(count) * SIGMAS[indexes]).astype(np.int32)
    return Source(name, (Step(symbols, indexes, tables, 0),), SIGMAS)


def picture_sources() -> list[Source]:
    """Encode the shipped photos with the shipped engine and give what each packet codes."""
    engine = fcmrt.Engine.builtin()
    encoder, decoder = fcmrt.Encoder(engine), fcmrt.Decoder(engine)
    sources = []
    for features in photo_features(None):
        latents: Any = decoder.integers(encoder.encode(features)).values()
        steps = tuple(
            Step(of.symbols, of.indexes, engine.tables(of.tables), of.skip) for of in latents
        )
        sources.append(Source(PICTURE, steps))
    return sources


def tiled(pictures: Sequence[Source], count: int) -> Source:
    """Join pictures step by step and repeat them until about `count` symbols are coded."""
    times = max(1, round(count / sum(picture.coded for picture in pictures)))
    steps = []
    for parts in zip(*(picture.steps for picture in pictures), strict=True):
        symbols = np.tile(np.concatenate([part.symbols for part in parts]), times)
        indexes = np.tile(np.concatenate([part.indexes for part in parts]), times)
        steps.append(parts[0]._replace(symbols=symbols, indexes=indexes))
    return Source(LATENTS, tuple(steps))
