"""Engine files as archives: hostile, damaged, cut off."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import pytest

from fcmrt.engine import Engine, EngineLimits
from fcmrt.errors import ConfigError, EngineError

from .archives import members, rezip
from .engines import hyperprior_parts


@pytest.fixture(scope="module")
def packed() -> bytes:
    return hyperprior_parts().pack()


def refuse(data: bytes, message: str, **limits: int) -> None:
    with pytest.raises(EngineError, match=message):
        Engine.load(data, EngineLimits(**limits))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.onnx",
        "graphs/../../evil.onnx",
        "/etc/passwd",
        "graphs/",
        "graphs//a.onnx",
        "./manifest.json",
        "graphs\\evil.onnx",
        "c:evil.onnx",
        "gräphs/evil.onnx",
        "evil\n.onnx",
        " /x",
        "..",
    ],
)
def test_names_that_lead_elsewhere_are_refused(packed, name):
    # zipfile would mend some of them, so they are put in afterwards.
    stand_in = b"@" * len(name.encode())
    data = rezip([*members(packed), (stand_in.decode(), b"x")])
    start = data.rindex(b"PK\x03\x04")
    data = data[:start] + data[start:].replace(stand_in, name.encode())
    refuse(data, "is not a plain relative file name")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(packed):
    refuse(rezip([*members(packed), ("manifest.json", b"{}")]), "member 'manifest.json' twice")


def test_compressed_members_are_refused(packed):
    bomb = rezip([("manifest.json", b" " * (64 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    refuse(bomb, r"'manifest.json' is compressed \(method 8\); it must be stored")


def test_members_and_manifest_must_name_each_other(packed):
    files = members(packed)
    refuse(rezip([*files, ("graphs/extra.onnx", b"")]), "'graphs/extra.onnx', which the manifest")
    refuse(rezip(files[:-1]), "lacks 'tables/gaussian.bin', which the manifest names")
    refuse(rezip(files[1:]), "has no manifest.json")
    refuse(rezip([("README", b"")]), "has no manifest.json")


def test_members_must_be_what_the_manifest_says(packed):
    files = members(packed)
    changed = [(n, d[:-1] + b"\0" if n == "graphs/synthesis.onnx" else d) for n, d in files]
    refuse(rezip(changed), "graphs/synthesis.onnx is not what the manifest says: its SHA-256")
    changed = [(n, d + b"\0" if n == "tables/hyper.bin" else d) for n, d in files]
    refuse(rezip(changed), "tables/hyper.bin has 229 bytes; the manifest says 228")


def test_junk_is_refused(packed):
    refuse(packed + b"\0", "does not end like one: cut off, or something follows it")
    refuse(b"\0" + packed, "is not where its end says")
    refuse(b"", "too short")
    refuse(b"x" * 1000, "not an engine file")
    refuse(rezip(members(packed))[:-2] + struct.pack("<H", 1) + b"c", "does not end like one")


def test_limits(packed):
    refuse(packed, "larger than 1000 bytes", max_bytes=1000)
    refuse(packed, "has 6 members; 5 are allowed", max_members=5)
    refuse(packed, "more than 100 protobuf fields", max_graph_fields=100)
    refuse(packed, "the limits allow 100", max_tensor_elements=100)
    with pytest.raises(ConfigError):
        EngineLimits(max_bytes=0)


def test_endless_files_are_not_read_to_their_end(packed):
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 <= size <= 1 << 20
            return bytes(size)

    with pytest.raises(EngineError, match="larger than 1000 bytes"):
        Engine.load(Endless(), EngineLimits(max_bytes=1000))


def patched(data: bytes, which: int, local: dict[int, int], central: dict[int, int]) -> bytes:
    """Sets 16-bit fields, by offset, in the headers of member number `which`."""
    changed = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        place, start = archive.start_dir, archive.infolist()[which].header_offset
    for _ in range(which):
        place += 46 + struct.unpack_from("<H", data, place + 28)[0]
    for base, fields in (start, local), (place, central):
        for offset, value in fields.items():
            struct.pack_into("<H", changed, base + offset, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("local", "central", "message"),
    [
        ({6: 1}, {8: 1}, "'graphs/analysis.onnx' is encrypted"),
        ({6: 8}, {8: 8}, "uses features of ZIP"),  # sizes behind the data
        ({8: 8}, {10: 8}, "is compressed"),
        ({}, {10: 12}, "is compressed"),
        ({8: 8}, {}, "header and the directory do not agree"),
        ({4: 45}, {6: 45}, "uses features of ZIP"),  # ZIP64
        ({18: 5}, {}, "header and the directory do not agree"),
        ({22: 5}, {}, "header and the directory do not agree"),
        ({}, {20: 5}, "has .* bytes for 8907, though it is stored"),
        ({14: 5}, {16: 5}, "damaged: its CRC-32"),
        ({14: 5}, {}, "header and the directory do not agree"),
        ({28: 4}, {}, "header and the directory do not agree"),
        ({28: 4}, {30: 4}, "uses features of ZIP"),
        ({}, {32: 4}, "uses features of ZIP"),  # a comment
        ({}, {34: 1}, "uses features of ZIP"),  # another disk
        ({}, {42: 0, 44: 0}, "begins at byte 0; it must begin at"),  # overlaps the manifest
        ({30: 0x2F2F}, {}, "header and the directory do not agree"),
        ({0: 0}, {}, "has no header at byte"),
        ({}, {0: 0}, "directory is damaged"),
        ({18: 0xFFFF, 20: 99, 22: 0xFFFF, 24: 99}, {20: 0xFFFF, 22: 99, 24: 0xFFFF, 26: 99}, "fit"),
    ],
)
def test_headers_that_lie_are_refused(packed, local, central, message):
    refuse(patched(packed, 1, local, central), message)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (4, 1, "one disk of several"),
        (8, 5, "one disk of several"),
        (12, 9, "is not where its end says"),
        (16, 9, "is not where its end says"),
        (20, 1, "does not end like one"),
    ],
)
def test_ends_that_lie_are_refused(packed, offset, value, message):
    changed = bytearray(packed)
    struct.pack_into("<H", changed, len(packed) - 22 + offset, value)
    refuse(bytes(changed), message)


def test_hidden_bytes_are_refused(packed):
    # A member that the directory does not list, between two that it does.
    files = members(packed)
    data = bytearray(rezip([*files[:1], ("hidden", b"secret"), *files[1:]]))
    start = data.index(
        b"PK\x01\x02" + data[data.index(b"PK\x01\x02") + 4 :][:42] + b"manifest.json"
    )
    second = data.index(b"PK\x01\x02", start + 4)
    del data[second : second + 46 + len("hidden")]
    end = len(data) - 22
    count, _, size = struct.unpack_from("<HHI", data, end + 8)
    struct.pack_into("<HHI", data, end + 8, count - 1, count - 1, size - 46 - len("hidden"))
    refuse(bytes(data), "must begin at")


def test_cut_off_anywhere(packed):
    for size in range(0, len(packed), 97):
        refuse(packed[:size], "cut off")


@pytest.mark.parametrize("seed", range(4))
def test_random_flips_are_refused_or_without_effect(packed, seed):
    wanted = Engine.load(packed)
    rng = random.Random(seed)
    for _ in range(60):
        changed = bytearray(packed)
        for _ in range(rng.choice((1, 1, 3))):
            changed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        try:
            engine = Engine.load(bytes(changed))
        except EngineError:
            continue
        assert engine.digest == wanted.digest  # a time or mode in the directory
