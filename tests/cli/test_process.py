"""The commands as processes of their own: what they load, and where their words and bytes go."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fcmrt

HEAVY = ("onnxruntime", "PIL", "matplotlib", "pycocotools", "torch", "onnx")


def test_module_runs_and_tells_errors_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fcmrt", "inspect", "missing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["fcmrt inspect: error: missing: No such file or directory"]


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_inspect_loads_nothing_heavy(engine_file, tmp_path, json):
    arguments = ["inspect", str(engine_file), *json]
    program = (
        "import sys; from fcmrt.cli import main; "
        f"code = main({arguments!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_a_reader_that_leaves_is_no_error(engine_file, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "fcmrt", "inspect", str(engine_file)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert told == b""


def fcmrt_process(*arguments, redirect="", **options):
    """Runs a command in a shell, its arguments quoted, with redirections."""
    words = " ".join(f"'{word}'" for word in (sys.executable, "-P", "-m", "fcmrt", *arguments))
    return subprocess.run(
        f"{words} {redirect}", shell=True, capture_output=True, check=False, timeout=120, **options
    )


posix = pytest.mark.skipif(os.name != "posix", reason="there are no such redirections here")


@posix
def test_words_do_not_get_between_the_bytes_of_standard_output(engine_file, batch, tmp_path):
    engine, file = ("--engine", engine_file), tmp_path / "o.fcm"
    assert fcmrt_process("encode", batch, "-o", file, *engine).returncode == 0
    piped = fcmrt_process("encode", batch, "-o", "/dev/stdout", *engine, redirect="| cat")
    assert piped.stdout == file.read_bytes()
    assert b"/dev/stdout: 2 packets" in piped.stderr
    more = ("--packet", "0", "-o", "/dev/stdout", *engine)
    decoded = fcmrt_process("decode", file, *more, redirect="| cat")
    assert b"features of 1 packet" in decoded.stderr
    (tmp_path / "d.npz").write_bytes(decoded.stdout)
    with np.load(tmp_path / "d.npz") as found:
        assert sorted(found.files) == ["p3", "p4"]
    nowhere = fcmrt_process("encode", batch, "-o", "/dev/null", *engine, redirect=">/dev/null")
    assert nowhere.stderr == b""


@posix
def test_streams_engines_and_packets_come_through_pipes(engine_file, batch, tmp_path):
    engine, file = ("--engine", engine_file), tmp_path / "o.fcm"
    assert fcmrt_process("encode", batch, "-o", file, *engine).returncode == 0
    done = fcmrt_process(
        "decode", "/dev/stdin", "-o", tmp_path / "d", *engine, input=file.read_bytes()
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((tmp_path / "d").iterdir())) == 2
    bad = fcmrt_process("decode", "/dev/stdin", "-o", tmp_path / "d", *engine, input=b"a" * 50)
    assert b"/dev/stdin: this is not an .fcm file" in bad.stderr
    with fcmrt.open(file) as reader:
        packet = bytes(reader[0])
    kinds = {"file": file.read_bytes(), "engine": engine_file.read_bytes(), "packet": packet}
    for kind, data in kinds.items():
        told = fcmrt_process("inspect", "/dev/stdin", "--json", *engine, input=data).stdout
        assert (json.loads(told)["kind"], json.loads(told)["bytes"]) == (kind, len(data))
    other = fcmrt_process("encode", "/dev/stdin", "-o", tmp_path / "x.fcm", *engine, input=b"")
    assert b"inputs are files" in other.stderr


@posix
def test_there_need_be_no_standard_output(engine_file, one, tmp_path):
    file = tmp_path / "o.fcm"
    more = ("-o", file, "--engine", engine_file)
    done = fcmrt_process("encode", one, *more, redirect=">&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(fcmrt.open(file)) == 1


@posix
def test_a_name_that_cannot_be_written_is_written_out(engine_file, one, tmp_path):
    strange = one.rename(tmp_path / "one\x1b\udcff.npz")
    file, engine = tmp_path / "\u03c9.fcm", ("--engine", engine_file)
    variables = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = fcmrt_process("encode", strange, "-o", file, *engine, env=variables)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"one\x1b\udcff.npz: " in done.stdout
    assert rb"\u03c9.fcm: 1 packet" in done.stdout
    engine_name = fcmrt_process("inspect", file, "--json", env=variables)
    assert json.loads(engine_name.stdout)["kind"] == "file"


@posix
def test_an_output_that_nobody_takes_is_an_error(engine_file, one, tmp_path):
    pipe, engine = tmp_path / "pipe", ("--engine", engine_file)
    os.mkfifo(pipe)
    with subprocess.Popen(["head", "-c", "0", str(pipe)]) as reader:
        done = fcmrt_process("encode", *[one] * 30, "-o", pipe, *engine)
        reader.kill()
    assert (done.returncode, done.stderr) == (
        2,
        f"fcmrt encode: error: {pipe}: Broken pipe\n".encode(),
    )
