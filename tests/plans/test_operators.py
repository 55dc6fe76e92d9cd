"""The table of operators in `docs/plans.md` is what TensorRT-RTX says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fcmrt.errors import PlanError
from fcmrt.plans import BuildOptions, Profile, Recipe

from .building import rtx
from .operators import REFUSED, TAKEN, model

DOCUMENT = Path(__file__).parents[2] / "docs" / "plans.md"
SIZES = Profile({"x": (1, 8, 8, 8)}, {"x": (1, 8, 16, 16)}, {"x": (1, 8, 64, 64)})


def build(name: str) -> None:
    rtx().build(
        Recipe(
            engine="operators",
            graph=name,
            model=model(name),
            profiles=(SIZES,),
            target="sm_86",
            options=BuildOptions(),
        )
    )


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name):
    build(name)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """Where this fails, a newer library takes more: mend the table."""
    words, _ = REFUSED[name]
    with pytest.raises(PlanError, match=words):
        build(name)


def test_the_table_has_all_of_them_and_no_others():
    rows = re.findall(r"^\| ([^|]+) \| (taken|refused) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert dict(rows) == dict.fromkeys(TAKEN, "taken") | dict.fromkeys(REFUSED, "refused")
