"""Makes the golden files of the syntax, once: a file that was published never changes.

    python tests/golden/make_syntax.py

writes the sets that are missing, each a folder with a manifest under tests/golden, and refuses if
there are all.
"""

from __future__ import annotations

import binascii
import dataclasses
import hashlib
import io
import json
import pathlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

from fcmrt.bitstream import (
    EVEN,
    Geometry,
    Importance,
    LevelSpec,
    PacketHead,
    Rectangle,
    Regions,
    StreamHeader,
    read_header,
    read_packet,
    write_header,
    write_packet,
)
from fcmrt.config import CodingParams, Limits
from fcmrt.container import Reader, Writer

FOLDER = pathlib.Path(__file__).parent
ENGINE = bytes(range(32))

SMALL = StreamHeader(
    engine_digest=ENGINE, levels=(LevelSpec(name="p", channels=3, height=4, width=5),)
)
FULL = StreamHeader(
    engine_digest=ENGINE,
    profile="same-engine",
    runner_digest=bytes(range(32, 64)),
    coding=CodingParams(overhead_permille=40),
    time_base=(1001, 30000),
    picture_width=1920,
    picture_height=1080,
    input_width=416,
    input_height=320,
    levels=(
        LevelSpec(name="p3", channels=128, dtype="float16"),
        LevelSpec(name="p4", channels=128, height=20, width=26),
        LevelSpec(name="p5", channels=300, height=10, width=13),
    ),
    notes=(("task", "detection"), ("größe", "mittel")),
)


def payload(lanes: int, words: tuple[int, ...]) -> bytes:
    """Returns segments of made-up states and words."""
    out = b""
    for segment, count in enumerate(words):
        out += b"".join(struct.pack("<I", 65536 + 77 * (segment + lane)) for lane in range(lanes))
        out += bytes((31 * n + segment) & 0xFF for n in range(2 * count))
    return out


def packet(
    lanes: int = 1,
    step: int = 0,
    geometry: Geometry | None = None,
    words: tuple[int, ...] = (3,),
    escapes: bytes = b"",
    importance: Importance = EVEN,
) -> bytes:
    """Returns a packet of made-up contents."""
    head = PacketHead(lanes, step, geometry, words, len(escapes), importance)
    return write_packet(head, payload(lanes, words), escapes, ENGINE)


def mended(body: bytes) -> bytes:
    """Returns a short packet with the right checksum, whatever its fields."""
    crc = binascii.crc_hqx(body, binascii.crc_hqx(ENGINE, 0xFFFF))
    return body + struct.pack("<H", crc)


def flipped(data: bytes, place: int) -> bytes:
    """Returns the bytes with one bit of one byte wrong."""
    return data[:place] + bytes((data[place] ^ 4,)) + data[place + 1 :]


def stream() -> bytes:
    """Returns a whole file of three packets."""
    file = io.BytesIO()
    with Writer(file, SMALL) as writer:
        writer.write(packet(step=-1), pts=0)
        writer.write(packet(words=(9,)), pts=40)
        writer.write(packet(step=1, escapes=b"\x05"), pts=80)
    return file.getvalue()


