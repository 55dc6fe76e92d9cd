"""Python's cyclic collector, which has to stay away while launches are recorded."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_users = 0
_was_enabled = False


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Lets no collection begin in any thread; contexts of several threads may overlap.

    What a collection finds may be a library's session, a pool or an array, whose destructor waits
    for the device; and to wait for a device while a stream is recorded spoils the recording.
    """
    global _users, _was_enabled
    with _lock:
        if not _users:
            _was_enabled = gc.isenabled()
            gc.disable()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _was_enabled:
                gc.enable()
