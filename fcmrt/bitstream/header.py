"""The contents of a stream header; `header_syntax` has its bytes.

Rules: `docs/format.md`, section 9.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ..arguments import instance, sequence, whole, word
from ..config import CodingParams
from ..errors import ConfigError
from .varint import U32_MAX

DIGEST_BYTES = 32
MAX_LEVELS = 64
MAX_NAME_BYTES = 64
MAX_NOTES = 64
MAX_NOTE_KEY_BYTES = 64
MAX_NOTE_VALUE_BYTES = 1024

Profile = Literal["exact", "same-engine"]
FeatureDType = Literal["float32", "float16"]

# A value's place in its tuple is its number on the wire.
PROFILES: tuple[Profile, ...] = ("exact", "same-engine")
FEATURE_DTYPES: tuple[FeatureDType, ...] = ("float32", "float16")


def _text_bytes(what: str, text: str, shortest: int, longest: int) -> bytes:
    instance(text, str, what, "it must be text")
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{what} cannot be written as UTF-8") from error
    if not shortest <= len(data) <= longest:
        raise ConfigError(f"{what} has {len(data)} bytes; it must have {shortest} to {longest}")
    return data


def _check_digest(what: str, digest: bytes) -> None:
    instance(digest, bytes, what)
    if len(digest) != DIGEST_BYTES:
        raise ConfigError(f"{what} has {len(digest)} bytes; it must have 32")


def _pair(value: object, what: str, parts: str) -> tuple[Any, Any]:
    pair = sequence(value, what)
    if len(pair) != 2:
        raise ConfigError(f"{what} must be {parts}")
    return pair[0], pair[1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LevelSpec:
    """One level of the features, as the encoder was given it."""

    name: str
    """Name of the level, 1 to 64 bytes of UTF-8, unlike that of any other level."""

    channels: int
    """Number of channels, at least 1."""

    height: int = 0
    """Rows; 0 (then width too): every packet carries its own size."""

    width: int = 0
    """Columns; 0 (then height too): every packet carries its own size."""

    dtype: FeatureDType = "float32"
    """Element type of the features that the encoder was given."""

    def __post_init__(self) -> None:
        _text_bytes("the name of a level", self.name, 1, MAX_NAME_BYTES)
        for name, least in ("channels", 1), ("height", 0), ("width", 0):
            what = f"{name} of level {self.name!r}"
            object.__setattr__(self, name, whole(getattr(self, name), what, least, U32_MAX))
        if bool(self.height) != bool(self.width):
            raise ConfigError(f"level {self.name!r} has only one of height and width")
        word(self.dtype, "dtype", FEATURE_DTYPES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamHeader:
    """What all packets of one stream have in common."""

    engine_digest: bytes
    """SHA-256 of the engine's manifest, 32 bytes."""

    levels: tuple[LevelSpec, ...]
    """The feature levels, 1 to 64, in the engine's order."""

    profile: Profile = "exact"
    """Who can decode the packets: "exact", every machine; "same-engine", only one that runs the
    networks as the encoder's does."""

    runner_digest: bytes | None = None
    """Digest of what ran the encoder's networks, 32 bytes that are not all 0, only with the profile
    same-engine; None: unknown."""

    coding: CodingParams = dataclasses.field(default_factory=CodingParams)
    """Parameters of the entropy coder."""

    time_base: tuple[int, int] = (1, 1)
    """Seconds of one tick of a packet's pts, as numerator and denominator, both at least 1."""

    picture_width: int = 0
    """Columns of the picture that the features were made from; 0: unknown."""

    picture_height: int = 0
    """Rows of the picture that the features were made from; 0: unknown."""

    input_width: int = 0
    """Columns of the network's input; 0: unknown."""

    input_height: int = 0
    """Rows of the network's input; 0: unknown."""

    notes: tuple[tuple[str, str], ...] = ()
    """Free text by key, at most 64; keys up to 64 and values up to 1024 bytes of UTF-8."""

    def __post_init__(self) -> None:
        _check_digest("engine_digest", self.engine_digest)
        word(self.profile, "profile", PROFILES)
        instance(self.coding, CodingParams, "coding")
        if self.runner_digest is not None:
            if self.profile != "same-engine":
                raise ConfigError("only a stream of profile same-engine has a runner_digest")
            _check_digest("runner_digest", self.runner_digest)
            if not any(self.runner_digest):
                raise ConfigError("runner_digest must have 32 bytes that are not all 0, or be None")
        pair = _pair(self.time_base, "time_base", "a numerator and a denominator")
        base = tuple(whole(number, "a number of time_base", 1, U32_MAX) for number in pair)
        object.__setattr__(self, "time_base", base)
        for name in ("picture_width", "picture_height", "input_width", "input_height"):
            object.__setattr__(self, name, whole(getattr(self, name), name, 0, U32_MAX))
        object.__setattr__(self, "levels", sequence(self.levels, "levels"))
        for level in self.levels:
            instance(level, LevelSpec, "a level")
        if not 1 <= len(self.levels) <= MAX_LEVELS:
            raise ConfigError(f"there are {len(self.levels)} levels; there must be 1 to 64")
        if len({level.name for level in self.levels}) != len(self.levels):
            raise ConfigError("two levels have the same name")
        notes = sequence(self.notes, "notes")
        pairs = tuple(_pair(note, "a note", "its key and its value") for note in notes)
        object.__setattr__(self, "notes", pairs)
        if len(self.notes) > MAX_NOTES:
            raise ConfigError(f"there are {len(self.notes)} notes; there may be at most 64")
        for key, value in self.notes:
            _text_bytes("the key of a note", key, 0, MAX_NOTE_KEY_BYTES)
            _text_bytes("the value of a note", value, 0, MAX_NOTE_VALUE_BYTES)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...] | None:
        """Height and width of every level; None: every packet carries its own."""
        if not all(level.height for level in self.levels):
            return None
        return tuple((level.height, level.width) for level in self.levels)

    @property
    def elements(self) -> int | None:
        """Number of feature values of one picture; None: it depends on the packet."""
        if self.sizes is None:
            return None
        return sum(level.channels * level.height * level.width for level in self.levels)
