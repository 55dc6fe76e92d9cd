"""`verify`: the table, the JSON, what it takes, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fcmrt
import fcmrt.verify
from fcmrt.verify import Configuration
from tests.test_verify import WrongRunner

PHOTO = Path(fcmrt.__file__).parent / "assets" / "photos" / "dog.jpg"


@pytest.fixture(autouse=True)
def one_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one way to run networks, to be quick."""
    one = Configuration("one", fcmrt.RuntimeOptions(threads=1))
    monkeypatch.setattr(fcmrt.verify, "runner_configurations", lambda: [one])


def test_table(run, engine_file):
    code, out, err = run("verify", engine_file)
    assert (code, err) == (0, "")
    assert "tiny-hyperprior, exact" in out
    assert "random features, seed 0" in out
    for step in ("encode: run analysis", "decode: code y", "encode: quantize z", "decode: check"):
        assert step in out
    assert "Every stage that must be exact is exact here." in out
    assert all(len(line) <= 140 for line in out.splitlines())


def test_json(run, engine_file, one, tmp_path):
    code, out, err = run("verify", engine_file, "--features", one, "--json", "-", "--repeats", 1)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    assert found["exact"] is True
    assert found["profile"] == "exact"
    assert found["digest"] == fcmrt.Engine.load(engine_file).digest_hex
    assert list(found["configurations"]) == ["one"]
    (hyper,) = (
        s for s in found["stages"] if s["side"] == "decode" and s["step"] == "run hyper_synthesis"
    )
    assert (hyper["differing"], hyper["verdict"]) == (0, "exact")
    assert hyper["bringup"][0]["exact"] is True
    assert hyper["integers"] > 0
    file = tmp_path / "found.json"
    code, out, _ = run("verify", engine_file, "--features", one, "--json", file)
    assert code == 0
    assert "decode: check" in out
    assert len(json.loads(file.read_text())["stages"]) == len(found["stages"])


def test_a_batch_is_taken_apart(run, engine_file, batch, one):
    def integers(path: Path) -> int:
        out = run("verify", engine_file, "--features", path, "--json", "-", "--repeats", 1)[1]
        return sum(stage["integers"] for stage in json.loads(out)["stages"] if stage["side"])

    assert integers(batch) > 1.9 * integers(one)


def test_a_stage_that_is_not_exact_fails(run, engine_file, monkeypatch):
    monkeypatch.setattr("fcmrt.verify.networks.make_runner", WrongRunner)
    code, out, _ = run("verify", engine_file)
    assert code == 1
    assert "refused by the bring-up" in out
    assert "NOT exact here: one." in out


def test_photos_of_the_shipped_engine(run):
    code, out, err = run("verify", "--photo", PHOTO, "--repeats", 1)
    assert (code, err) == (0, "")
    assert "dog.jpg" in out
    assert "run synthesis" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--photo", PHOTO), "its card says"),
        (("--repeats", "0"), "at least 1"),
        (("--features", "absent.npz"), "absent.npz"),
        (("--quality", "99"), "99"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(run, engine_file, arguments, text):
    code, out, err = run("verify", engine_file, *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1