def build() -> dict[str, bytes]:
    """Returns the files of the set "syntax" by name; the part before the dash says what they are.

    They are older than importance, which none of them tells.
    """
    bare = packet(step=-3)
    header = write_header(SMALL)
    file = stream()
    records = 12 + 2 * len(header)
    tail = struct.pack("<I", 65536) + b"\0\0"
    overlong = header[:-4].replace(b"\x01p\x03", b"\x01p\x83\x00")
    overlong = overlong[:6] + bytes((overlong[6] + 1,)) + overlong[7:]
    return {
        "packet-least.bin": packet(words=(0,)),
        "packet-bare.bin": bare,
        "packet-lanes32.bin": packet(lanes=32, step=20, words=(40,)),
        "packet-finest.bin": packet(2, -20, Geometry(((80, 104),)), (5,), b"\x00\x81\x01"),
        "packet-levels.bin": packet(
            4, 7, Geometry(((40, 53), (20, 26), (10, 13))), (2, 0, 5), b"\xff\xff\xff\xff\x1f"
        ),
        "packet-crc16-longest.bin": packet(step=100, words=(2043,)),
        "packet-crc32-shortest.bin": packet(words=(2044,)),
        "header-small.bin": header,
        "header-full.bin": write_header(FULL),
        "datagram-small.bin": header + bare,
        "datagram-full.bin": write_header(FULL) + packet(2, 5, Geometry(((40, 52),)), (4,)),
        "file-whole.fcm": file,
        "file-empty.fcm": file[:records],
        "file-cut.fcm": file[: records + 24 + 14 + 24 + 11],
        "file-header-damaged.fcm": flipped(file, 40),
        "file-record-damaged.fcm": flipped(file[:-1], records + 24 + 14 + 6),
        "bad-packet-bit.bin": flipped(bare, 5),
        "bad-packet-cut.bin": bare[:-1],
        "bad-packet-short.bin": bare[:7],
        "bad-packet-4096.bin": bytes(4096),
        "bad-packet-lanes6.bin": mended(b"\x06\x00" + tail),
        "bad-packet-reserved.bin": mended(b"\x80\x00" + tail),
        "bad-packet-geometry3.bin": mended(b"\x60\x00" + tail),
        "bad-packet-no-rows.bin": mended(b"\x20\x00\x00\x01" + tail),
        "bad-packet-too-wide.bin": mended(b"\x20\x00\x01\xff\xff\x03" + tail),
        "bad-packet-varint-long.bin": mended(b"\x00\x80\x00" + tail),
        "bad-packet-varint-33-bits.bin": mended(b"\x00\xff\xff\xff\xff\x1f" + tail),
        "bad-packet-one-segment.bin": mended(b"\x08\x00\x01" + tail),
        "bad-packet-words-over.bin": mended(b"\x08\x00\x02\xff\xff\xff\xff\x0f" + tail),
        "bad-packet-escapes-empty.bin": mended(b"\x10\x00\x00" + tail),
        "bad-packet-escapes-over.bin": mended(b"\x10\x00\x7f" + tail),
        "bad-packet-odd.bin": mended(b"\x00\x00" + tail + b"\0"),
        "bad-packet-low-state.bin": mended(b"\x00\x00\xff\xff\x00\x00\x00\x00"),
        "bad-header-magic.bin": b"FCMX" + header[4:],
        "bad-header-bit.bin": flipped(header, 30),
        "bad-header-cut.bin": header[:-1],
        "bad-header-minor.bin": header[:5] + b"\x02" + header[6:],
        "bad-header-varint-long.bin": overlong + struct.pack("<I", zlib.crc32(overlong)),
        "bad-file-magic.fcm": file.replace(b"\r\n", b"\n"),
        "bad-file-headers.fcm": flipped(flipped(file, 40), 40 + len(header)),
        "bad-file-cut.fcm": file[: 12 + 20],
    }


def build_importance() -> dict[str, bytes]:
    """Returns the files of the set "importance": packets that tell one."""
    box, small, other = (
        Rectangle(3, 4, 5, 6, -8),
        Rectangle(8, 9, 1, 1, -8),
        Rectangle(9, 0, 2, 2, 3),
    )
    many = tuple(Rectangle(2 * n, n, 1, 1, -1 - n % 2) for n in range(256))
    everything = Importance((2, 0, -4), (0, 300, 1), Regions(2, (box, other)))
    tail = struct.pack("<I", 65536) + b"\0\0"
    return {
        "packet-offsets.bin": packet(step=7, importance=Importance((2, 0, -255))),
        "packet-mix.bin": packet(importance=Importance((), (17,))),
        "packet-mix-late.bin": packet(importance=Importance((), (0, 0, 1 << 20))),
        "packet-groups64.bin": packet(importance=Importance((1,) * 64)),
        "packet-box.bin": packet(importance=Importance(regions=Regions(0, (box,)))),
        "packet-boxes.bin": packet(importance=Importance(regions=Regions(12, (box, small)))),
        "packet-rectangles256.bin": packet(importance=Importance(regions=Regions(1, many))),
        "packet-everything.bin": packet(
            2, -20, Geometry(((80, 104),)), (5,), b"\x00\x81\x01", importance=everything
        ),
        "datagram-box.bin": write_header(SMALL)
        + packet(importance=Importance(regions=Regions(1, (box,)))),
        "bad-packet-nothing.bin": mended(b"\x80\x00\x00" + tail),
        "bad-packet-zero-group.bin": mended(b"\x80\x00\x08\x02\x00" + tail),
        "bad-packet-zero-mix.bin": mended(b"\x80\x00\x06\x02\x00" + tail),
        "bad-packet-groups65.bin": mended(b"\x80\x00\x84\x02" + b"\x02" * 65 + tail),
        "bad-packet-offset256.bin": mended(b"\x80\x00\x04\x80\x04" + tail),
        "bad-packet-form.bin": mended(b"\x80\x00\x01\x0d\x01\x02\0\0\0\0" + tail),
        "bad-packet-overlap.bin": mended(b"\x80\x00\x01\x00\x02\x02\0\0\1\1\1\0\0\0" + tail),
        "bad-packet-to-the-right.bin": mended(b"\x80\x00\x01\x00\x02\x02\0\0\0\0\0\1\0\0" + tail),
        "bad-packet-downwards.bin": mended(b"\x80\x00\x01\x00\x02\x02\0\0\0\1\1\0\0\1" + tail),
        "bad-packet-same-offsets.bin": mended(b"\x80\x00\x01\x10\x01\0\0\0\0\2" + tail),
    }


