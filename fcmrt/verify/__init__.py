"""Every way to run an engine here against the reference, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import kernels
from ..encoder import Encoder
from ..engine import Engine
from ..executor import Walk, executor_for
from ..observe import StageClock
from ..runner import make_runner
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


def verify(
    engine: Engine,
    pictures: Iterable[Any],
    *,
    quality: float | None = None,
    repeats: int = 3,
    configurations: Sequence[Configuration] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compares everything that can run the engine here with the reference.

    Every stage of both schedules is given what the reference had before it, so that a difference
    shows where it arises and nowhere else.

    Args:
        engine: The codec.
        pictures: Features of one picture each, as `Encoder.encode` takes them.
        quality: Quality level; None: the engine's default.
        repeats: How often each stage runs, for its time; at least 1.
        configurations: Ways to run the networks; None: all of `runner_configurations`.
        progress: Is told what is going on.

    Raises:
        BackendUnavailableError: There is no library to make the reference with.
        FcmrtError: The reference cannot encode a picture.
    """
    if configurations is None:
        configurations = runner_configurations()
    encoder = Encoder(engine, quality=quality, options=REFERENCE)
    stages = Stages(repeats)
    networks = [NetworkStages(engine, chosen, stages) for chosen in configurations]
    names = [name for name in kernels.available() if name != REFERENCE.kernels]
    coders = [CoderStages(engine, name, stages) for name in names]
    compared: list[NetworkStages | CoderStages] = [*networks, *coders]
    for number, features in enumerate(pictures, 1):
        progress(f"picture {number}: reference")
        encoding = encoder.walk(features)
        decoding = _decode(engine, encoding)
        for one in compared:
            progress(f"picture {number}: {one.name}")
            one.compare(encoding, decoding)
    return Verification(
        reference=make_runner(REFERENCE).identity,
        identities={one.name: one.identity for one in networks},
        stages=tuple(stages),
    )


def _decode(engine: Engine, encoding: Walk) -> Walk:
    """Takes the reference through the decoder's schedule, given the encoder's integers."""
    walk = Walk(executor_for(engine, REFERENCE), encoding.padded, encoding.d, StageClock(None))
    walk.integers = dict(encoding.integers)
    walk.follow(engine.manifest.decode)
    return walk
