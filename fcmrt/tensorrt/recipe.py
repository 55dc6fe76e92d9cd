"""What a plan is built from, and the key that it is kept under."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError

Shape = tuple[int, ...]

REVISION = 1
"""Of how `library.py` builds; to be raised when it would build another plan from a recipe."""

_MAX_LEVEL = 5
_MAX_WORKSPACE = 1 << 48


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """Shapes of a graph's inputs, by name, `[1, C, H, W]` each; the three are equal if fixed."""

    least: Mapping[str, Shape]
    best: Mapping[str, Shape]
    most: Mapping[str, Shape]

    def value(self) -> dict[str, list[list[int]]]:
        """As JSON: least, best and most shape of every input."""
        return {
            name: [list(self.least[name]), list(self.best[name]), list(self.most[name])]
            for name in self.least
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the caller chooses about how plans are built."""

    tf32: bool = False
    """Whether float32 products may use TF32, whose factors have 10 bits of mantissa; never on the
    path to means and table indexes."""

    optimization_level: int | None = None
    """0 (builds fast) to 5 (runs fast); None: the library's default."""

    workspace_bytes: int | None = None
    """Most working memory of one kernel, in bytes; None: the library's default."""

    def __post_init__(self) -> None:
        level, workspace = self.optimization_level, self.workspace_bytes
        if level is not None and not 0 <= level <= _MAX_LEVEL:
            raise ConfigError(f"optimization_level is {level}; it must be 0 to {_MAX_LEVEL}")
        if workspace is not None and not 0 <= workspace <= _MAX_WORKSPACE:
            raise ConfigError(f"workspace_bytes is {workspace}; it must be 0 to {_MAX_WORKSPACE}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a plan is built from, except the library."""

    engine: str
    """Name of the engine, for errors; "" if unknown; not part of the key."""
    graph: str
    """Name of the graph in the engine, for errors; not part of the key."""
    model: bytes = dataclasses.field(repr=False)
    """The graph, an ONNX model."""
    profiles: tuple[Profile, ...]
    target: str
    """Compute capability of the GPU, such as "sm_89"."""
    options: BuildOptions

    def ingredients(self, library: Mapping[str, Any]) -> dict[str, Any]:
        """Returns everything that the plan depends on, as JSON's plain types.

        Args:
            library: `PlanLibrary.facts`.
        """
        return {
            "revision": REVISION,
            "graph": hashlib.sha256(self.model).hexdigest(),
            "library": dict(library),
            "system": f"{platform.system()} {platform.machine()}",
            "target": self.target,
            "profiles": [profile.value() for profile in self.profiles],
            **dataclasses.asdict(self.options),
        }


def takes(profile: Mapping[str, Sequence[Sequence[int]]], shapes: Mapping[str, Shape]) -> bool:
    """Returns whether a profile, as `Profile.value` gives it, takes inputs of these shapes."""
    return profile.keys() == shapes.keys() and all(
        len(shape) == len(profile[name][0])
        and all(
            low <= side <= high
            for low, side, high in zip(profile[name][0], shape, profile[name][2], strict=True)
        )
        for name, shape in shapes.items()
    )


def plan_key(ingredients: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of ingredients, hexadecimal; plans of one key are interchangeable.

    Their bytes may differ all the same: builders choose kernels by timing them.
    """
    text = json.dumps(ingredients, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
