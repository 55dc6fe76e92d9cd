"""Keeps away, while launches are recorded, what may wait for the device."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_under_way = 0
_was_enabled = False


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Disables Python's cyclic collector in all threads; contexts of several threads may overlap.

    The collector may find a library's session, a pool or an array whose destructor waits for the
    device, and waiting for a device while one of its streams is recorded breaks the recording.
    """
    global _under_way, _was_enabled
    with _lock:
        if not _under_way:
            _was_enabled = gc.isenabled()
            gc.disable()
        _under_way += 1
    try:
        yield
    finally:
        with _lock:
            _under_way -= 1
            if not _under_way and _was_enabled:
                gc.enable()


@contextlib.contextmanager
def no_recording() -> Iterator[bool]:
    """Gives True if nothing is being recorded; none begins as long as the context lasts."""
    with _lock:
        yield not _under_way
