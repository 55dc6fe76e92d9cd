"""PyTorch's process-wide settings, held as a run needs them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

_OLD = not hasattr(torch.backends, "fp32_precision")  # before PyTorch 2.9


class Settings:
    """A context in which float32 means float32, and only the wanted libraries compute.

    cuDNN uses deterministic algorithms, chosen by its heuristics. Timing them instead would block,
    which launches must not, and could choose others the next day.

    Runs with equal settings may overlap; a run with other settings waits until they are over. The
    last one to end restores what was set before.

    Args:
        onednn: Convolutions and products on the CPU may use oneDNN.
        cudnn: Convolutions on the GPU may use cuDNN.
    """

    _turn = threading.Condition()
    _running = 0
    _now: tuple[bool, bool] | None = None
    _before: tuple[Any, ...] = ()

    def __init__(self, *, onednn: bool, cudnn: bool) -> None:
        self._wanted = onednn, cudnn

    def __enter__(self) -> None:
        with Settings._turn:
            while Settings._running and Settings._now != self._wanted:
                Settings._turn.wait()
            if not Settings._running:
                Settings._before = tuple(getattr(owner, name) for owner, name in _places())
                Settings._now = self._wanted
                _set((*self._wanted, *_FIXED))
            Settings._running += 1

    def __exit__(self, *_: object) -> None:
        with Settings._turn:
            Settings._running -= 1
            if not Settings._running:
                _set(Settings._before)
                Settings._turn.notify_all()

    @staticmethod
    @contextlib.contextmanager
    def held() -> Iterator[bool]:
        """Yields whether nothing runs; while the context lasts, no run begins or ends."""
        with Settings._turn:
            yield not Settings._running


def _places() -> tuple[tuple[Any, str], ...]:
    backends = torch.backends
    common = (
        (backends.mkldnn, "enabled"),
        (backends.cudnn, "enabled"),
        (backends.cudnn, "benchmark"),
        (backends.cudnn, "deterministic"),
    )
    if _OLD:
        return (*common, (backends.cuda.matmul, "allow_tf32"), (backends.cudnn, "allow_tf32"))
    return (
        *common,
        (backends.cuda.matmul, "fp32_precision"),
        (backends.cudnn.conv, "fp32_precision"),
        (backends.mkldnn.matmul, "fp32_precision"),
        (backends.mkldnn.conv, "fp32_precision"),
    )


_FIXED: tuple[Any, ...] = (False, True, *((False,) * 2 if _OLD else ("ieee",) * 4))


def _set(values: tuple[Any, ...]) -> None:
    for (owner, name), value in zip(_places(), values, strict=True):
        setattr(owner, name, value)
