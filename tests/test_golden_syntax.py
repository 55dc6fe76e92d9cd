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
MANIFEST: dict[str, Any] = json.loads((GOLDEN / "syntax" / "manifest.json").read_text("utf-8"))


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_syntax", GOLDEN / "make_syntax.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = load_maker()


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_golden_files_mean_what_they_meant(name: str) -> None:
    """F-1, F-9, and the wire part of F-4 and F-6."""
    data = (GOLDEN / "syntax" / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == MANIFEST[name]["sha256"]
    assert MAKER.describe(name, data) == MANIFEST[name]["expected"]


def test_the_same_contents_still_give_the_same_bytes() -> None:
    built = MAKER.build()
    for name, entry in MANIFEST.items():
        assert hashlib.sha256(built[name]).hexdigest() == entry["sha256"], name


def test_no_file_is_without_its_entry() -> None:
    found = {path.name for path in (GOLDEN / "syntax").iterdir()}
    assert found == {*MANIFEST, "manifest.json"}


def test_golden_files_are_not_made_again() -> None:
    with pytest.raises(SystemExit, match="never made again"):
        MAKER.main()
