"""Pools of PyTorch's memory, which may not die wherever the collector happens to come by.

While any thread allocates from a pool, or PyTorch records, no pool may die: its destructor fails,
and that ends the process. Networks lie in reference cycles, so they die when Python collects, which
may be in the middle of another one's launch, or of another thread's.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import torch

from ...kernels.cuda.recordings import no_recording
from .settings import Settings

_left: deque[Any] = deque()
"""Pools whose networks are gone. No new network is given one: in a stream that has the address of
one that is gone, it would find memory that kernels of the old one may still work on."""


def make_pool(owner: object) -> Any:
    """Makes a pool that outlives its owner."""
    pool = torch.cuda.MemPool()
    weakref.finalize(owner, _left.append, pool).atexit = False
    return pool


def drop_pools() -> None:
    """Gives back the memory of networks that are gone, unless a network runs or is recorded."""
    with Settings.held() as idle, no_recording() as quiet:
        while idle and quiet and _left:
            _left.popleft()
