"""The record of verdicts: kept, found again, and never in the way."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fcmrt.exact import Question, Verdict, VerdictCache, cache_folder

PASS = Verdict(True, 0, 100, 7, {"conv": 0.5}, 0.25)
QUESTION = Question("ab" * 32, "runner 1, cpu", {"z": (1, 4, 3, 3)}, ("y_mean", "y_index"))


@pytest.fixture
def cache(tmp_path: Path) -> VerdictCache:
    return VerdictCache(tmp_path / "new")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_pass_is_found_again(cache: VerdictCache, tmp_path: Path) -> None:
    assert cache.find(QUESTION) is None
    cache.keep(QUESTION, PASS)
    assert cache.find(QUESTION) == PASS
    assert VerdictCache(tmp_path / "new").find(QUESTION) == PASS
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"graph": "cd" * 32},
        {"runner": "runner 2, cpu"},
        {"shapes": {"z": (1, 4, 3, 4)}},
        {"shapes": {"w": (1, 4, 3, 3)}},
        {"outputs": ("y_mean",)},
    ],
)
def test_other_questions_have_no_answer(cache: VerdictCache, other: dict[str, object]) -> None:
    cache.keep(QUESTION, PASS)
    assert cache.find(dataclasses.replace(QUESTION, **other)) is None  # type: ignore[arg-type]


def test_failures_are_not_kept(cache: VerdictCache, tmp_path: Path) -> None:
    cache.keep(QUESTION, dataclasses.replace(PASS, exact=False, differing=3))
    assert cache.find(QUESTION) is None
    assert not files(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: "\ud800",
        lambda text: text.replace('"exact": true', '"exact": 1'),
        lambda text: text.replace('"exact": true', '"exact": false'),
        lambda text: text.replace('"reach"', '"grasp"'),
        lambda text: text.replace("runner 1", "runner 2"),
        lambda text: json.dumps({"question": json.loads(text)["question"], "verdict": None}),
    ],
)
def test_damaged_records_are_not_there(cache: VerdictCache, tmp_path: Path, damage) -> None:
    cache.keep(QUESTION, PASS)
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_text()).encode("utf-8", "surrogatepass"))
    assert cache.find(QUESTION) is None
    cache.keep(QUESTION, PASS)
    assert cache.find(QUESTION) == PASS


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in tmp_path / "file", tmp_path / "file" / "below", None:
        cache = VerdictCache(folder)
        cache.keep(QUESTION, PASS)
        assert cache.find(QUESTION) is None


def test_a_record_that_cannot_be_replaced_leaves_nothing_behind(
    cache: VerdictCache, tmp_path: Path
) -> None:
    cache.keep(QUESTION, PASS)
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    cache.keep(QUESTION, PASS)
    assert not files(tmp_path)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FCMRT_CACHE_DIR", str(tmp_path / "told"))
    assert cache_folder(str(tmp_path / "chosen")) == tmp_path / "chosen"
    assert cache_folder(None) == tmp_path / "told"
    monkeypatch.delenv("FCMRT_CACHE_DIR")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(None) == tmp_path / "xdg" / "fcmrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder(None) == tmp_path / ".cache" / "fcmrt"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder(None) == tmp_path / "Library" / "Caches" / "fcmrt"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder(None) == tmp_path / "local" / "fcmrt"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("FCMRT_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder(None) is None
