"""Where the coder of a batch runs: on the GPU or on the host, as measured here.

One small JSON file for each kind of batch: both ways are timed with the first of the kind. A kind
is an engine, what runs it, a direction, and the number of pictures and of elements, both within a
factor of two.
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
_WARM_UP = 2  # prepares, and records what is replayed
_TIMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is measured."""

    side: Side
    engine: str
    """Digest, hexadecimal."""
    machine: str
    """GPU, runner, processor and kernels, in words."""
    pictures: int
    elements: int
    """Of all latents of one picture."""

    def value(self) -> dict[str, Any]:
        """As JSON; numbers are those of the kind."""
        kind = dataclasses.asdict(self)
        return kind | {
            "pictures": self.pictures.bit_length(),
            "elements": self.elements.bit_length(),
        }


class Placements:
    """Measured times in a folder; what cannot be read or written is not there.

    Args:
        folder: `fcmrt.exact.cache_folder`; None: nothing is kept beyond this object. Trusted as
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
        """Does the work in the quicker way; measures both, by doing it, if none is on record.

        Args:
            question: What the work is.
            ways: How it is done; each call does all of it.
            finish: Waits for what a way has left running; called when it is measured.

        Raises:
            FcmrtError: What the work raises, in either way.
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
    """Seconds of the quickest of a few times."""
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
