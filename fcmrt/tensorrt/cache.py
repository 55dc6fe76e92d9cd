"""Plans kept on disk, each with a small JSON file that says what it was made of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import strictjson
from ..atomicfile import replace_file
from ..errors import ConfigError, EngineError
from ..exact import cache_folder
from .recipe import Shape, plan_key, takes

_FORMAT = 1
_MAX_RECORD_BYTES = 1 << 20
_MAX_PLAN_BYTES = 1 << 33
_MAX_BESIDE_BYTES = 1 << 28
_FREE = ("profiles", "optimization_level", "workspace_bytes")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class PlanRecord:
    """What is known of a plan in the cache."""

    path: Path
    """The plan's file."""
    ingredients: Mapping[str, Any]
    """All that the plan depends on, as `Recipe.ingredients` gives it."""
    sha256: str
    """Of the file, hexadecimal; shows whether it is whole, not whether two plans are equivalent."""
    bytes: int
    """Size of the file."""
    milliseconds: int
    """How long building it took."""

    @property
    def key(self) -> str:
        """The key that it is kept under, hexadecimal."""
        return self.path.stem


class PlanCache:
    """Plans in a folder; damaged ones count as missing.

    A plan is a program for the GPU. The folder is trusted as much as fcmrt's own code; digests find
    damage, not malice.

    Args:
        folder: `RuntimeOptions.cache_dir`; None: `$FCMRT_CACHE_DIR`, or else the user's cache
            folder. Plans are in its subfolder `plans`.

    Raises:
        ConfigError: None was given, and the user has no cache folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        base = cache_folder(folder)
        if base is None:
            raise ConfigError(
                "there is no cache folder to keep plans in; name one, or set FCMRT_CACHE_DIR"
            )
        self.folder = base / "plans"

    def find(self, ingredients: Mapping[str, Any]) -> PlanRecord | None:
        """Returns the plan of these ingredients; None if there is none, or it is damaged.

        Cost: reads the plan once, for its digest.
        """
        record = self._record(self.folder / f"{plan_key(ingredients)}.json")
        if record is None or record.ingredients != ingredients:
            return None
        try:
            with record.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        return record if digest == record.sha256 else None

    def keep(self, ingredients: Mapping[str, Any], plan: bytes, milliseconds: int) -> PlanRecord:
        """Keeps a plan, and replaces an older one of the same ingredients.

        Raises:
            OSError: The folder cannot be written.
        """
        path = self.folder / f"{plan_key(ingredients)}.plan"
        record = PlanRecord(
            path, ingredients, hashlib.sha256(plan).hexdigest(), len(plan), milliseconds
        )
        value = {
            "format": _FORMAT,
            "ingredients": ingredients,
            "sha256": record.sha256,
            "bytes": record.bytes,
            "milliseconds": milliseconds,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        # Between the two, the old record does not match the new plan, so readers see no entry.
        replace_file(path, plan)
        replace_file(path.with_suffix(".json"), json.dumps(value).encode("ascii"))
        return record

    def records(self) -> Iterator[PlanRecord]:
        """Yields the plans whose files have the size on record, in no useful order."""
        for path in sorted(self.folder.glob("*.json")):
            record = self._record(path)
            if record is not None:
                yield record

    def serving(
        self, ingredients: Mapping[str, Any], shapes: Mapping[str, Shape]
    ) -> PlanRecord | None:
        """Returns a plan for inputs of these shapes; None if there is none that is whole.

        Args:
            ingredients: Of the plan as it would be built. Another will do if it differs only in
                its profiles, its optimisation level or its workspace.
            shapes: Of all inputs.
        """
        found = self.find(ingredients)
        if found is not None:
            return found
        wanted = _essence(ingredients)
        for record in self.records():
            other = record.ingredients
            if _essence(other) == wanted and any(takes(one, shapes) for one in other["profiles"]):
                found = self.find(other)
                if found is not None:
                    return found
        return None

    def timings(self, facts: Mapping[str, Any]) -> bytes:
        """Returns a library's kernel timings from earlier builds; b"" if there are none.

        Args:
            facts: What the timings depend on, in JSON's plain types.
        """
        return self._beside(facts, "timings")

    def keep_timings(self, facts: Mapping[str, Any], timings: bytes) -> None:
        """Keeps timings for the next build; raises OSError if the folder cannot be written."""
        self._keep_beside(facts, "timings", timings)

    def kernels(self, facts: Mapping[str, Any]) -> bytes:
        """Returns the kernels compiled for a GPU when a plan was loaded; b"" if there are none.

        Args:
            facts: Plan and GPU, in JSON's plain types.
        """
        return self._beside(facts, "kernels")

    def keep_kernels(self, facts: Mapping[str, Any], kernels: bytes) -> None:
        """Keeps kernels for the next load; raises OSError if the folder cannot be written."""
        self._keep_beside(facts, "kernels", kernels)

    def _beside(self, facts: Mapping[str, Any], what: str) -> bytes:
        try:
            with self._path_beside(facts, what).open("rb") as file:
                data = file.read(_MAX_BESIDE_BYTES + 1)
        except OSError:
            return b""
        return data if len(data) <= _MAX_BESIDE_BYTES else b""

    def _keep_beside(self, facts: Mapping[str, Any], what: str, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self._path_beside(facts, what), data)

    def _path_beside(self, facts: Mapping[str, Any], what: str) -> Path:
        return self.folder / f"{plan_key(facts)}.{what}"

    def _record(self, path: Path) -> PlanRecord | None:
        """Reads a record; None if it is damaged, misnamed, or its plan is missing or cut off."""
        plan = path.with_suffix(".plan")
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_RECORD_BYTES + 1)
            record = _parse(data, plan)
            whole = plan.stat().st_size == record.bytes and record.key == plan_key(
                record.ingredients
            )
        except (OSError, EngineError):
            return None
        return record if whole else None


def _essence(ingredients: Mapping[str, Any]) -> dict[str, Any]:
    """The ingredients that two plans must share for one to serve in place of the other."""
    return {key: value for key, value in ingredients.items() if key not in _FREE}


def _parse(data: bytes, plan: Path) -> PlanRecord:
    place = "record"
    keys = ("format", "ingredients", "sha256", "bytes", "milliseconds")
    found = strictjson.fields(strictjson.loads(data, place, _MAX_RECORD_BYTES), place, keys)
    strictjson.integer(found["format"], f"{place}.format", _FORMAT, _FORMAT)
    sha256 = strictjson.text(found["sha256"], f"{place}.sha256")
    if not _DIGEST.fullmatch(sha256):
        raise EngineError(f"{place}.sha256 is not 64 hexadecimal digits in lower case")
    ingredients = strictjson.mapping(found["ingredients"], f"{place}.ingredients")
    library = strictjson.mapping(ingredients.get("library"), f"{place}.ingredients.library")
    strictjson.array(ingredients.get("profiles"), f"{place}.ingredients.profiles", 1, 1 << 16)
    for owner, key in (
        (ingredients, "graph"),
        (ingredients, "target"),
        (library, "name"),
        (library, "version"),
    ):
        strictjson.text(owner.get(key), f"{place}.ingredients: {key}")
    return PlanRecord(
        plan,
        ingredients,
        sha256,
        strictjson.integer(found["bytes"], f"{place}.bytes", 1, _MAX_PLAN_BYTES),
        strictjson.integer(found["milliseconds"], f"{place}.milliseconds", 0, 1 << 40),
    )