SETS: dict[str, Callable[[], dict[str, bytes]]] = {"syntax": build, "importance": build_importance}


def describe_packet(data: bytes) -> dict[str, Any]:
    """Returns what a bare packet says, for JSON."""
    parsed = read_packet(data, ENGINE, Limits(), levels=3)
    fields = dataclasses.asdict(parsed.head)
    if not parsed.head.importance:
        del fields["importance"]  # as before packets could tell any
    return {
        **fields,
        "segments": hashlib.sha256(parsed.segments).hexdigest(),
        "escapes": parsed.escapes.hex(),
    }


def describe_header(data: bytes) -> dict[str, Any]:
    """Returns what a stream header says, for JSON."""
    header, size = read_header(data)
    fields = dataclasses.asdict(header)
    # All that a header tells of the coder's parameters.
    fields["coding"] = {"overhead_permille": header.coding.overhead_permille}
    for name, value in fields.items():
        if isinstance(value, bytes):
            fields[name] = value.hex()
    return {**fields, "size": size}


def describe_datagram(data: bytes) -> dict[str, Any]:
    """Returns what a self-contained packet says, for JSON."""
    header = describe_header(data)
    return {"header": header, "packet": describe_packet(data[header["size"] :])}


def describe_file(data: bytes) -> dict[str, Any]:
    """Returns what is in a file, for JSON."""
    reader = Reader(data)
    return {
        "header": write_header(reader.header).hex(),
        "header_damaged": reader.header_damaged,
        "recovered": reader.recovered,
        "skipped_bytes": reader.skipped_bytes,
        "packets": [[packet.pts, packet.hex()] for packet in reader],
    }


DESCRIBE: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "packet": describe_packet,
    "header": describe_header,
    "datagram": describe_datagram,
    "file": describe_file,
}


def describe(name: str, data: bytes) -> Any:
    """Returns what a golden file says, as it reads back from JSON; for a bad one, its error."""
    bad = name.startswith("bad-")
    kind = name.removeprefix("bad-").partition("-")[0]
    try:
        found = DESCRIBE[kind](data)
    except ValueError as error:
        if not bad:
            raise
        return {"error": type(error).__name__}
    if bad:
        raise AssertionError(f"{name} must be refused")
    return json.loads(json.dumps(found))


def main() -> None:
    """Writes the sets of golden files that are missing, with their manifests."""
    missing = [name for name in SETS if not (FOLDER / name / "manifest.json").exists()]
    if not missing:
        raise SystemExit(f"there are all of {', '.join(SETS)}; golden files are never made again")
    for folder in (FOLDER / name for name in missing):
        folder.mkdir(exist_ok=True)
        entries = {}
        for name, data in SETS[folder.name]().items():
            with (folder / name).open("xb") as file:
                file.write(data)
            entries[name] = {
                "sha256": hashlib.sha256(data).hexdigest(),
                "expected": describe(name, data),
            }
        text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
        (folder / "manifest.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
