"""The check of a runner before its integers are trusted.

A library chooses how it computes a convolution by the shape, and some ways (Winograd, Fourier, sums
in half precision) are not exact. So a network is first given integers whose right answer is known.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..onnxgraph import Graph
from .probes import Shape, make_probes
from .proof import Proof
from .reference import Reference, Statistics
from .sums import LIMIT

PROBES = 1
"""Changes whenever other probes are made, so that verdicts on the old ones do not count."""

_MOST_PROBES = 10
_MOST_PRODUCTS = 4_000_000_000  # of all probes but the first


class Runnable(Protocol):
    """A network, as `fcmrt.runner.Network`."""

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
    """Half-way cases that were rounded on the way."""
    reach: Mapping[str, float]
    """The largest sum of each layer that came out, as a fraction of 2^24 units."""
    seconds: float
    """What the check took."""


def bring_up(
    graph: Graph,
    proof: Proof,
    network: Runnable,
    shapes: Mapping[str, Shape],
    outputs: Sequence[str],
    seed: int = 0,
) -> Verdict:
    """Checks a network against the reference, at the shapes that it is to run at.

    Args:
        graph: What the network runs; proved.
        proof: Its proof.
        network: The network.
        shapes: Shape of every input.
        outputs: Names of the outputs to compare.
        seed: Of the probes.

    Raises:
        EngineError: The network fails.

    Cost: ten probes, fewer where the graph is large at these shapes, but one at the least; each
        takes a run of the network and one of the reference.
    """
    start = time.perf_counter()
    reference, statistics = Reference(graph), Statistics()
    differing = values = 0
    count = _MOST_PROBES
    for n, probe in enumerate(islice(make_probes(graph, proof, shapes, seed), _MOST_PROBES)):
        if n >= count:
            break
        wanted = reference.run(probe, outputs, statistics)
        if n == 0:
            count = 1 + min(count - 1, _MOST_PRODUCTS // max(1, statistics.products))
        found = network.run(probe, outputs)
        values += sum(array.size for array in wanted)
        differing += sum(_differing(*pair) for pair in zip(wanted, found, strict=True))
    reach = {
        name: float(np.ldexp(largest, proof.units[name]).max()) / LIMIT
        for name, largest in statistics.largest.items()
    }
    seconds = time.perf_counter() - start
    return Verdict(differing == 0, differing, values, statistics.ties, reach, seconds)


def _differing(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> int:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return wanted.size
    return int(np.count_nonzero(found != wanted))
