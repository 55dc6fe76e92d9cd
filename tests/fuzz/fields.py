"""Formats taken apart into fields, so that a mutation can hit a number and not just a bit.

Only good bytes are taken apart here; what is put together again obeys no rule.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import NamedTuple

from fcmrt.bitstream import peek_packet, read_header, read_varint

from .corpus import LIMITS

HOSTILE = (
    *(0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 4095),
    *(4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, (1 << 24) - 1, 1 << 24, 1 << 26),
    *((1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 2, (1 << 32) - 1, 1 << 32, 1 << 33),
    *(1 << 35, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 200),
)
"""Numbers at which readers go wrong."""

_STRUCTS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q"}


class Field(NamedTuple):
    """A part of a format that has a meaning of its own."""

    kind: str
    """A number: "u8", "u16", "u32", "u64", "varint" or "long" (a varint that is not in its
    shortest form); or "bytes"; or "text", which is a varint and so many bytes."""

    value: int | bytes


def varint(value: int, spare: int = 0) -> bytes:
    """LEB128 of any number, with `spare` bytes more than it takes."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(spare):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def emit(fields: Sequence[Field]) -> bytes:
    """The bytes of some fields; numbers that are too wide lose their upper bits."""
    out = bytearray()
    for kind, value in fields:
        if isinstance(value, bytes):
            out += (varint(len(value)) if kind == "text" else b"") + value
        elif kind in _STRUCTS:
            form = struct.Struct(_STRUCTS[kind])
            out += form.pack(value & (1 << 8 * form.size) - 1)
        else:
            out += varint(value, spare=kind == "long")
    return bytes(out)


def varints(data: bytes, begin: int, end: int) -> list[Field]:
    """The numbers of a run of varints."""
    fields = []
    while begin < end:
        value, begin = read_varint(data, begin)
        fields.append(Field("varint", value))
    return fields


def split(data: bytes, form: str) -> list[Field]:
    """The fields of packed bytes.

    Args:
        data: Good bytes; more may follow.
        form: How many bytes each field has, as in "-4 1 8": 1, 2, 4 and 8 are numbers, the others
            and those with a minus are bytes.
    """
    fields = []
    place = 0
    for word in form.split():
        size = abs(int(word))
        part = data[place : place + size]
        place += size
        kind = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}.get(int(word), "bytes")
        fields.append(Field(kind, part if kind == "bytes" else int.from_bytes(part, "little")))
    return fields


def packet_fields(packet: bytes, levels: int) -> list[Field]:
    """A bare packet: flags, numbers, states and words, escapes, checksum."""
    sizes = peek_packet(packet, limits=LIMITS, levels=levels).bytes
    begin = sizes.head + sizes.directory
    middle = begin + sizes.states + sizes.words
    end = middle + sizes.escapes
    return [
        Field("u8", packet[0]),
        *varints(packet, 1, begin),
        Field("bytes", packet[begin:middle]),
        Field("bytes", packet[middle:end]),
        Field("bytes", packet[end:]),
    ]


def header_fields(coded: bytes) -> list[Field]:
    """A stream header."""
    header, size = read_header(coded, limits=LIMITS)
    start = read_varint(coded, 6)[1]
    numbers = (
        header.coding.overhead_permille,
        *header.time_base,
        header.picture_width,
        header.picture_height,
        header.input_width,
        header.input_height,
        len(header.levels),
    )
    same = header.profile == "same-engine"
    fields = [Field("bytes", header.engine_digest), Field("u8", int(same))]
    if same:
        fields.append(Field("bytes", header.runner_digest or bytes(32)))
    fields += [Field("varint", number) for number in numbers]
    for level in header.levels:
        fields.append(Field("text", level.name.encode()))
        fields += [Field("varint", n) for n in (level.channels, level.height, level.width)]
        fields.append(Field("u8", int(level.dtype == "float16")))
    fields.append(Field("varint", len(header.notes)))
    fields += [Field("text", text.encode()) for note in header.notes for text in note]
    body = size - start - 4
    return [*split(coded, "-4 1 1"), Field("varint", body), *fields, *split(coded[-4:], "4")]


def file_parts(data: bytes, levels: int) -> list[list[Field]]:
    """A stream file: beginning, header, header, then record and packet by turns, index, footer."""
    told = int.from_bytes(data[8:12], "little")
    header = header_fields(data[12 : 12 + told])
    parts = [split(data, "-8 4"), header, header]
    place = 12 + 2 * told
    while data[place : place + 4] == b"FCMP":
        record = split(data[place:], "-4 4 4 8 4")
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 24
        parts += [record, packet_fields(data[place : place + size], levels)]
        place += size
    if place < len(data):
        count = int.from_bytes(data[place + 4 : place + 8], "little")
        parts.append(split(data[place:], "-4 4" + " 8 8" * count + " 4"))
        parts.append(split(data[-24:], "8 4 4 -8"))
    return parts


def tamper(rng: random.Random, fields: Sequence[Field]) -> list[Field]:
    """Changes one field, or drops, repeats or swaps it."""
    out = list(fields)
    k = rng.randrange(len(out))
    # Most mutations are to keep the layout, so that what comes after is still understood.
    match rng.randrange(12):
        case 0:
            del out[k]
        case 1:
            out.insert(k, out[k])
        case 2:
            other = rng.randrange(len(out))
            out[k], out[other] = out[other], out[k]
        case _:
            out[k] = _changed(rng, out[k], rng.choice(out))
    return out


def _changed(rng: random.Random, field: Field, other: Field) -> Field:
    kind, value = field
    if isinstance(value, int):
        near = max(0, value + rng.choice((-2, -1, 1, 2)))
        number = rng.choice((rng.choice(HOSTILE), near, 2 * value, rng.getrandbits(32)))
        if kind == "varint" and rng.random() < 0.1:
            return Field("long", value)
        return Field(kind, number)
    match rng.randrange(6):
        case 0:
            value = b""
        case 1:
            value = value * rng.choice((2, 3, 40))
        case 2:
            value = rng.choice((b"\xff", b"\xed\xa0\x80", b"\0", b"\xf4\x90\x80\x80")) + value
        case 3 if isinstance(other.value, bytes):
            value = other.value
        case 4:
            value = value[: rng.randrange(len(value) + 1)]
        case _:
            value = rng.randbytes(rng.choice((len(value), rng.randrange(80))))
    return Field(kind, value[: 1 << 16])
