"""The stream header of an engine's packets, and how it identifies the runner."""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from .bitstream import FeatureDType, LevelSpec, StreamHeader
from .bitstream.varint import U32_MAX
from .config import CodingParams
from .engine import Engine
from .errors import ConfigError
from .spec import Size

RUNNER_NOTE = "runner"
"""Key of the note that names a same-engine stream's runner in words."""


def runner_digest(identity: str) -> bytes:
    """What the header of a same-engine stream keeps of `Runner.identity`, 32 bytes."""
    return hashlib.sha256(identity.encode("utf-8")).digest()


def fraction(time_base: Any) -> Fraction:
    """Takes seconds of one tick as users give them; ConfigError for what no header can tell."""
    if isinstance(time_base, bool) or not isinstance(time_base, numbers.Rational):
        raise ConfigError(
            f"time_base is {time_base!r}; it must be seconds of one tick as a fraction, such as "
            "Fraction(1, 25)"
        )
    found = Fraction(int(time_base.numerator), int(time_base.denominator))
    if found <= 0 or max(found.numerator, found.denominator) > U32_MAX:
        raise ConfigError("time_base must be above 0, of a numerator and denominator of 32 bits")
    return found


def make_header(
    engine: Engine,
    identity: str,
    params: CodingParams,
    sizes: Sequence[Size] | None,
    dtype: FeatureDType,
    time_base: Fraction,
) -> StreamHeader:
    """Makes the header of an encoder's packets.

    Args:
        engine: The codec.
        identity: Who runs its networks.
        params: Of the entropy coder.
        sizes: Of the levels, in the engine's order, that packets need not tell; None: all tell.
        dtype: Element type that decoders give back.
        time_base: Seconds of one tick.
    """
    features, profile = engine.manifest.features, engine.manifest.profile
    same = profile == "same-engine"
    return StreamHeader(
        engine_digest=engine.digest,
        profile=profile,
        runner_digest=runner_digest(identity) if same else None,
        notes=((RUNNER_NOTE, identity),) if same else (),
        coding=params,
        time_base=(time_base.numerator, time_base.denominator),
        levels=tuple(
            LevelSpec(name=f.name, channels=f.channels, height=height, width=width, dtype=dtype)
            for f, (height, width) in zip(features, sizes or [(0, 0)] * len(features), strict=True)
        ),
    )
