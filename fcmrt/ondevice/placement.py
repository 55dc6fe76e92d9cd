"""Chooses where the coder of a batch runs, on the GPU or on the host, by timing both.

The times are kept in one small JSON file for each kind of batch, and are taken with the first batch
of the kind. A kind is an engine, what runs it, a direction, and the numbers of pictures and of
elements, each within a factor of two.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..atomicfile import replace_file
from ..schedule import Side

Place = Literal["cuda", "cpu"]
Result = TypeVar("Result")

_PLACES: tuple[Place, ...] = ("cuda", "cpu")
_WARM_UP = 2  # runs before those that are timed: the first prepares, the second records
_TIMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What the times depend on."""

    side: Side
    engine: str
    """Digest, hexadecimal."""
    machine: str
    """GPU, runner, processor and kernels, in words."""
    pictures: int
    elements: int
    """Of all latents of one picture."""

    def value(self) -> dict[str, Any]:
        """Returns the kind as a JSON value: numbers are replaced by their lengths in bits."""
        kind = dataclasses.asdict(self)
        return kind | {
            "pictures": self.pictures.bit_length(),
            "elements": self.elements.bit_length(),
        }


class Placements:
    """Measured times, kept in a folder; a file that cannot be read or written is ignored.

    Args:
        folder: `fcmrt.exact.cache_folder`; None: times are kept in this object only. Trusted as
            much as the program itself.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "placements"
        self._known: dict[str, Mapping[Place, float]] = {}
        self._lock = threading.Lock()

    def run(
        self,
        question: Question,
        ways: Mapping[Place, Callable[[], Result]],
        finish: Callable[[], None],
    ) -> Result:
        """Does the work where it is quicker; first times it in both places if no time is on record.

        Args:
            question: What the times depend on.
            ways: Does all of the work in a place.
            finish: Waits for what a way has left running; called only while timing.

        Raises:
            FcmrtError: Whatever the work raises, in either place.
        """
        seconds = self._find(question)
        if seconds is None:
            with self._lock:
                seconds = self._find(question)
                if seconds is None:
                    seconds = {place: _measured(ways[place], finish) for place in _PLACES}
                    self._keep(question, seconds)
        return ways[min(_PLACES, key=lambda place: seconds[place])]()

    def _find(self, question: Question) -> Mapping[Place, float] | None:
        key = _key(question)
        if key not in self._known and self._folder is not None:
            try:
                found = json.loads((self._folder / key).read_bytes())
                if found["question"] == question.value():
                    self._known[key] = {place: float(found["seconds"][place]) for place in _PLACES}
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                return None
        return self._known.get(key)

    def _keep(self, question: Question, seconds: Mapping[Place, float]) -> None:
        key = _key(question)
        self._known[key] = seconds
        if self._folder is None:
            return
        record = {"question": question.value(), "seconds": seconds}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._folder / key, json.dumps(record, indent=1).encode())
        except OSError:
            return


def _key(question: Question) -> str:
    text = json.dumps(question.value(), sort_keys=True)
    return f"{hashlib.sha256(text.encode('utf-8')).hexdigest()}.json"


def _measured(work: Callable[[], object], finish: Callable[[], None]) -> float:
    """Does the work several times; returns the least time in seconds."""
    for _ in range(_WARM_UP):
        work()
    finish()
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        work()
        finish()
        times.append(time.perf_counter() - start)
    return min(times)
