"""Verdicts of the bring-up check, kept on disk.

There is one small JSON file for each graph, runner and set of shapes. Only passes are kept: a
failure ends the work anyway, and deserves a new check once the library or driver has been fixed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..atomicfile import replace_file
from .bringup import PROBES, Verdict
from .probes import Shape

_FIELDS = {"exact": bool, "differing": int, "values": int, "ties": int, "seconds": float}


def cache_folder(chosen: str | os.PathLike[str] | None) -> Path | None:
    """Returns the folder where fcmrt keeps what it has found out about this machine.

    Args:
        chosen: `RuntimeOptions.cache_dir`; None: `$FCMRT_CACHE_DIR`, or else `fcmrt` in the user's
            cache folder of the platform.

    Returns:
        The folder, which need not exist; None if the user has none.
    """
    named = chosen or os.environ.get("FCMRT_CACHE_DIR")
    if named:
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "fcmrt"


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What a verdict is about."""

    graph: str
    """SHA-256 of the ONNX graph, hexadecimal."""
    runner: str
    """`Runner.identity`."""
    shapes: Mapping[str, Shape]
    """Of the inputs."""
    outputs: Sequence[str]
    """Names of the outputs that were compared."""

    def value(self) -> dict[str, Any]:
        """Returns the question in JSON's plain types."""
        shapes = {name: list(shape) for name, shape in sorted(self.shapes.items())}
        return {
            "probes": PROBES,
            "graph": self.graph,
            "runner": self.runner,
            "shapes": shapes,
            "outputs": list(self.outputs),
        }


class VerdictCache:
    """Passes of the bring-up check in a folder; failures to read or write it are ignored.

    Args:
        folder: `cache_folder`; None: nothing is kept. Trusted as much as fcmrt's own code.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "verdicts"

    def find(self, question: Question) -> Verdict | None:
        """Returns the verdict on record; None if there is none, or it is damaged."""
        if self._folder is None:
            return None
        try:
            found = json.loads(self._path(self._folder, question).read_bytes())
            if found["question"] != question.value():
                return None
            verdict = found["verdict"]
            if any(type(verdict[key]) is not kind for key, kind in _FIELDS.items()):
                return None
            reach = {str(name): float(part) for name, part in verdict["reach"].items()}
            known = Verdict(reach=reach, **{key: verdict[key] for key in _FIELDS})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return known if known.exact else None

    def keep(self, question: Question, verdict: Verdict) -> None:
        """Keeps a pass, in one atomic step; failed verdicts are not kept."""
        if self._folder is None or not verdict.exact:
            return
        record = {"question": question.value(), "verdict": dataclasses.asdict(verdict)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(self._folder, question), json.dumps(record, indent=1).encode())
        except OSError:
            return

    def _path(self, folder: Path, question: Question) -> Path:
        text = json.dumps(question.value(), sort_keys=True)
        return folder / f"{hashlib.sha256(text.encode('utf-8')).hexdigest()}.json"
