"""Every way to run an engine here against the reference, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from .. import kernels
from ..arrays import FloatArray
from ..bitstream import EVEN, Importance, Rectangle, Regions
from ..bitstream.importance import MAX_BLOCK_BITS
from ..encoder import Encoder
from ..engine import Engine
from ..errors import ShapeError
from ..executor import executor_for
from ..groups import quality_groups
from ..observe import StageClock
from ..requantise import requantised
from ..spec import Size
from ..walk import Walk
from .coder import CoderStages
from .configurations import REFERENCE, Configuration, runner_configurations
from .networks import NetworkStages
from .stage import Stage, Stages, Verification

__all__ = [
    "REFERENCE",
    "Configuration",
    "Stage",
    "Verification",
    "runner_configurations",
    "verify",
]


class Reference(Protocol):
    """What everything is compared with."""

    @property
    def identity(self) -> str:
        """What computes it, in words."""

    def encode(self, levels: Sequence[FloatArray], d: int) -> Walk:
        """Takes one picture, `[1, C, H, W]` per level, through the encoder's schedule."""

    def decode(self, encoding: Walk) -> Walk:
        """Takes the integers of a picture through the decoder's schedule."""


class EngineReference:
    """The engine's own graphs, with the slow and simple implementations of everything.

    Raises:
        BackendUnavailableError: There is no library for graphs that are not exact.
    """

    def __init__(self, engine: Engine) -> None:
        self._machine = executor_for(engine, REFERENCE)
        self._encoder = Encoder(engine, options=REFERENCE)

    @property
    def identity(self) -> str:
        """The library that computes it."""
        return self._machine.identity

    def encode(self, levels: Sequence[FloatArray], d: int) -> Walk:
        """See `Reference.encode`."""
        return self._encoder.walk([level[0] for level in levels], step=d)

    def decode(self, encoding: Walk) -> Walk:
        """See `Reference.decode`."""
        walk = Walk(
            self._machine, encoding.padded, encoding.d, StageClock(None), encoding.importance
        )
        walk.integers = dict(encoding.integers)
        walk.follow(self._machine.manifest.decode)
        return walk


def _importance(engine: Engine, padded: Size) -> Importance:
    """An importance with several steps in every latent that has steps; `EVEN` if none has."""
    groups = quality_groups(engine.manifest)
    if not groups:
        return EVEN
    half = max(1, max(padded) // 2)
    block_bits = min(half.bit_length() - 1, MAX_BLOCK_BITS)
    corner = Regions(block_bits, (Rectangle(0, 0, 1, 1, -3),))
    return Importance(mix=tuple(group.channels // 2 for group in groups), regions=corner)


def verify(
    engine: Engine,
    pictures: Iterable[Any],
    *,
    quality: float | None = None,
    repeats: int = 3,
    reference: Reference | None = None,
    configurations: Sequence[Configuration] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compares everything that can run the engine here with the reference.

    Every stage of both schedules starts from what the reference had before it, so that a difference
    shows where it arises and nowhere else. Kernels code each picture twice: with one step
    everywhere, and with steps that differ from element to element.

    Args:
        engine: The codec.
        pictures: Features of one picture each, as `Encoder.encode` takes them.
        quality: Quality level; None: the engine's default.
        repeats: How often each stage runs, for its time; at least 1.
        reference: What to compare with, such as the PyTorch modules that the engine was made of
            (`fcmrt.export.reference`); None: an `EngineReference`.
        configurations: Ways to run the networks; None: all of `runner_configurations`.
        progress: Receives a line before each comparison.

    Raises:
        BackendUnavailableError: No library that the reference needs is installed.
        FcmrtError: The reference cannot encode a picture.
    """
    if configurations is None:
        configurations = runner_configurations()
    reference = reference or EngineReference(engine)
    encoder = Encoder(engine, options=REFERENCE)
    chosen = engine.manifest.quality
    d = chosen.shift(chosen.default if quality is None else quality)
    stages = Stages(repeats)
    networks = [NetworkStages(engine, one, stages) for one in configurations]
    names = [name for name in kernels.available() if name != REFERENCE.kernels]
    coders = [CoderStages(engine, name, stages) for name in names]
    compared: list[NetworkStages | CoderStages] = [*networks, *coders]
    for number, features in enumerate(pictures, 1):
        progress(f"picture {number}: reference")
        levels = encoder.take(features)
        if levels[0].ndim != 3:
            raise ShapeError("got a batch; pictures are compared one at a time, [C, H, W]")
        encoding = reference.encode([level[None] for level in levels], d)
        decoding = reference.decode(encoding)
        for one in compared:
            progress(f"picture {number}: {one.name}")
            one.compare(encoding, decoding)
        importance = _importance(engine, encoding.padded)
        if importance:
            progress(f"picture {number}: kernels, with steps that differ")
            encoding = requantised(encoding, d, importance)
            decoding = reference.decode(encoding)
            for coder in coders:
                coder.compare(encoding, decoding)
    return Verification(
        reference=reference.identity,
        identities={one.name: one.identity for one in networks},
        stages=tuple(stages),
    )
