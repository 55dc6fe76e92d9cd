"""Opening .fcm files: what else a file may be, and files larger than the limits."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from fcmrt.bitstream import LevelSpec, write_header


@pytest.fixture
def decode(run, engine_file, tmp_path):
    def call(content: bytes, *more: object):
        path = tmp_path / "given"
        path.write_bytes(content)
        code, _, err = run("decode", path, "-o", tmp_path / "d", "--engine", engine_file, *more)
        assert code == 2
        assert f"{path}: " in err
        assert len(err.splitlines()) == 1
        return err

    return call


def test_what_is_no_stream_is_told_apart(decode, engine_file, features):
    assert "not an .fcm file, nor a packet of the engine" in decode(b"\xff\xd8\xff a photo")
    assert "not an .fcm file" in decode(b"")
    assert "a ZIP, as engines and .npz files are" in decode(engine_file.read_bytes())
    encoder = fcmrt.Encoder(fcmrt.Engine.load(engine_file))
    packet = encoder.encode({name: level[0] for name, level in features.items()})
    assert "a bare packet of the engine" in decode(packet)
    assert "begins with a stream header" in decode(write_header(encoder.header) + packet)


def test_a_damaged_stream_is_told_as_one(decode, run, engine_file, one, tmp_path):
    run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    data = (tmp_path / "o.fcm").read_bytes()
    assert "line ends were changed" in decode(data.replace(b"\r\n", b"\n", 1))
    assert "ends before its header" in decode(data[:10])


@pytest.mark.parametrize("sized", [True, False])
def test_the_option_for_more_elements_is_named(run, engine_file, features, tmp_path, sized):
    engine = fcmrt.Engine.load(engine_file)
    picture = {name: level[0] for name, level in features.items()}
    sizes = {name: level.shape[-2:] for name, level in picture.items()} if sized else None
    encoder = fcmrt.Encoder(engine, sizes=sizes)
    path = tmp_path / "o.fcm"
    with fcmrt.open(path, "wb", header=encoder.header) as writer:
        writer.write(encoder.encode(picture))
    target = tmp_path / "d.npz"
    command = ("decode", path, "-o", target, "--engine", engine_file, "--max-elements")
    code, _, err = run(*command, 1000)
    assert code == 2
    assert "--max-elements" in err
    assert not target.exists()
    code, _, err = run(*command, 100_000)
    assert (code, err) == (0, "")
    with np.load(target) as found:
        assert found["p3"].shape == (6, 20, 24)


def test_inspect_shows_streams_of_any_size(run, tmp_path):
    level = LevelSpec(name="p3", channels=128, height=1024, width=1024)
    header = fcmrt.StreamHeader(engine_digest=bytes(32), levels=(level,))
    assert header.elements == 2 * fcmrt.Limits().max_elements
    with fcmrt.open(tmp_path / "large.fcm", "wb", header=header):
        pass
    code, out, err = run("inspect", tmp_path / "large.fcm")
    assert (code, err) == (0, "")
    assert "[128, 1024, 1024]" in out
