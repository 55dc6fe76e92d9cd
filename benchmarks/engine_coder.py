"""An engine as something to measure, along with the entropy of its packets' integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fcmrt
from fcmrt.bitstream.importance_syntax import write_importance
from fcmrt.errors import ConfigError

from .allocations import ALLOCATIONS, allocations
from .entropy import ideal_bits
from .systems import System

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from fcmrt.tasks.task import Task

    from .allocations import Allocation

    Float32 = NDArray[np.float32]

THREADS = 2  # as the peers get
OVERHEAD_FACTOR, OVERHEAD_BYTES = 1.01, 16  # a packet may exceed its ideal bytes by this


class EngineCoder:
    """One quality level of an engine; a `Coder` of features.

    Args:
        engine: The codec.
        encoder: Of this engine.
        decoder: Of this engine.
        quality: Quality level, from 1 on.
        allocation: What shares the bits out over the levels.
    """

    def __init__(
        self,
        engine: fcmrt.Engine,
        encoder: fcmrt.Encoder,
        decoder: fcmrt.Decoder,
        quality: int,
        allocation: Allocation,
    ) -> None:
        self._engine, self._encoder, self._decoder = engine, encoder, decoder
        self._quality, self._allocation = quality, allocation
        self._packets: list[int] = []
        self._ideal: list[float] = []

    @property
    def label(self) -> int:
        """The quality level."""
        return self._quality

    def encode(self, features: Mapping[str, Float32]) -> fcmrt.Packet:
        """Code the features of one picture (float32 `[C, H, W]` by level)."""
        shares = self._allocation(features, self._quality)
        return self._encoder.encode(features, **shares._asdict())

    def round_trip(self, features: Mapping[str, Float32]) -> tuple[int, Mapping[str, Any]]:
        """Give the bytes that the features of one picture take, and what is decoded from them.

        Also notes the entropy of the packet's integers, with the bytes of its importance;
        not for several threads at once.
        """
        shares = self._allocation(features, self._quality)
        walk = self._encoder.walk(features, **shares._asdict())
        packet = self._encoder.code(walk)
        importance_bytes = len(write_importance(walk.importance)) if walk.importance else 0
        self._packets.append(len(packet))
        self._ideal.append(ideal_bits(self._engine, walk.integers.values()) / 8 + importance_bytes)
        return len(packet), self._decoder.decode(packet)

    @property
    def honest(self) -> NDArray[np.bool_]:
        """Whether each packet so far is within 1 % and 16 bytes of its ideal bytes."""
        allowed = np.array(self._ideal) * OVERHEAD_FACTOR + OVERHEAD_BYTES
        return np.asarray(np.array(self._packets) <= allowed)

    def figures(self) -> dict[str, Any]:
        """Give further keys for the row of this operating point: the step, the ideal bytes."""
        return {
            "step": self._engine.manifest.quality.shift(self._quality),
            "ideal_bytes": float(np.mean(self._ideal)),
            "overhead_ok": bool(self.honest.all()),
        }


def engine_systems(
    engines: Sequence[fcmrt.Engine],
    wanted: Collection[str] = ALLOCATIONS,
    pictures: Sequence[Mapping[str, Float32]] = (),
) -> list[System]:
    """Give engines at all their quality levels, with each allocation that they can be given.

    Args:
        engines: The codecs. Of those that share a name, each is named with its digest.
        wanted: Names of the allocations; each engine is measured with those of them that it has.
        pictures: Features of all pictures that will be coded, for the allocation that needs them.
    """
    names = [engine.manifest.name for engine in engines]
    systems = []
    for engine, name in zip(engines, names, strict=True):
        options = fcmrt.RuntimeOptions(threads=THREADS)
        encoder = fcmrt.Encoder(engine, options=options)
        decoder = fcmrt.Decoder(engine, options=options)
        last = len(engine.manifest.quality.levels)
        own = name if names.count(name) == 1 else f"{name}@{engine.digest_hex[:8]}"
        for allocated, allocation in allocations(encoder, pictures).items():
            if allocated not in wanted:
                continue
            coders = [
                EngineCoder(engine, encoder, decoder, level, allocation)
                for level in range(1, last + 1)
            ]
            few = [coders[level - 1] for level in sorted({1, (last + 1) // 2, last})]
            family = engine.manifest.family
            systems.append(
                System(own, tuple(coders), tuple(few), allocated, family, parallel=False)
            )
    return systems


def load_engine(file: str | None, task: Task) -> fcmrt.Engine:
    """Load an engine to measure; without a file the shipped one.

    Raises:
        ConfigError: It is for other features than the task's.
    """
    engine = fcmrt.Engine.builtin() if file is None else fcmrt.Engine.load(file)
    check_levels(engine, task)
    return engine


def check_levels(engine: fcmrt.Engine, task: Task) -> None:
    """Refuse an engine for other features than the task's.

    Raises:
        ConfigError: Names or channels of its levels are not the task's.
    """
    theirs = [(level.name, level.channels) for level in engine.manifest.features]
    wanted = list(zip(task.feature_names, task.feature_channels, strict=True))
    if theirs != wanted:
        raise ConfigError(
            f"{engine.manifest.name} is for the levels {theirs}, those of task {task.name!r} are "
            f"{wanted}; give another --engine or another --task"
        )
