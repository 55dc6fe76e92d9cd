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
    """Returns the digest of `Runner.identity` for a same-engine stream's header, 32 bytes."""
    return hashlib.sha256(identity.encode("utf-8")).digest()


def fraction(time_base: Any) -> Fraction:
    """Takes the seconds of one tick from a user; ConfigError for what no header can hold."""
    if isinstance(time_base, bool) or not isinstance(time_base, numbers.Rational):
        raise ConfigError(
            f"time_base is {time_base!r}; it must be seconds of one tick as a fraction, such as "
            "Fraction(1, 25)"
        )
    found = Fraction(int(time_base.numerator), int(time_base.denominator))
    if found <= 0 or max(found.numerator, found.denominator) > U32_MAX:
        raise ConfigError("time_base must be above 0; numerator and denominator must fit 32 bits")
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
        identity: What runs its networks, in words.
        params: Parameters of the entropy coder.
        sizes: Of the levels, in the engine's order, that packets need not carry; None: all carry
            their sizes.
        dtype: Element type that decoders return.
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
