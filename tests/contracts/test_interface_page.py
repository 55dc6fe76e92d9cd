"""`docs/interface.md` names all of the public interface, and nothing that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import fcmrt

PAGE = Path(__file__).parents[2] / "docs" / "interface.md"


def _named() -> set[str]:
    code = " ".join(re.findall(r"`([^`]+)`", PAGE.read_text(encoding="utf-8")))
    return set(re.findall(r"\w+", code))


def test_every_public_name_is_on_the_page() -> None:
    assert set(fcmrt.__all__) - _named() <= {"__version__"}


def test_every_error_is_on_the_page_and_no_other() -> None:
    errors = {name for name, found in vars(fcmrt.errors).items() if isinstance(found, type)} - {
        "Mapping"
    }
    assert errors <= _named()
    assert {name for name in _named() if name.endswith("Error")} <= errors
