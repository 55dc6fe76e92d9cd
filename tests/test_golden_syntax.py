"""The golden files of the syntax: published bytes keep their meaning."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pathlib
from types import ModuleType
from typing import Any

import pytest

GOLDEN = pathlib.Path(__file__).parent / "golden"


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_syntax", GOLDEN / "make_syntax.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = load_maker()
MANIFESTS: dict[str, Any] = {
    name: json.loads((GOLDEN / name / "manifest.json").read_text("utf-8")) for name in MAKER.SETS
}


@pytest.mark.parametrize(
    ("folder", "name"),
    [(folder, name) for folder, manifest in MANIFESTS.items() for name in sorted(manifest)],
)
def test_golden_files_mean_what_they_meant(folder: str, name: str) -> None:
    """F-1, F-9, F-11, and the wire part of F-4 and F-6."""
    data = (GOLDEN / folder / name).read_bytes()
    entry = MANIFESTS[folder][name]
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert MAKER.describe(name, data) == entry["expected"]


@pytest.mark.parametrize("folder", MANIFESTS)
def test_the_same_contents_still_give_the_same_bytes(folder: str) -> None:
    built = MAKER.SETS[folder]()
    for name, entry in MANIFESTS[folder].items():
        assert hashlib.sha256(built[name]).hexdigest() == entry["sha256"], name


@pytest.mark.parametrize("folder", MANIFESTS)
def test_no_file_is_without_its_entry(folder: str) -> None:
    found = {path.name for path in (GOLDEN / folder).iterdir()}
    assert found == {*MANIFESTS[folder], "manifest.json"}


def test_golden_files_are_not_made_again() -> None:
    with pytest.raises(SystemExit, match="never made again"):
        MAKER.main()
