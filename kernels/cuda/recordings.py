"""What has to stay away while launches are recorded: whatever may wait for the device."""

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
    """Lets no cyclic collection begin in any thread; contexts of several threads may overlap.

    What a collection finds may be a library's session, a pool or an array, whose destructor waits
    for the device; and to wait for a device while a stream is recorded spoils the recording.
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
    """Tells whether nothing is recorded; no recording begins as long as the context lasts."""
    with _lock:
        yield not _under_way
