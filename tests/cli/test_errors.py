"""What goes wrong is told in one line on standard error, with exit code 2 and no traceback."""

from __future__ import annotations

import numpy as np
import pytest

import fcmrt
from fcmrt.cli import COMMANDS, main


def assert_told(result: tuple[int, str, str], command: str, *words: str) -> None:
    code, _, err = result
    assert code == 2
    assert err.startswith(f"fcmrt {command}: error: ")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    "command", [("inspect",), ("decode", "-o", "x.npz"), ("encode", "-o", "x")]
)
def test_missing_input(run, engine_file, tmp_path, command):
    missing = tmp_path / "missing.npz"
    options = () if command[0] == "inspect" else ("--engine", engine_file)
    result = run(command[0], missing, *command[1:], *options)
    assert_told(result, command[0], str(missing), "No such file")


def test_too_little_memory_is_told_in_a_line(run, engine_file, one, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("fcmrt.encoder.Encoder.encode", fail)
    code, _, err = run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    assert (code, err) == (2, "fcmrt encode: error: there is not enough memory\n")


def test_missing_engine(run, one, tmp_path):
    missing = tmp_path / "missing.fcmrt"
    result = run("encode", one, "-o", tmp_path / "o.fcm", "--engine", missing)
    assert_told(result, "encode", str(missing), "No such file")


@pytest.mark.parametrize("content", [b"", b"not an engine", b"PK\x03\x04 nor this"])
def test_not_an_engine(run, one, tmp_path, content):
    bad = tmp_path / "bad.fcmrt"
    bad.write_bytes(content)
    result = run("encode", one, "-o", tmp_path / "o.fcm", "--engine", bad)
    assert_told(result, "encode", str(bad))


def test_wrong_engine_for_a_file(run, engine_file, single_level_engine_file, one, tmp_path):
    run("encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    result = run(
        "decode", tmp_path / "o.fcm", "-o", tmp_path / "d", "--engine", single_level_engine_file
    )
    assert_told(result, "decode", "made with engine", "load the engine file")


@pytest.mark.parametrize("quality", ["0", "4.5", "nan", "-1"])
def test_quality_out_of_range(run, engine_file, one, tmp_path, quality):
    result = run(
        "encode", one, "-o", tmp_path / "o.fcm", "--engine", engine_file, f"--quality={quality}"
    )
    assert_told(result, "encode", "quality", "1 to 4")
    assert not (tmp_path / "o.fcm").exists()


def test_not_a_stream_file(run, engine_file, one, tmp_path):
    assert_told(run("decode", one, "-o", tmp_path / "d", "--engine", engine_file), "decode")


@pytest.mark.parametrize("name", ["bad.npz", "bad.npy"])
def test_not_a_numpy_file(run, engine_file, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x93NUMPY and more")
    result = run("encode", tmp_path / name, "-o", tmp_path / "o.fcm", "--engine", engine_file)
    assert_told(result, "encode", name)


def test_pickles_are_refused(run, engine_file, tmp_path):
    np.savez(tmp_path / "p.npz", p3=np.array([{}], object), p4=np.zeros((8, 2, 2), np.float32))
    result = run("encode", tmp_path / "p.npz", "-o", tmp_path / "o.fcm", "--engine", engine_file)
    assert_told(result, "encode", "p.npz")


def test_other_level_names(run, single_level_engine_file, one, tmp_path):
    result = run("encode", one, "-o", tmp_path / "o.fcm", "--engine", single_level_engine_file)
    assert_told(result, "encode", "p3, p4", "takes f")


def test_wrong_rank_and_channels(run, engine_file, tmp_path):
    for shape in ((20, 24), (5, 20, 24)):
        p3, p4 = np.zeros(shape, np.float32), np.zeros((8, 10, 12), np.float32)
        np.savez(tmp_path / "x.npz", p3=p3, p4=p4)
        result = run("encode", tmp_path / "x.npz", "-o", tmp_path / "o", "--engine", engine_file)
        assert_told(result, "encode", "p3", str(list(shape)))


def test_picture_without_task_and_features_with_one(run, engine_file, one, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    options = ("-o", tmp_path / "o.fcm", "--engine", engine_file)
    assert_told(run("encode", tmp_path / "photo.jpg", *options), "encode", "--task nanodet")
    assert_told(run("encode", one, "--task", "nanodet", *options), "encode", "--task is for")


def test_usage_errors_leave_with_code_2(capsys):
    for arguments in ([], ["unknown"], ["encode"], ["decode", "a", "--packet", "x"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "usage: fcmrt" in capsys.readouterr().err


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"] if command is None else [command, "--help"])
    assert stopped.value.code == 0
    assert "usage: fcmrt" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == f"fcmrt {fcmrt.__version__}"


def test_a_stream_of_another_runner(run, same_engine_file, one, features, tmp_path):
    engine = fcmrt.Engine.load(same_engine_file)
    encoder = fcmrt.Encoder(engine, options=fcmrt.RuntimeOptions(threads=7))
    with fcmrt.open(tmp_path / "o.fcm", "wb", header=encoder.header) as writer:
        writer.write(encoder.encode({name: level[0] for name, level in features.items()}))
    result = run("decode", tmp_path / "o.fcm", "-o", tmp_path / "d", "--engine", same_engine_file)
    assert_told(result, "decode", "threads 7", "this is onnxruntime", "Decode it where it was made")
    code, out, _ = run("inspect", tmp_path / "o.fcm")
    assert code == 0
    assert "threads 7" in out
