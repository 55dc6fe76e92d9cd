"""Packets to compare a GPU with a CPU on: of drawn symbols, and of the shipped engine."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.kernels.cuda.batch_encoder import Layout

from .coder_sources import GAUSSIANS, Source, Step, gaussian_source, gaussian_tables
from .gpu_codec import to_host

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    Made = tuple[bytes, Any]

BATCH = 250
LARGEST = 6000  # symbols of a packet, where they are drawn
DRAWN = 1_000_000
NOISE = 0.05  # in deviations of a level: makes each packet of a photo another one
LAYOUTS = (
    *(Layout(permille, lanes) for permille in (1, 5, 50, 1000) for lanes in (1, 2)),
    *(Layout(lanes=lanes, segments=segments) for lanes in (1, 4, 32) for segments in (1, 3)),
)
_CHUNK = 4  # packets that a process makes at a time


def drawn_batches(packets: int) -> Iterator[tuple[list[Source], Layout]]:
    """Give batches of distinct packets of drawn symbols, each with a layout, source by source."""
    rng = np.random.default_rng(7)
    tables = gaussian_tables()
    sources = [gaussian_source(name, DRAWN, tables) for name in GAUSSIANS]
    for first in range(0, packets, BATCH):
        turn = first // BATCH
        source = sources[turn % len(sources)]
        parts = [
            source.slice(int(rng.integers(DRAWN)), int(rng.integers(1, LARGEST)))
            for _ in range(min(BATCH, packets - first))
        ]
        yield parts, LAYOUTS[turn % len(LAYOUTS)]


class Maker:
    """Makes packets of the shipped engine on the CPU, on one thread."""

    def __init__(self) -> None:
        from .latency import photo_features

        self.engine = fcmrt.Engine.builtin()
        chosen = fcmrt.RuntimeOptions(threads=1)
        self._encoder = fcmrt.Encoder(self.engine, options=chosen)
        self._decoder = fcmrt.Decoder(self.engine, options=chosen)
        self._photos = photo_features(1)
        self._steps = list(self.engine.manifest.step_numbers)

    def make(self, number: int) -> Made:
        """Make one packet, of a photo with noise of its own, at any quality step.

        Returns:
            The packet, and its integers by latent, as the CPU decodes them.
        """
        rng = np.random.default_rng((11, number))
        photo = self._photos[number % len(self._photos)]
        noisy = {
            name: x + NOISE * x.std() * rng.standard_normal(x.shape, np.float32)
            for name, x in photo.items()
        }
        packet = self._encoder.encode(noisy, step=int(rng.choice(self._steps)))
        return bytes(packet), self._decoder.integers(packet)


_maker: Maker | None = None
"""The maker of this process, if it makes packets for another one."""


def _make(number: int) -> Made:
    global _maker
    if _maker is None:
        _maker = Maker()
    return _maker.make(number)


def made_batches(packets: int, batch: int, processes: int) -> Generator[list[Made], None, None]:
    """Give packets of the shipped engine, batch by batch; the next is made meanwhile.

    Args:
        packets: How many.
        batch: Of these, at a time.
        processes: That make them. Threads would hold up whoever compares the batch before.

    Returns:
        Of each packet its bytes, and its integers by latent, as the CPU decodes them.
    """
    # New processes look for this package, too; at the end, behind the installed fcmrt.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
    coming: Iterator[Made] | None = None
    try:
        for first in range(0, packets, batch):
            numbers = range(first, min(first + batch, packets))
            following = pool.map(_make, numbers, chunksize=_CHUNK)
            if coming is not None:
                yield list(coming)
            coming = following
        if coming is not None:
            yield list(coming)
    finally:
        pool.shutdown(cancel_futures=True)


def sources_of(engine: fcmrt.Engine, found: Sequence[Any]) -> list[Source]:
    """Turn the integers of packets, by latent, into what the coder is given."""
    return [
        Source(
            "engine",
            tuple(
                Step(to_host(of.symbols), to_host(of.indexes), engine.tables(of.tables), of.skip)
                for of in integers.values()
            ),
        )
        for integers in found
    ]
