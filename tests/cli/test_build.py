"""`build`: plans from the command line."""

from __future__ import annotations

import dataclasses
import json

import pytest

import fcmrt
from fcmrt.plans import LIBRARIES, PlanLibrary
from fcmrt.tensorrt import library as library_module

from ..engines import hyperprior_parts


class PaperLibrary(PlanLibrary):
    """Writes down what it was to build."""

    name = "tensorrt-rtx"
    keeps_timings = False
    built = 0

    @property
    def version(self) -> str:
        return "1.0"

    @property
    def targets(self) -> tuple[str, ...]:
        return "sm_86", "sm_89"

    def build(self, recipe, timings=b""):
        PaperLibrary.built += 1
        return repr(recipe.options).encode(), b""


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    monkeypatch.setattr("fcmrt.plans.find_library", lambda name: PaperLibrary(None))
    monkeypatch.setattr(PaperLibrary, "built", 0)


@pytest.fixture
def build(run, engine_file, tmp_path):
    def call(*arguments: object):
        return run("build", engine_file, "--cache-dir", tmp_path, *arguments)

    return call


def test_builds_once_and_lists(build, engine_file, tmp_path):
    code, out, err = build("--list")
    assert (code, err) == (0, "")
    assert "no plans of this engine" in out
    code, out, err = build("--target", "sm_86,sm_89", "--size", "10x12")
    assert (code, err, PaperLibrary.built) == (0, "", 6)
    assert f"plans in {tmp_path / 'plans'}, sizes 12x12" in out
    assert out.count(" built ") == 6
    code, out, err = build("--target", "sm_86,sm_89", "--size", "12x12")
    assert (code, err, PaperLibrary.built) == (0, "", 6)
    assert out.count(" in cache ") == 6
    code, out, err = build("--list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 8
    for graph in fcmrt.Engine.load(engine_file).manifest.graphs:
        assert sum(line.split()[:1] == [graph] for line in lines) == 2
    assert out.count("tensorrt-rtx 1.0") == 6


def test_json(build, tmp_path):
    code, out, err = build(
        *("--target", "sm_89", "--size", "8x8", "--size", "4x4..8x8..16x16"),
        *("--graph", "synthesis", "--tf32", "--level", 2, "--workspace", 3, "--json"),
    )
    assert (code, err) == (0, "")
    (plan,) = json.loads(out)["plans"]
    assert (plan["graph"], plan["target"], plan["built"]) == ("synthesis", "sm_89", True)
    assert plan["sizes"] == ["8x8", "4x4..8x8..16x16"]
    told = plan["ingredients"]
    assert (told["tf32"], told["optimization_level"], told["workspace_bytes"]) == (True, 2, 3 << 20)
    assert (tmp_path / "plans" / plan["path"]).read_bytes()
    listed = json.loads(build("--list", "--json")[1])
    assert listed["cache"] == str(tmp_path / "plans")
    assert listed["plans"] == [
        {key: value for key, value in plan.items() if key not in ("target", "sizes", "built")}
    ]


def test_sizes_of_the_card_are_the_default(run, tmp_path):
    parts = hyperprior_parts()
    manifest = dataclasses.replace(parts.manifest, card={"sizes": [[8, 8], [12, 16]]})
    path = tmp_path / "sized.fcmrt"
    path.write_bytes(dataclasses.replace(parts, manifest=manifest).pack())
    _, out, _ = run("build", path, "--target", "sm_89", "--cache-dir", tmp_path)
    assert "sizes 8x8, 12x16" in out
    _, out, _ = run("build", path, "--target", "sm_89", "--cache-dir", tmp_path, "--size", "4x4")
    assert "sizes 4x4" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "sm_89"), "give --size HxW, the height and width of p3"),
        (("--target", "sm_90", "--size", "8x8"), "sm_86, sm_89"),
        (("--target", "", "--size", "8x8"), "sm_86, sm_89"),
        (("--target", "sm_89", "--size", "8"), "HEIGHTxWIDTH"),
        (("--target", "sm_89", "--size", "8x8", "--graph", "x"), "no graph 'x'"),
        (("--target", "sm_89", "--size", "8x8", "--level", "6"), "optimization_level"),
    ],
)
def test_what_cannot_be_built(build, arguments, words):
    code, out, err = build(*arguments)
    assert (code, out, PaperLibrary.built) == (2, "", 0)
    assert len(err.splitlines()) == 1
    assert words in err


def test_without_a_library(build, monkeypatch):
    monkeypatch.setattr("fcmrt.plans.find_library", library_module.find_library)
    monkeypatch.setattr(library_module.importlib.util, "find_spec", lambda name: None)
    code, out, err = build("--target", "sm_89", "--size", "8x8")
    assert (code, out) == (2, "")
    assert "pip install 'fcmrt[tensorrt-rtx]'" in err


def test_target_or_list(build):
    for arguments in (), ("--list", "--target", "sm_89"):
        with pytest.raises(SystemExit):
            build(*arguments)


def test_the_choices_are_the_libraries():
    from fcmrt.cli.build import LIBRARY_NAMES

    assert tuple(LIBRARIES) == LIBRARY_NAMES
