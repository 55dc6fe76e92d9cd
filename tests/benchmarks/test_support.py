"""What runs where: the rows, how runs are merged, and that the page is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import support, support_page
from benchmarks.codec_samples import SAMPLES
from fcmrt.errors import BackendUnavailableError, ConfigError, PlanError
from fcmrt.export.families import FAMILIES


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return dict(json.loads(support_page.RESULTS.read_text(encoding="utf-8")))


def test_the_page_is_what_the_command_makes_of_the_results(
    found: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "codecs.md"
    assert support_page.main(["--out", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    assert written == support_page.PAGE.read_text(encoding="utf-8"), (
        "docs/codecs.md is not what was measured: run python -m benchmarks.support_page"
    )
    assert written == support_page.render(found)


def test_every_family_is_measured_or_named_as_missing(found: dict[str, Any]) -> None:
    families = {row["family"] for row in found["rows"]}
    page = support_page.render(found)
    told = page.partition("Not measured here yet: ")[2].partition("\n")[0]
    for name in FAMILIES:
        measured = any(row["codec"] == name for row in found["rows"])
        assert measured != (f"`{name}`" in told)
    for sample in SAMPLES:
        assert sample.codec in FAMILIES
        assert (sample.name in families) != (f"`{sample.codec}`" in told)


def row(family: str = "small", **more: Any) -> dict[str, Any]:
    return {
        "family": family,
        "codec": "trained",
        "summary": "a small one",
        "mechanism": "step",
        "qualities": 3,
        "graphs": 2,
        "code_steps": 1,
        "padding": {"multiple": 8, "mode": "reflect", "align": "start"},
        "profile": "exact",
        "precision": "fp32",
        "runner": "torch",
        "plan": "built",
        "works": True,
        "exact": True,
        "difference": 6.2e-7,
        "symbols": 12345,
        "differing": 0,
        "ties": 0,
        **more,
    }


def result(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "commit": "0" * 40,
        "machine": {"cpu": "a processor", "cores": 2, "python": "3.11"},
        "versions": {"torch": "2.13", "onnxruntime": "1.31", "numpy": "2.4"},
        "command": "python -m benchmarks.support",
        "runners": ["torch"],
        "plans": {"target": "sm_89", "name": "tensorrt-rtx", "version": "1.7"},
        "rows": list(rows),
        **more,
    }


@pytest.mark.parametrize(
    ("more", "cells"),
    [
        ({}, "exact, 6e-7, 0 of 12 345 | built | not run"),
        ({"exact": False}, "**not exact**, 6e-7, 0 of 12 345 | built | not run"),
        ({"exact": None, "differing": 2, "ties": 1}, "6e-7, 2 of 12 345 (1 tie) | built | not run"),
        ({"works": False, "why": "No!"}, "refused | built | not run"),
        ({"plan": "cannot parse it"}, "exact, 6e-7, 0 of 12 345 | refused | not run"),
        ({"plan": None}, "exact, 6e-7, 0 of 12 345 | not built | not run"),
    ],
)
def test_cells(more: dict[str, Any], cells: str) -> None:
    page = support_page.render(result(row(**more)))
    assert f"| `small` | `exact` | {cells} |" in page
    for words in ("No!", "cannot parse it"):
        assert (words in page.partition("## What cannot")[2]) == (words in more.values())


def test_a_device_has_its_column() -> None:
    page = support_page.render(result(row(), row(runner="torch on CUDA", difference=2e-5)))
    assert "| exact, 6e-7, 0 of 12 345 | built | exact, 2e-5, 0 of 12 345 |" in page
    assert "**GPUs**" not in page


def test_rows_are_added_to_those_of_other_runs() -> None:
    first = result(row("a"), row("b"), versions={"torch": "1"})
    rows, earlier = support.merged([row("b", difference=1.0), row("c")], first)
    assert [(r["family"], r["difference"]) for r in rows] == [
        ("a", 6.2e-7),
        ("b", 1),
        ("c", 6.2e-7),
    ]
    assert [(run["families"], run["versions"]) for run in earlier] == [(["a"], {"torch": "1"})]
    assert earlier[0]["commit"] == first["commit"]
    second = result(*rows, versions={"torch": "2"}, earlier=earlier)
    rows, earlier = support.merged([row("c")], second)
    assert [r["family"] for r in rows] == ["a", "b", "c"]
    assert [(run["families"], run["versions"]["torch"]) for run in earlier] == [
        (["a"], "1"),
        (["b"], "2"),
    ]


def test_adding_needs_a_file_to_add_to() -> None:
    with pytest.raises(ConfigError, match="--json PATH"):
        support.main(["--add"])


def test_without_a_library_or_a_package_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable(name: str) -> None:
        raise BackendUnavailableError(f"no {name}")

    def rows_of(sample: Any, pictures: int, library: Any, _: Any) -> list[dict[str, Any]]:
        assert library is None
        if sample.name == "lic-tcm":
            raise ModuleNotFoundError("No module named 'timm'")
        return [row(sample.name, plan=None)]

    monkeypatch.setattr(support, "find_library", unavailable)
    monkeypatch.setattr(support, "rows_of", rows_of)
    path = tmp_path / "support.json"
    chosen = ["--family", "lmsfc-v1", "--family", "lic-tcm"]
    assert support.main([*chosen, "--json", str(path)]) == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [r["family"] for r in written["rows"]] == ["lmsfc-v1"]
    assert written["plans"] is None
    assert "lic-tcm was not measured: No module named 'timm'" in capsys.readouterr().out


def test_a_refused_plan_gives_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PlanError("cannot parse it", engine="small", graph="synthesis")

    monkeypatch.setattr(support, "build_plans", refuse)
    sample = next(one for one in SAMPLES if one.name == "lmsfc-v1")
    rows = list(support.rows_of(sample, 1, object(), ["fp32"]))  # type: ignore[arg-type]
    assert {(r["profile"], r["runner"]) for r in rows} == {
        (profile, runner)
        for profile in ("same-engine", "exact")
        for runner in ("onnxruntime", "torch", "reference")
    } | {(r["profile"], r["runner"]) for r in rows if r["runner"] == support_page.CUDA}
    for r in rows:
        assert r["plan"] == "cannot parse it"
        assert r["works"] is True
        assert r["exact"] is (True if r["profile"] == "exact" else None)
        assert 0 < r["difference"] < 1e-4
        assert r["differing"] == r["ties"]
