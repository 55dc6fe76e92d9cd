"""A stand-in for `torch.cuda` that forgives nothing, over PyTorch on the CPU.

What the real one answers with the end of the process, or with another stream than was asked for, is
a failure. Pools that die while memory comes from any pool are noted in `mistakes`, since a
destructor cannot fail.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch


class PaperDevice(str):
    """What PyTorch takes for the CPU, and fcmrt for a GPU."""

    type = "cuda"


GPU = PaperDevice("cpu")


class MemPool:
    pass


class Stream:
    def __init__(self, address: int) -> None:
        self.address = address


class StrictTorchCuda:
    """One GPU, as PyTorch sees it.

    `pools` are in use now, `streams` are current now, the last one in truth; `events` tells of
    both in their order. Set `capturing`, and the current stream is recorded.
    """

    def __init__(self) -> None:
        self.pools: list[MemPool] = []
        self.streams: list[Stream] = []
        self.events: list[str] = []
        self.mistakes: list[str] = []
        self.living: weakref.WeakSet[MemPool] = weakref.WeakSet()
        self.capturing = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in (
            "MemPool",
            "use_mem_pool",
            "stream",
            "default_stream",
            "ExternalStream",
            "is_current_stream_capturing",
            "empty_cache",
        ):
            patch.setattr(torch.cuda, name, getattr(self, name))
        patch.setattr(torch, "as_tensor", self.as_tensor)

    def MemPool(self) -> MemPool:  # noqa: N802
        pool = MemPool()
        self.living.add(pool)
        weakref.finalize(pool, self._died).atexit = False
        return pool

    def _died(self) -> None:
        if self.pools:
            self.mistakes.append("a pool died while memory came from another")

    @contextlib.contextmanager
    def use_mem_pool(self, pool: MemPool) -> Iterator[None]:
        assert isinstance(pool, MemPool)
        self.pools.append(pool)
        self.events.append("pool")
        try:
            yield
        finally:
            self.events.append("no pool")
            self.pools.remove(pool)

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        assert isinstance(stream, Stream)
        self.streams.append(stream)
        self.events.append(f"stream {stream.address}")
        try:
            yield
        finally:
            assert self.streams.pop() is stream

    def default_stream(self, device: Any) -> Stream:
        return Stream(0)

    def ExternalStream(self, address: int, device: Any) -> Stream:  # noqa: N802
        assert address != 0, "to PyTorch this is any stream of its own"
        if address % 2:
            raise RuntimeError(f"invalid StreamId{address}")
        return Stream(address)

    def is_current_stream_capturing(self) -> bool:
        assert self.streams, "asked of the default stream"
        return self.capturing

    def empty_cache(self) -> None:
        assert not self.pools, "memory is given back while it comes from a pool"
        self.events.append("empty")

    def as_tensor(self, array: Any, device: str) -> Any:
        assert device == "cuda"
        return torch.from_numpy(array)
