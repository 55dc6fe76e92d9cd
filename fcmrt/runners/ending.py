"""Networks that run while the interpreter shuts down.

Before Python 3.14, a daemon thread that asks for the interpreter's lock during shutdown is ended on
the spot; if it is inside ONNX Runtime or PyTorch, unwinding their stack aborts the whole process.
So shutdown waits for runs under way, and holds back those that would begin.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time

_MOST_WAITED = 10.0  # seconds, for runs under way
_HELD = 1.0  # seconds; not longer, since a later exit handler may wait for a thread held here
_NAP = 0.01


class Runs:
    """The runs under way, each a `with` block; any thread may begin one."""

    def __init__(self) -> None:
        self._under_way: set[int] = set()
        self._ending_thread: int | None = None
        self._held_until = math.inf

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._under_way.add(thread)
        if self._ending_thread not in (None, thread):
            self._under_way.discard(thread)
            while time.monotonic() < self._held_until:
                time.sleep(_NAP)  # here the interpreter may end this thread without harm
            self._under_way.add(thread)

    def __exit__(self, *_: object) -> None:
        self._under_way.discard(threading.get_ident())

    def end(self) -> None:
        """Waits for runs of other threads, and holds new ones back for a while."""
        self._ending_thread = threading.get_ident()
        most = time.monotonic() + _MOST_WAITED
        while self._under_way - {self._ending_thread} and time.monotonic() < most:
            time.sleep(_NAP)
        self._held_until = time.monotonic() + _HELD

    def forget(self) -> None:
        """Forgets all runs: a forked child has none of its parent's threads."""
        self._under_way.clear()


RUNS = Runs()
"""The runs of this process."""

atexit.register(RUNS.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RUNS.forget)
