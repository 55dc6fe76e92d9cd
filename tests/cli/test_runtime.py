"""`encode` and `decode` with a runner, its precision and its threads."""

from __future__ import annotations

import pytest

import fcmrt


def test_a_same_engine_stream_decodes_as_it_was_encoded(run, same_engine_file, one, tmp_path):
    path, engine = tmp_path / "o.fcm", ("--engine", same_engine_file)
    told = ("--runner", "torch", "--precision", "float64", "--threads", "2")
    pytest.importorskip("torch")
    assert run("encode", one, "-o", path, *engine, *told)[::2] == (0, "")
    code, _, err = run("decode", path, "-o", tmp_path / "d.npz", *engine)
    assert code == 2
    assert "this is onnxruntime" in err
    assert run("decode", path, "-o", tmp_path / "d.npz", *engine, *told)[::2] == (0, "")
    wanted = fcmrt.RuntimeOptions(runner="torch", precision="float64", threads=2)
    encoder = fcmrt.Encoder(fcmrt.Engine.load(same_engine_file), options=wanted)
    with fcmrt.open(path) as reader:
        assert reader.header.runner_digest == encoder.header.runner_digest


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (("--precision", "bfloat16"), "the runner 'torch' can"),
        (("--runner", "reference", "--device", "cuda"), "runs on 'cpu'"),
        (("--threads", "0"), "must be 1 to 1024"),
    ],
)
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_choices_that_do_not_go_together(run, one, tmp_path, command, told, text):
    code, out, err = run(command, one, "-o", tmp_path / "x", *told)
    assert (code, out) == (2, "")
    assert text in err
