"""Pools of PyTorch's memory, which must not be destroyed at an arbitrary moment.

While any thread allocates from a pool, or PyTorch records, destroying a pool fails, and ends the
process. Networks are in reference cycles, so they die when Python's collector runs, which may be in
the middle of a launch, of this thread or another.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import torch

from ...kernels.cuda.recordings import no_recording
from .settings import Settings

_left: deque[Any] = deque()
"""Pools whose networks are gone. New networks do not reuse them: a new stream may have the address
of one that is gone, and would be given memory that the old one's kernels may still be using."""


def make_pool(owner: object) -> Any:
    """Makes a pool that outlives its owner."""
    pool = torch.cuda.MemPool()
    weakref.finalize(owner, _left.append, pool).atexit = False
    return pool


def drop_pools() -> None:
    """Frees the memory of networks that are gone, unless a network runs or is being recorded."""
    with Settings.held() as idle, no_recording() as quiet:
        while idle and quiet and _left:
            _left.popleft()
