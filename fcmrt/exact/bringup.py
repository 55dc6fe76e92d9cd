"""The check of a runner before its integers are trusted.

Libraries choose by shape how they compute a convolution, and some algorithms (Winograd, Fourier,
sums in half precision) are not exact. So a network first runs on integers whose right answer is
known.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Graph
from .probes import Shape, make_probes
from .proof import Proof
from .reference import Reference, Statistics
from .sums import LIMIT

PROBES = 2
"""Version of the probes; raised when they change, so that verdicts on older ones do not count."""

# A small error in a sum shows only where the sum is rounded half-way. So probes run until every
# layer has met enough ties, within what a check may cost. If a layer has not met a quarter of
# enough by half of the probes, its sums are so fine that the other half would not suffice either.
_PROBES = range(4, 33)
_HALF_WAY = 16
_ENOUGH_TIES = 64
_MOST_PRODUCTS = 5_000_000_000


class Runnable(Protocol):
    """A network; see `fcmrt.runner.Network`."""

    def run(
        self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]
    ) -> list[npt.NDArray[Any]]:
        """Runs the graph once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one network at one set of shapes found."""

    exact: bool
    """Whether no value differed."""
    differing: int
    """Values that differed from the reference."""
    values: int
    """Values compared."""
    ties: int
    """Half-way cases that were rounded inside the graph."""
    reach: Mapping[str, float]
    """The largest sum that each layer reached, as a fraction of 2^24 units."""
    seconds: float
    """How long the check took."""


def bring_up(
    graph: Graph,
    proof: Proof,
    network: Runnable,
    shapes: Mapping[str, Shape],
    outputs: Sequence[str],
    seed: int = 0,
) -> Verdict:
    """Checks a network against the reference, at the shapes at which it will run.

    Args:
        graph: The graph that the network runs; proved.
        proof: Its proof.
        network: The network.
        shapes: Shape of every input.
        outputs: Names of the outputs to compare.
        seed: Of the probes.

    Raises:
        EngineError: The graph cannot be computed at these shapes.

    Cost: 4 to 32 probes, fewer if the graph is large at these shapes; each takes a run of the
        network and one of the reference.
    """
    start = time.perf_counter()
    reference, statistics = Reference(graph, proof.units), Statistics()
    differing = values = 0
    for n, probe in enumerate(make_probes(graph, proof, shapes, seed), start=1):
        found = network.run(probe, outputs)
        wanted = reference.run(probe, outputs, statistics)
        values += sum(array.size for array in wanted)
        differing += sum(_differing(*pair) for pair in zip(wanted, found, strict=True))
        ties: Counter[str] = Counter()
        for name, layer in proof.roundings.items():
            ties[layer] += statistics.ties[name]
        fewest = min(ties.values(), default=_ENOUGH_TIES)
        enough = n >= _PROBES[0] and fewest >= _ENOUGH_TIES
        hopeless = n >= _HALF_WAY and fewest < _ENOUGH_TIES // 4
        # Another probe would cost as much as each one so far.
        costly = statistics.products * (n + 1) > _MOST_PRODUCTS * n
        if differing or enough or hopeless or costly or n == _PROBES[-1]:
            break
    reach = {
        name: float(np.ldexp(largest, proof.units[name]).max()) / LIMIT
        for name, largest in statistics.largest.items()
    }
    seconds = time.perf_counter() - start
    met = sum(statistics.ties.values())
    return Verdict(differing == 0, differing, values, met, reach, seconds)


def _differing(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> int:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return wanted.size
    return int(np.count_nonzero(found != wanted))
