"""Measures where the time of a call goes, stage by stage, for a recorder."""

from __future__ import annotations

import collections
import time
from typing import Protocol


class Recorder(Protocol):
    """Receives the duration of every stage of every call.

    It is called from the thread that called the encoder or decoder, for the pictures of a batch one
    after the other; a recorder that several encoders share must be thread-safe.

    Stages of an encoder: `prepare` (arrays in, checks, padding), each graph under its name,
    `quantize`, `dequantize`, `code`, `pack`, `total`. Stages of a decoder: `parse`, `code`, the
    graphs, `dequantize`, `finish` (cropping, arrays out), `total`. With the coder on a GPU all its
    launches are one stage, `device`, for a whole batch; a decoder's ends when the integers are
    known, unless features are returned on the host.
    """

    def record(self, stage: str, ns: int) -> None:
        """Receives one stage's duration in nanoseconds."""


class StageTimes:
    """A recorder that keeps every duration, by stage, in nanoseconds."""

    def __init__(self) -> None:
        self.ns: dict[str, list[int]] = collections.defaultdict(list)

    def record(self, stage: str, ns: int) -> None:
        """Appends one duration."""
        self.ns[stage].append(ns)


class StageClock:
    """Splits one call into stages; costs next to nothing without a recorder.

    A stage that occurs several times in a call (as with several code steps) is reported once, with
    the sum.

    Args:
        recorder: Receives the stages; None: nobody does.
    """

    __slots__ = ("_last", "_recorder", "_start", "_sums")

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._sums: dict[str, int] = {}
        self._start = self._last = time.perf_counter_ns() if recorder is not None else 0

    def lap(self, stage: str) -> None:
        """Adds the time since the last lap, or since the start, to `stage`."""
        if self._recorder is None:
            return
        now = time.perf_counter_ns()
        self._sums[stage] = self._sums.get(stage, 0) + now - self._last
        self._last = now

    def stop(self) -> None:
        """Sets `total` to the time since the start."""
        if self._recorder is not None:
            self._sums["total"] = time.perf_counter_ns() - self._start

    def report(self) -> None:
        """Reports all stages."""
        if self._recorder is not None:
            for stage, ns in self._sums.items():
                self._recorder.record(stage, ns)
