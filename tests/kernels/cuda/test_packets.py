"""Whole packets that are written on the device: the bytes of the pure-Python writer."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fcmrt.bitstream.packet_head import Geometry, PacketHead
from fcmrt.bitstream.packet_syntax import write_packet
from fcmrt.bitstream.varint import write_varint, zigzag
from fcmrt.errors import ConfigError, ShapeError
from fcmrt.kernels.cuda.batch_encoder import BatchEncoder, BatchStep, Layout
from fcmrt.kernels.cuda.elements import Elements
from fcmrt.kernels.cuda.packet_writer import PacketWriter
from fcmrt.kernels.cuda.prepared import CudaTables

DIGEST = hashlib.sha256(b"engine").digest()


def front_of(head: PacketHead) -> bytes:
    sizes = head.geometry.sizes if head.geometry else ()
    flags = 0 if not sizes else 0x20 if len(sizes) == 1 else 0x40
    fields = b"".join(write_varint(n) for size in sizes for n in size)
    return bytes([flags]) + write_varint(zigzag(head.step)) + fields


GEOMETRIES = [None, Geometry(((640, 480),)), Geometry(((52, 52), (26, 27), (13, 14)))]


@pytest.mark.parametrize("counts", [[0, 1, 33, 700], [2500, 3970], [4077, 4080, 4083, 4086]])
@pytest.mark.parametrize("kind", ["random", "escape_only"])
def test_bytes(cases, device, counts, kind):
    """From packets of nothing to those around the change of the checksum's length."""
    rng = np.random.default_rng(1)
    tables = cases.make_tables(kind, rng)
    capacity = max(counts)
    indexes = rng.integers(0, tables.count, (len(counts), capacity)).astype(np.uint8)
    symbols = np.stack([cases.make_symbols("mixed", rng, tables, row) for row in indexes])
    if kind == "escape_only":  # a byte for each, so that sizes go up by one
        symbols = (tables.offsets[indexes] + tables.sizes[indexes]).astype(np.int32)
    encoder = BatchEncoder(device, len(counts), 40, [capacity])
    elements = Elements(
        device.upload(indexes), device.upload(np.array(counts, np.uint32)), tables.count, 0
    )
    step = BatchStep(elements, CudaTables(tables, device), device.upload(symbols))
    writer = PacketWriter(device, encoder, DIGEST, 60)
    sizes = set()
    for lanes, segments in ((1, 1), (2, 1), (32, 40)):
        layout = Layout(lanes=lanes, segments=segments)
        encoder.encode([step], layout, device.zeros((len(counts),), np.uint32))
        payloads = encoder.payloads()
        heads = [
            PacketHead(
                lanes=lanes,
                step=-7 * b,
                geometry=GEOMETRIES[(b + lanes) % 3],
                words=coded.words,
                escape_bytes=len(coded.escapes),
            )
            for b, coded in enumerate(payloads)
        ]
        writer.load([front_of(head) for head in heads])
        writer.write()
        wanted = [
            write_packet(head, coded.segments, coded.escapes, DIGEST)
            for head, coded in zip(heads, payloads, strict=True)
        ]
        assert writer.packets() == wanted
        sizes |= {len(packet) for packet in wanted}
    if kind == "escape_only" and counts[0] == 4077:
        assert sizes & {*range(4090, 4096)}
        assert sizes & {*range(4098, 4104)}


def test_packets_that_failed_are_none(cases, device):
    rng = np.random.default_rng(1)
    tables = cases.make_tables("random", rng)
    indexes = np.zeros((2, 8), np.uint8)
    indexes[1, 3] = 255
    encoder = BatchEncoder(device, 2, 1, [8])
    elements = Elements(
        device.upload(indexes), device.upload(np.array([8, 8], np.uint32)), tables.count, 0
    )
    step = BatchStep(elements, CudaTables(tables, device), device.zeros((2, 8), np.int32))
    encoder.encode([step], Layout(), device.zeros((2,), np.uint32))
    writer = PacketWriter(device, encoder, DIGEST, 2)
    writer.load([b"\0\0"] * 2)
    writer.write()
    first, second = writer.packets()
    assert first is not None
    assert second is None
    assert encoder.payloads()[1] is None


def test_arguments_are_checked(device):
    encoder = BatchEncoder(device, 2, 1, [8])
    with pytest.raises(ConfigError, match="31 bytes"):
        PacketWriter(device, encoder, DIGEST[:31], 2)
    writer = PacketWriter(device, encoder, DIGEST, 2)
    for fronts in ([b"\0\0"], [b"\0\0", b""], [b"\0\0", b"\0\0\0"]):
        with pytest.raises(ShapeError):
            writer.load(fronts)
