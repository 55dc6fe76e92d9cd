"""Work on a device that may fail: the rest is measured anyway, unless the device is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .report import Row

LOST = "not run: the device had stopped answering"
_MOST_WORDS = 500


def error_text(error: Exception) -> str:
    """Give the text of an error for a row."""
    return f"{type(error).__name__}: {error}"[:_MOST_WORDS]


def gpu_answers() -> bool:
    """Whether the GPU still works; after some errors, nothing does any more."""
    import cupy

    numbers = np.arange(256, dtype=np.int32)
    try:
        cupy.cuda.Device().synchronize()
        return bool((cupy.asarray(numbers).get() == numbers).all())
    except Exception:  # CuPy's errors have no other base
        return False


class Attempts:
    """Does one piece of work after another until the device is lost.

    Args:
        answers: Whether the device still works.
    """

    def __init__(self, answers: Callable[[], bool] = gpu_answers) -> None:
        self._answers = answers
        self.lost = False
        """Whether the device has stopped answering; nothing is begun any more."""

    def rows(self, head: Row, work: Callable[[], Iterable[Row]]) -> list[Row]:
        """Give the rows of some work; if it fails or is not begun, one row with the `error`.

        Args:
            head: Other keys of that row.
            work: Gives the rows.
        """
        if self.lost:
            return [{**head, "error": LOST}]
        try:
            return list(work())
        except Exception as error:  # whatever fails, the others are still measured
            return [{**head, "error": self.failed(error, ", ".join(map(str, head.values())))}]

    def failed(self, error: Exception, what: str) -> str:
        """Note a failure of something, and check whether the device is lost.

        Returns:
            Its text for a row.
        """
        report.progress(f"{what}: {error_text(error)}")
        self.lost = not self._answers()
        return error_text(error)


def failures(rows: Iterable[Row]) -> list[Row]:
    """Give the rows that have an error instead of figures."""
    return [row for row in rows if "error" in row]
