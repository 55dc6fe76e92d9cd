"""Table sets and their files, `docs/format.md` section 2."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt.errors import EngineError
from fcmrt.tables import CdfTables


def make(offsets, sizes, freqs):
    return CdfTables(np.array(offsets, np.int32), np.array(sizes, np.int32), np.array(freqs, "u2"))


@pytest.fixture(scope="module")
def tables():
    return make([-1, 5], [3, 0], [1, 16000, 382, 1, 16384])


def test_bytes(tables):
    """Section 2: magic, version, bits, number, offsets, sizes, frequencies."""
    wanted = struct.pack("<4sHHIiiII5H", b"FCMT", 1, 14, 2, -1, 5, 3, 0, 1, 16000, 382, 1, 16384)
    assert tables.to_bytes() == wanted
    back = CdfTables.from_bytes(wanted)
    assert back.to_bytes() == wanted
    assert back.digest == hashlib.sha256(wanted).hexdigest()


def test_access(tables):
    assert tables.count == 2
    assert tables.starts.tolist() == [0, 4, 5]
    assert tables.table(0).tolist() == [1, 16000, 382, 1]
    assert tables.cum(0).tolist() == [0, 1, 16001, 16383, 16384]
    assert tables.cum(1).tolist() == [0, 16384]


def test_immutable(tables):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tables.offsets = tables.sizes
    for array in (tables.offsets, tables.sizes, tables.freqs, tables.starts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    given_freqs = np.array([16384], np.uint16)
    copied = CdfTables(np.zeros(1, np.int32), np.zeros(1, np.int32), given_freqs)
    given_freqs[0] = 7
    assert copied.freqs[0] == 16384


@pytest.mark.parametrize(
    ("offsets", "sizes", "freqs"),
    [
        ([0], [1], [16384, 0]),
        ([0], [1], [16383, 2]),
        ([0], [1], [16383]),
        ([0], [0], [16384, 1]),
        ([0, 0], [0], [16384]),
        ([], [], []),
        ([0], [-1], []),
        ([0], [4096], [1] * 4096 + [12288]),
        ([(1 << 24) + 1], [0], [16384]),
        ([1 << 24], [1], [1, 16383]),
        ([-(1 << 24) - 1], [0], [16384]),
    ],
)
def test_refused(offsets, sizes, freqs):
    """F-2: a frequency of 0, a wrong sum, and every limit of section 2."""
    with pytest.raises(EngineError):
        make(offsets, sizes, freqs)


def test_wrong_types():
    one = np.zeros(1, np.int32)
    with pytest.raises(EngineError):
        CdfTables(one.astype(np.int64), one, np.array([16384], np.uint16))
    with pytest.raises(EngineError):
        CdfTables(one.reshape(1, 1), one, np.array([16384], np.uint16))


def test_limits_are_allowed():
    """F-2: the largest offsets and sizes."""
    edge = make([1 << 24, -(1 << 24)], [0, 4095], [16384] + [1] * 4095 + [12289])
    assert CdfTables.from_bytes(edge.to_bytes()).to_bytes() == edge.to_bytes()


@pytest.mark.parametrize(
    ("place", "format_", "value"),
    [
        (0, "<I", 0),
        (4, "<H", 2),
        (6, "<H", 15),
        (8, "<I", 0),
        (8, "<I", 4097),
        (8, "<I", 0xFFFFFFFF),
        (20, "<I", 0xFFFFFFFF),
        (20, "<I", 4),
        (20, "<I", 2),
    ],
)
def test_wrong_fields(tables, place, format_, value):
    data = bytearray(tables.to_bytes())
    struct.pack_into(format_, data, place, value)
    with pytest.raises(EngineError):
        CdfTables.from_bytes(bytes(data))


def test_every_truncation(tables):
    data = tables.to_bytes()
    for length in range(len(data)):
        with pytest.raises(EngineError):
            CdfTables.from_bytes(data[:length])
    with pytest.raises(EngineError):
        CdfTables.from_bytes(data + b"\0")


@settings(deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_made_up_bytes(data, headed):
    """Whatever the bytes are: a table set that gives them back, or an `EngineError`."""
    data = (b"FCMT\1\0\x0e\0" if headed else b"") + data
    try:
        tables = CdfTables.from_bytes(data)
    except EngineError:
        return
    assert tables.to_bytes() == data


def test_ideal_bits(tables):
    """A symbol of 382, an escape of 16384 with one byte, an escape of 1 with two bytes."""
    symbols = np.array([1, 5, 66], np.int32)
    indexes = np.array([0, 1, 0], np.uint8)
    wanted = 14 - math.log2(382) + 8 + 14 + 16
    assert tables.ideal_bits(symbols, indexes) == pytest.approx(wanted, abs=1e-9)
    extremes = np.array([-(1 << 31), (1 << 31) - 1], np.int32)
    assert tables.ideal_bits(extremes, np.array([1, 1])) == 2 * 40
