"""The key of a plan: everything that changes the plan changes it, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fcmrt.errors import ConfigError
from fcmrt.plans import BuildOptions, Profile, Recipe
from fcmrt.tensorrt import recipe as recipe_module
from fcmrt.tensorrt.recipe import Shape, plan_key, takes

SHAPES = {"p3": (1, 128, 52, 52), "p4": (1, 128, 26, 26)}
RECIPE = Recipe(
    engine="tiny",
    graph="analysis",
    model=b"model",
    profiles=(Profile(SHAPES, SHAPES, SHAPES),),
    target="sm_89",
    options=BuildOptions(),
)
LIBRARY = {"name": "tensorrt", "version": "11.4", "device": "L4", "driver": 13000}


def key(recipe: Recipe = RECIPE, library: dict[str, Any] = LIBRARY) -> str:
    return plan_key(recipe.ingredients(library))


def test_each_ingredient_changes_the_key(monkeypatch):
    larger = {**SHAPES, "p4": (1, 128, 28, 26)}
    changed = [
        {"model": b"modem"},
        {"target": "sm_86"},
        {"profiles": (Profile(larger, larger, larger),)},
        {"profiles": (Profile(SHAPES, SHAPES, larger),)},
        {"profiles": (Profile(SHAPES, larger, larger),)},
        {"profiles": RECIPE.profiles * 2},
        {"options": BuildOptions(tf32=True)},
        {"options": BuildOptions(optimization_level=3)},
        {"options": BuildOptions(optimization_level=4)},
        {"options": BuildOptions(workspace_bytes=0)},
        {"options": BuildOptions(workspace_bytes=1 << 20)},
    ]
    keys = [key(), *(key(dataclasses.replace(RECIPE, **change)) for change in changed)]
    for name, value in ("name", "tensorrt-rtx"), ("version", "11.5"), ("device", "H100"):
        keys.append(key(library={**LIBRARY, name: value}))
    keys.append(key(library={**LIBRARY, "driver": 13020}))
    monkeypatch.setattr(recipe_module, "REVISION", recipe_module.REVISION + 1)
    keys.append(key())
    monkeypatch.setattr(recipe_module.platform, "machine", lambda: "aarch64")
    keys.append(key())
    monkeypatch.setattr(recipe_module.platform, "system", lambda: "Windows")
    keys.append(key())
    assert len(set(keys)) == len(changed) + 8


def test_every_option_is_an_ingredient():
    told = RECIPE.ingredients(LIBRARY)
    for field in dataclasses.fields(BuildOptions):
        assert field.name in told


def test_names_do_not_change_the_key():
    assert key(dataclasses.replace(RECIPE, engine="other", graph="other")) == key()
    assert key(library=dict(reversed(LIBRARY.items()))) == key()


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimization_level": -1},
        {"optimization_level": 6},
        {"workspace_bytes": -1},
        {"workspace_bytes": (1 << 48) + 1},
    ],
)
def test_options_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BuildOptions(**wrong)


@pytest.mark.parametrize(
    ("shapes", "taken"),
    [
        ({"x": (1, 4, 2, 3), "z": (1, 8, 1, 1)}, True),
        ({"x": (1, 4, 8, 9), "z": (1, 8, 1, 1)}, True),
        ({"x": (1, 4, 1, 3), "z": (1, 8, 1, 1)}, False),
        ({"x": (1, 4, 8, 10), "z": (1, 8, 1, 1)}, False),
        ({"x": (1, 5, 2, 3), "z": (1, 8, 1, 1)}, False),
        ({"x": (4, 2, 3), "z": (1, 8, 1, 1)}, False),
        ({"x": (1, 4, 2, 3), "z": (1, 8, 1, 2)}, False),
        ({"x": (1, 4, 2, 3)}, False),
        ({"x": (1, 4, 2, 3), "z": (1, 8, 1, 1), "w": (1,)}, False),
    ],
    ids=str,
)
def test_which_shapes_a_profile_takes(shapes: dict[str, Shape], taken: bool):
    fixed = (1, 8, 1, 1)
    profile = Profile(
        {"x": (1, 4, 2, 3), "z": fixed},
        {"x": (1, 4, 4, 4), "z": fixed},
        {"x": (1, 4, 8, 9), "z": fixed},
    )
    assert takes(profile.value(), shapes) is taken
