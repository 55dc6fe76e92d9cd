"""Operators that turn good bytes into bad ones, whatever their format; all follow from the seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from .fields import HOSTILE, varint

Mutation = Callable[[random.Random, bytes, bytes], bytes]

_MOST_BYTES = 1 << 17


def _range(rng: random.Random, data: bytes, longest: int = 64) -> tuple[int, int]:
    """Draws a range of bytes, short ones mostly."""
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.randrange(1, longest + 1))


def flip_bits(rng: random.Random, data: bytes, other: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8)) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flip_early_bit(rng: random.Random, data: bytes, other: bytes) -> bytes:
    out = bytearray(data)
    if out:
        out[rng.randrange(min(len(out), 24))] ^= 1 << rng.randrange(8)
    return bytes(out)


def set_bytes(rng: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _range(rng, data, rng.choice((1, 4, 64)))
    value = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return data[:begin] + bytes((value,)) * (end - begin) + data[end:]


def truncate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    keep = rng.choice((rng.randrange(len(data) + 1), max(0, len(data) - rng.randrange(1, 9))))
    return data[:keep] if rng.random() < 0.9 else data[len(data) - keep :]


def insert(rng: random.Random, data: bytes, other: bytes) -> bytes:
    place = rng.choice((rng.randrange(len(data) + 1), len(data)))
    size = rng.choice((1, 2, 3, 4, 16, 300, 5000))
    return data[:place] + rng.choice((bytes(size), rng.randbytes(size))) + data[place:]


def delete(rng: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _range(rng, data)
    return data[:begin] + data[end:]


def repeat(rng: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _range(rng, data, 256)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 2, 40)) + data[end:]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of the other, at the same place or at any."""
    place = rng.randrange(len(data) + 1)
    there = place if rng.random() < 0.5 else rng.randrange(len(other) + 1)
    return data[:place] + other[there:]


def overwrite(rng: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _range(rng, data)
    there = rng.randrange(len(other) + 1)
    return data[:begin] + other[there : there + end - begin] + data[end:]


def tamper_varint(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Puts a hostile number where some varint may stand."""
    begin = end = rng.randrange((min(len(data), 64) if rng.random() < 0.5 else len(data)) + 1)
    while end < len(data) and data[end] >= 0x80 and end < begin + 9:
        end += 1
    number = varint(rng.choice(HOSTILE), spare=rng.choice((0, 0, 0, 1, 4)))
    return data[:begin] + number + data[end + 1 :]


def tamper_number(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Puts a hostile number of 1, 2, 4 or 8 bytes anywhere."""
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(HOSTILE) & (1 << 8 * size) - 1
    begin = rng.randrange(len(data) + 1)
    return data[:begin] + number.to_bytes(size, "little") + data[begin + size :]


OPERATORS: tuple[Mutation, ...] = (
    flip_bits,
    flip_early_bit,
    set_bytes,
    truncate,
    insert,
    delete,
    repeat,
    splice,
    overwrite,
    tamper_varint,
    tamper_number,
)


def mutate(rng: random.Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Applies one operator or a few.

    Args:
        rng: Draws what is done.
        data: What to change; may be empty.
        other: Another input of the kind, to splice with.

    Returns:
        The changed bytes, at most 128 KiB, and the names of the operators.
    """
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        operator = rng.choice(OPERATORS)
        data = operator(rng, data, other)[:_MOST_BYTES]
        names.append(operator.__name__)
    return data, "+".join(names)
