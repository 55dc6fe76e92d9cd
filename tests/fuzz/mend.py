"""Checksums made right again after a mutation, so that it reaches what lies behind them.

Everything here takes damaged bytes and mends what it can still find; nothing raises.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import struct
import zlib
from collections.abc import Sequence

from .fields import Field, emit, varint

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"

Members = Sequence[tuple[str, bytes]]


def mend_packet(data: bytes, digest: bytes) -> bytes:
    """A bare packet with its last bytes replaced by the right checksum."""
    if len(data) < 8 or len(data) in (4096, 4097):
        return data
    if len(data) <= 4095:
        body = data[:-2]
        return body + struct.pack("<H", binascii.crc_hqx(body, binascii.crc_hqx(digest, 0xFFFF)))
    body = data[:-4]
    return body + struct.pack("<I", zlib.crc32(body, zlib.crc32(digest)))


def header_end(data: bytes) -> int | None:
    """Where the stream header at the beginning says that it ends; None where it does not fit."""
    length = 0
    for n, byte in enumerate(data[6:11]):
        length |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            end = 6 + n + 1 + length + 4
            return end if end <= len(data) else None
    return None


def mend_header(data: bytes) -> bytes:
    """A stream header, and what follows it, with the header's checksum made right."""
    end = header_end(data)
    if end is None:
        return data
    return data[: end - 4] + struct.pack("<I", zlib.crc32(data[: end - 4])) + data[end:]


def refit_header(body: bytes, begin: bytes = b"FCMH\0\1") -> bytes:
    """A stream header around a body, with length and checksum made right."""
    data = begin + varint(len(body)) + body
    return data + struct.pack("<I", zlib.crc32(data))


def mend_self_contained(data: bytes, digest: bytes) -> bytes:
    """A stream header and a packet, both made right."""
    end = header_end(data)
    if end is None:
        return data
    return mend_header(data)[:end] + mend_packet(data[end:], digest)


def mend_file(data: bytes, digest: bytes) -> bytes:
    """A stream file: headers, records, packets, index and footer, wherever they are found."""
    told = int.from_bytes(data[8:12], "little")
    for place in 12 + told, 12:
        data = data[:place] + mend_header(data[place:])
    out = bytearray(data)
    place = out.find(b"FCMP")
    while 0 <= place <= len(out) - 24:
        out[place + 20 : place + 24] = struct.pack("<I", zlib.crc32(out[place : place + 20]))
        begin = place + 24
        end = begin + int.from_bytes(out[place + 4 : place + 8], "little")
        if end <= len(out):
            out[begin:end] = mend_packet(bytes(out[begin:end]), digest)
        else:
            end = begin
        place = out.find(b"FCMP", end)
    place = out.rfind(b"FCMI")
    end = place + 8 + 16 * int.from_bytes(out[place + 4 : place + 8], "little")
    if place >= 0 and end + 4 <= len(out):
        out[end : end + 4] = struct.pack("<I", zlib.crc32(out[place:end]))
    if out.endswith(b"FCMEND\r\n") and len(out) >= 24:
        out[-12:-8] = struct.pack("<I", zlib.crc32(out[-24:-12]))
    return bytes(out)


def archive_fields(members: Members) -> list[list[Field]]:
    """A stored ZIP as an engine file has it: local records, then the directory, then its end."""
    local: list[list[Field]] = []
    central: list[list[Field]] = []
    offset = size = 0
    for name, data in members:
        raw = name.encode()
        crc = Field("u32", zlib.crc32(data))
        lengths = [Field("u32", len(data)), Field("u32", len(data))]
        shorts = [Field("u16", value) for value in (20, 0, 0, 0, 33)]
        names = [Field("u16", len(raw)), Field("u16", 0)]
        common = [*shorts, crc, *lengths, *names]
        local.append([Field("bytes", _LOCAL), *common, Field("bytes", raw), Field("bytes", data)])
        more = [Field("u16", 0)] * 3 + [Field("u32", 0o100644 << 16), Field("u32", offset)]
        made_by = Field("u16", 3 << 8 | 20)
        central.append([Field("bytes", _CENTRAL), made_by, *common, *more, Field("bytes", raw)])
        offset += 30 + len(raw) + len(data)
        size += 46 + len(raw)
    counts = [Field("u16", value) for value in (0, 0, len(members), len(members))]
    sizes = [Field("u32", size), Field("u32", offset), Field("u16", 0)]
    return [*local, *central, [Field("bytes", _END), *counts, *sizes]]


def archive(members: Members) -> bytes:
    """A stored ZIP with all its checksums right, whatever the names."""
    return b"".join(map(emit, archive_fields(members)))


def mend_archive(data: bytes) -> bytes:
    """An archive whose CRC-32s are right, as far as its records can be found."""
    out = bytearray(data)
    crcs: dict[int, bytes] = {}
    place = 0
    while out[place : place + 4] == _LOCAL and place + 30 <= len(out):
        size, name = struct.unpack_from("<I", out, place + 22)[0], out[place + 26]
        begin = place + 30 + name
        if begin + size > len(out):
            break
        crcs[place] = struct.pack("<I", zlib.crc32(out[begin : begin + size]))
        out[place + 14 : place + 18] = crcs[place]
        place = begin + size
    place = out.find(_CENTRAL, place)
    while 0 <= place <= len(out) - 46:
        start = int.from_bytes(out[place + 42 : place + 46], "little")
        if start in crcs:
            out[place + 16 : place + 20] = crcs[start]
        place = out.find(_CENTRAL, place + 46)
    return bytes(out)


def mend_manifest(manifest: bytes, members: Members) -> bytes:
    """The text of a manifest, with sizes and SHA-256 of the members made right where it has them.

    Works on the text, so that a manifest that is no JSON any more, or odd JSON, stays as it is.
    """
    for name, data in members:
        entry = (
            f'"file": "{name}", "sha256": "{hashlib.sha256(data).hexdigest()}", '
            f'"bytes": {len(data)}'
        )
        old = rb'"file": "%s", "sha256": "[0-9a-f]{64}", "bytes": \d+' % re.escape(name.encode())
        manifest = re.sub(old, entry.encode(), manifest)
    return manifest
