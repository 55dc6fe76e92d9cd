"""`inspect`: it tells by the content what a file is, and says what is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fcmrt
from fcmrt.bitstream import LevelSpec, write_header
from fcmrt.cli.describe import describe
from fcmrt.cli.listing import listing


@pytest.fixture
def stream(run, engine_file, one, batch, tmp_path) -> Path:
    path = tmp_path / "stream"
    run("encode", one, batch, "-o", path, "--engine", engine_file)
    return path


def inspected(run, *arguments: object) -> dict:
    code, out, err = run("inspect", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_engine(run, engine_file):
    found = inspected(run, engine_file)
    engine = fcmrt.Engine.load(engine_file)
    assert found["kind"] == "engine"
    assert found["digest"] == engine.digest_hex
    assert found["bytes"] == engine_file.stat().st_size
    assert [level["name"] for level in found["features"]] == ["p3", "p4"]
    assert list(found["latents"]) == list(engine.manifest.latents)
    assert found["encode"][0] == {
        "run": "analysis",
        "inputs": ["p3", "p4"],
        "outputs": ["y", "z"],
    }
    assert found["graphs"]["synthesis"]["bytes"] == len(engine.graph("synthesis"))
    assert found["tables"]["gaussian"]["count"] == 64
    assert found["quality"] == {"mechanism": "step", "levels": [16, 8, 0, -8], "default": 3}
    assert found["card"]["purpose"] == "tests"


def test_stream_file(run, engine_file, stream):
    found = inspected(run, stream)
    assert found["kind"] == "file"
    assert found["bytes"] == stream.stat().st_size
    assert found["header"]["engine"] == fcmrt.Engine.load(engine_file).digest_hex
    assert [level["height"] for level in found["header"]["levels"]] == [20, 10]
    assert [packet["pts"] for packet in found["packets"]] == [0, 1, 2]
    assert found["duration_s"] == 2.0
    assert not found["recovered"]
    for packet in found["packets"]:
        assert sum(packet["accounting"].values()) == packet["bytes"]
        assert packet["step"] == 0
    assert found["packet_bytes"]["total"] == sum(p["bytes"] for p in found["packets"])


def test_cut_off_and_damaged_file(run, stream):
    data = bytearray(stream.read_bytes())
    with fcmrt.open(stream) as reader:
        packet = bytes(reader[1])
    data[data.rindex(packet) + 20] ^= 1  # the first packet is the same
    stream.write_bytes(data[:-10])
    found = inspected(run, stream)
    assert found["recovered"]
    assert found["damaged_packets"] == 1
    assert "error" in found["packets"][1]
    text = run("inspect", stream)[1]
    assert "no index" in text
    assert "packet 1 is damaged" in text
    assert "1 packet is damaged" in text


def test_header(run, engine_file, tmp_path):
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file))
    data = write_header(encoder.header)
    (tmp_path / "h").write_bytes(data)
    found = inspected(run, tmp_path / "h")
    assert (found["kind"], found["bytes"]) == ("header", len(data))
    assert found["header"]["profile"] == "exact"
    assert "sizes in every packet" in run("inspect", tmp_path / "h")[1]


def test_bare_and_self_contained_packet(run, engine_file, features, tmp_path):
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file), quality=4)
    packet = encoder.encode(features)[0]
    (tmp_path / "bare").write_bytes(packet)
    bare = inspected(run, tmp_path / "bare", "--engine", engine_file)
    assert (bare["kind"], bare["bytes"], bare["step"]) == ("packet", len(packet), -8)
    assert bare["geometry"] == [[20, 24]]
    assert sum(bare["accounting"].values()) == len(packet)

    (tmp_path / "datagram").write_bytes(write_header(encoder.header) + packet)
    whole = inspected(run, tmp_path / "datagram")
    assert whole["accounting"]["header"] == len(write_header(encoder.header))
    assert whole["header"]["engine"] == fcmrt.Engine.load(engine_file).digest_hex
    assert "20 x 24 cells" in run("inspect", tmp_path / "datagram")[1]


@pytest.mark.parametrize("content", [b"", b"Apache License", bytes(100), b"FCMH", b"\x89FCM\r\n"])
def test_anything_else_is_refused(run, engine_file, tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    code, out, err = run("inspect", tmp_path / "x", "--engine", engine_file)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_listing_is_complete_and_readable(engine_file, stream):
    engine = listing(describe(engine_file, lambda: fcmrt.Engine.load(engine_file)))
    for word in ("tiny-hyperprior", "hyper_synthesis", "z_hat -> y_mean, y_index", "skip below 4"):
        assert word in engine
    file = listing(describe(stream, lambda: fcmrt.Engine.load(engine_file)))
    assert "complete" in file
    assert all(len(line) <= 120 for line in file.splitlines())


def test_what_a_terminal_would_obey_is_written_out(run, tmp_path):
    level = LevelSpec(name="\x1b[2Jp3", channels=1)
    header = fcmrt.StreamHeader(
        engine_digest=bytes(32), levels=(level,), notes=(("\x9bkey", "ü\x1b]0;title\x07\n\u202e"),)
    )
    path = tmp_path / "header"
    path.write_bytes(write_header(header))
    code, out, err = run("inspect", path)
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert r"level \x1b[2Jp3" in out
    assert r"note \x9bkey" in out
    assert r"ü\x1b]0;title\x07\n\u202e" in out


def test_a_packet_with_an_importance(run, engine_file, features, tmp_path):
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file))
    picture = {name: level[0] for name, level in features.items()}
    importance = fcmrt.Importance((2,), (5,), fcmrt.Regions(1, ((0, 1, 2, 3, -8),)))
    path = tmp_path / "packet"
    path.write_bytes(encoder.encode(picture, importance=importance))
    found = inspected(run, path, "--engine", engine_file)
    assert found["importance"] == {
        "offsets": [2],
        "mix": [5],
        "block": 2,
        "rectangles": [{"row": 0, "column": 1, "rows": 2, "columns": 3, "offset": -8}],
    }
    text = run("inspect", path, "--engine", engine_file)[1]
    assert "offsets by group +2" in text
    assert "first channels by group 5" in text
    assert "1 rectangle of 2-cell blocks at -8" in text
    path.write_bytes(encoder.encode(picture))
    assert inspected(run, path, "--engine", engine_file)["importance"] is None
    assert "the same step everywhere" in run("inspect", path, "--engine", engine_file)[1]


def test_the_importance_of_packets_in_a_file(run, engine_file, features, tmp_path):
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file))
    picture = {name: level[0] for name, level in features.items()}
    told = (
        None,
        fcmrt.Importance((2,), (5,)),
        fcmrt.Importance((), (), fcmrt.Regions(1, ((0, 1, 2, 3, -8), (2, 1, 1, 1, 4)))),
    )
    path = tmp_path / "o.fcm"
    with fcmrt.open(path, "wb", header=encoder.header) as writer:
        for importance in told:
            writer.write(encoder.encode(picture, importance=importance))
    lines = run("inspect", path)[1].splitlines()
    head = next(n for n, line in enumerate(lines) if line.endswith("  importance"))
    plain, offsets, regions = lines[head + 1 : head + 4]
    assert plain.split()[-1] == "1"
    assert offsets.endswith("  offsets +2, mix")
    assert regions.endswith("  2 rectangles")
    assert all(len(line) <= 120 for line in lines)
