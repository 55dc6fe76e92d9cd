"""Where `encode` and `decode` write: never over what they read, and never in place of a device."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

import fcmrt


@pytest.fixture
def stream(run, engine_file, one, tmp_path):
    path = tmp_path / "o.fcm"
    assert run("encode", one, "-o", path, "--engine", engine_file)[0] == 0
    return path


@pytest.fixture
def own_engine(engine_file, tmp_path):
    """An engine file that may come to harm."""
    return shutil.copy(engine_file, tmp_path / "own.fcmrt")


@pytest.mark.parametrize("kind", ["same", "link", "hard link"])
def test_inputs_are_not_written_over(run, own_engine, one, stream, tmp_path, kind):
    def called(path):
        other = tmp_path / f"other{path.suffix}"
        other.unlink(missing_ok=True)
        if kind == "link":
            other.symlink_to(path)
        elif kind == "hard link":
            other.hardlink_to(path)
        return path if kind == "same" else other

    inside = tmp_path / "00000.npz"
    for command, source, target in (
        ("encode", one, called(one)),
        ("encode", one, called(own_engine)),
        ("decode", shutil.copy(stream, tmp_path / "stream.npz"), None),
        ("decode", shutil.copy(stream, inside), tmp_path),
    ):
        target = target or called(source)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        code, _, err = run(command, source, "-o", target, "--engine", own_engine)
        assert code == 2
        assert "is one of the inputs" in err
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_link_is_followed(run, engine_file, one, stream, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("target.fcm")
    assert run("encode", one, "-o", link, "--engine", engine_file)[0] == 0
    assert link.is_symlink()
    assert (tmp_path / "target.fcm").read_bytes() == stream.read_bytes()


def test_a_part_file_of_somebody_else_stays(run, engine_file, one, tmp_path):
    (tmp_path / "o.fcm.part").write_bytes(b"mine")
    assert run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file)[0] == 0
    assert (tmp_path / "o.fcm.part").read_bytes() == b"mine"


@pytest.fixture
def pipe(tmp_path):
    """A pipe, and what reads all that was written to it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, lambda: os.read(reader, 1 << 20)
    os.close(reader)


def test_pipes_stay_pipes(run, engine_file, one, stream, tmp_path, pipe):
    path, read = pipe
    code, out, err = run("encode", one, "-o", path, "--engine", engine_file)
    assert (code, err) == (0, "")
    assert "file" not in out.splitlines()[-1]
    assert read() == stream.read_bytes()
    assert run("decode", stream, "-o", path, "--engine", engine_file)[::2] == (0, "")
    (tmp_path / "decoded.npz").write_bytes(read())
    with np.load(tmp_path / "decoded.npz") as found:
        assert found["p3"].shape == (6, 20, 24)
    assert path.is_fifo()


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_folders_are_checked_before_the_work(run, engine_file, one, stream, tmp_path, command):
    source = one if command == "encode" else stream
    for target, text in (
        (tmp_path / "nowhere" / "x.npz", f"there is no folder {tmp_path / 'nowhere'}"),
        *([(tmp_path, "is a folder")] if command == "encode" else []),
    ):
        code, out, err = run(command, source, "-o", target, "--engine", engine_file)
        assert (code, out) == (2, "")
        assert text in err


def test_decode_says_that_the_target_is_a_file(run, engine_file, stream, tmp_path):
    (tmp_path / "there").write_bytes(b"mine")
    code, _, err = run("decode", stream, "-o", tmp_path / "there", "--engine", engine_file)
    assert code == 2
    assert "is a file already; features go into an .npz or a folder" in err
    assert (tmp_path / "there").read_bytes() == b"mine"


def test_nothing_whole_is_nothing_to_write(run, engine_file, stream, tmp_path):
    with fcmrt.open(stream) as reader:
        begin = stream.read_bytes().index(bytes(reader[0]))
    cut = tmp_path / "cut.fcm"
    cut.write_bytes(stream.read_bytes()[: begin + 10])
    code, _, err = run("decode", cut, "-o", tmp_path / "t.npz", "--engine", engine_file)
    assert code == 2
    assert "there is no whole packet in the file" in err


def test_a_lost_packet_is_not_told_as_written(run, engine_file, stream, tmp_path):
    with fcmrt.open(stream) as reader:
        packet = bytes(reader[0])
    data = bytearray(stream.read_bytes())
    data[data.index(packet) + 10] ^= 1
    stream.write_bytes(data)
    target = tmp_path / "t.npz"
    target.write_bytes(b"old")
    code, out, err = run("decode", stream, "-o", target, "--engine", engine_file)
    assert code == 2
    assert "packet 0 is lost" in err
    assert "nothing was written" in out
    assert target.read_bytes() == b"old"


def test_reports_and_pictures_are_not_written_over_inputs(run, own_engine, one, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"a picture")
    for command in (
        ("verify", own_engine, "--json", own_engine),
        ("verify", own_engine, "--features", one, "--json", one),
        ("demo", "--image", photo, "--out", photo),
    ):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        code, _, err = run(*command)
        assert code == 2
        assert "is one of the inputs" in err
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
