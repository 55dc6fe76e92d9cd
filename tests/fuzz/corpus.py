"""What the fuzzers start from: good packets, headers, files and engines of the tiny engines."""

from __future__ import annotations

import dataclasses
import functools
import io
import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from fcmrt import CodingParams, Encoder, Engine, Importance, Limits, StreamHeader
from fcmrt.bitstream import EVEN, write_header
from fcmrt.container import Writer
from fcmrt.engine import EngineLimits
from fcmrt.groups import quality_groups
from fcmrt.importance import regions_of
from fcmrt.kernels.api import LANES
from fcmrt.spec import Size, level_sizes, padded_size
from tests import archives, engines, level_engine
from tests.features import random_features

from .forge import OPTIONS, forge

LIMITS = Limits(max_packet_bytes=1 << 16, max_side=64, max_elements=1 << 14)
"""What mutated packets, headers and files may ask for; all that is made here stays below."""

ENGINE_LIMITS = EngineLimits(
    max_bytes=1 << 18, max_members=64, max_tensor_elements=1 << 16, max_graph_fields=1 << 14
)
"""What mutated engines may ask for."""

HEADER_SIZE: Size = (8, 12)
"""Cells of the finest level of packets that leave their sizes to the stream header."""


_PARTS: dict[str, Callable[[], engines.EngineParts]] = {
    "hyperprior": engines.hyperprior_parts,
    "context": engines.context_parts,
    "levels": level_engine.level_parts,
    "factorized": engines.factorized_parts,
    "gain": engines.gain_parts,
    "same-engine": lambda: engines.hyperprior_parts().same_engine(),
}
SUBJECTS = tuple(_PARTS)
"""Names of the engines."""


@functools.cache
def engine_file(subject: str) -> bytes:
    """The engine file of a subject."""
    return _PARTS[subject]().pack()


@functools.cache
def members(subject: str) -> tuple[tuple[str, bytes], ...]:
    """Names and contents of the files in a subject's engine file, the manifest first."""
    return tuple(archives.members(engine_file(subject)))


@functools.cache
def engine(subject: str) -> Engine:
    """The engine of a subject, loaded."""
    return Engine.load(engine_file(subject))


@functools.cache
def header(subject: str) -> StreamHeader:
    """The stream header of a subject's packets; it tells sizes."""
    codec = engine(subject)
    levels = codec.manifest.features
    sizes = dict(zip((f.name for f in levels), level_sizes(levels, *HEADER_SIZE), strict=True))
    encoder = Encoder(codec, options=OPTIONS, sizes=sizes, time_base=Fraction(1001, 30000))
    return encoder.header


@functools.cache
def headers(subject: str) -> tuple[bytes, ...]:
    """Stream headers of a subject, from the least to one with all there can be."""
    sized = header(subject)
    bare = Encoder(engine(subject), options=OPTIONS).header
    halves = tuple(dataclasses.replace(level, dtype="float16") for level in sized.levels)
    notes = (*sized.notes, *((f"key{n}", "ü" * n) for n in range(64 - len(sized.notes))))
    full = dataclasses.replace(
        sized, levels=halves, picture_width=1920, picture_height=1080, input_width=640, notes=notes
    )
    return tuple(write_header(each) for each in (bare, sized, full))


@functools.cache
def packets(subject: str) -> tuple[bytes, ...]:
    """Packets of a subject: of all sizes, steps, importance, lanes and segments, also forged."""
    codec = engine(subject)
    levels = codec.manifest.features
    found: list[bytes] = []
    rng = random.Random(subject)

    def encode(size: Size, scale: float, **more: object) -> None:
        n = len(found)
        encoder = Encoder(
            codec,
            options=OPTIONS,
            quality=1 + n % len(codec.manifest.quality.levels),
            params=CodingParams(overhead_permille=(5, 1000)[n % 2]),
            sizes=header_sizes if size == HEADER_SIZE else None,
        )
        features = random_features(codec, size, n, scale=scale, **more)  # type: ignore[arg-type]
        walk = encoder.walk(features)
        found.append(bytes(encoder.code(walk)))
        importance = drawn_importance(codec, walk.padded, rng)
        if importance:
            found.append(bytes(encoder.encode(features, importance=importance)))

    header_sizes = {level.name: (level.height, level.width) for level in header(subject).levels}
    for size in (1, 1), (5, 7), HEADER_SIZE, (16, 16), (9, 24):
        for scale in 0.1, 3.0, 1000.0, 1e8:
            encode(size, scale)
    if len(levels) > 1:
        encode((0, 0), 3.0, sizes=((6, 5), *((2, 3) for _ in levels[1:])))

    found += [forged(subject, rng) for _ in range(24)]
    return tuple(found)


def forged(subject: str, rng: random.Random) -> bytes:
    """A packet of a subject that passes all checks and holds what no encoder would write."""
    codec = engine(subject)
    manifest = codec.manifest
    least = 1 if manifest.profile == "exact" else 2
    sizes = level_sizes(manifest.features, rng.randrange(1, 21), rng.randrange(1, 21))
    padded = padded_size(manifest.features, sizes, manifest.padding)
    return forge(
        codec,
        sizes,
        rng.choice(manifest.step_numbers),
        max(least, rng.choice(LANES)),
        rng.choice((1, 1, 2, 5, 256)),
        drawn_importance(codec, padded, rng) if rng.random() < 0.5 else EVEN,
        np.random.default_rng(rng.getrandbits(64)),
    )


def drawn_importance(codec: Engine, padded: Size, rng: random.Random) -> Importance:
    """An importance that goes with an engine, of small and extreme numbers; nothing for some."""
    groups = quality_groups(codec.manifest)
    if not groups:
        return EVEN
    offsets = tuple(rng.choice((0, 0, 1, -7, 255, -255)) for _ in groups)
    mix = tuple(rng.choice((0, 0, 1, group.channels - 1)) for group in groups)
    cells = np.zeros(padded, np.int16)
    for _ in range(rng.choice((0, 1, 1, 3, 9))):
        row, column = rng.randrange(padded[0]), rng.randrange(padded[1])
        cells[row : rng.randrange(row, padded[0]) + 1, column : column + rng.randrange(1, 9)] = (
            rng.choice((-8, -8, 3, 255, -255))
        )
    return Importance(offsets, mix, regions_of(cells, rng.randrange(5)))


@functools.cache
def files(subject: str) -> tuple[bytes, ...]:
    """Stream files of a subject: finished, cut before the index, with odd times, and empty."""
    coded = packets(subject)
    made = []
    for picked in coded[:9], coded[8::4], coded[:1], ():
        file = io.BytesIO()
        with Writer(file, header(subject)) as writer:
            for n, packet in enumerate(picked):
                writer.write(packet, pts=(n * 7919) % 101 - 50 if len(picked) > 5 else n)
            grown = len(file.getvalue())
        made += [file.getvalue(), file.getvalue()[:grown]]
    return tuple(made)
