"""Type checkers see fcmrt's types, and users can name all that its signatures do."""

from __future__ import annotations

import importlib.resources
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import fcmrt

INSIDES = {fcmrt.Graph, fcmrt.Manifest, fcmrt.Proof, fcmrt.Walk}
"""Public for their names: what they are made of is the house's."""
PUBLIC = [
    entry
    for entry in (getattr(fcmrt, name) for name in fcmrt.__all__)
    if callable(entry) and entry not in INSIDES
]


def test_the_package_is_marked_as_typed() -> None:
    """PEP 561; the file is of the installed package, so that it is in the wheel."""
    assert (importlib.resources.files("fcmrt") / "py.typed").is_file()


def own_classes(hint: Any) -> Iterator[type]:
    """The classes of fcmrt that an annotation names."""
    for part in typing.get_args(hint):
        yield from own_classes(part)
    if isinstance(hint, type) and hint.__module__.partition(".")[0] == "fcmrt":
        yield hint


def annotations(entry: Any) -> Iterator[tuple[str, Any]]:
    """What public fields and methods of a class, or a function, are annotated with."""
    if inspect.isfunction(entry):
        yield from typing.get_type_hints(entry).items()
    if not inspect.isclass(entry):
        return
    for name, member in [("", entry), *vars(entry).items()]:
        if name.startswith("_") and name != "__getitem__":
            continue
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "__func__", function)
        if member is entry or inspect.isfunction(function):
            for place, hint in typing.get_type_hints(function).items():
                if not place.startswith("_"):
                    yield f"{name}({place})", hint
    # Of a dataclass the fields are what it is made from.
    if "__dataclass_fields__" not in vars(entry) and inspect.isfunction(entry.__init__):
        yield from typing.get_type_hints(entry.__init__).items()


@pytest.mark.parametrize("entry", PUBLIC, ids=lambda entry: entry.__name__)
def test_types_of_signatures_are_public(entry: Any) -> None:
    for place, hint in annotations(entry):
        for found in own_classes(hint):
            assert getattr(fcmrt, found.__name__, None) is found, f"{place} names {found}"
