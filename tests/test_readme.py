"""The code of `README.md`, as it stands there: a photo's features are encoded and decoded."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import fcmrt

pytest.importorskip("PIL")

TEXT = Path(__file__).parents[1] / "README.md"


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with resources.as_file(resources.files("fcmrt") / "assets" / "photos" / "dog.jpg") as photo:
        shutil.copy(photo, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
    page: dict[str, Any] = {}
    exec(compile(block, str(TEXT), "exec"), page)
    assert isinstance(page["packet"], fcmrt.Packet)
    assert {name: level.shape for name, level in page["features"].items()} == {
        "p3": (128, 52, 52),
        "p4": (128, 26, 26),
        "p5": (128, 13, 13),
    }
    assert page["outputs"].scores.max() > 0.4
