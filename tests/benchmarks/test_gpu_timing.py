"""How calls are timed, with a CuPy that only notes what it is told."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_device, gpu_timing
from benchmarks.gpu_timing import CudaStopwatch, Effort, LaunchClock, time_call, wall_ms

from .gpu_stand_ins import HostStopwatch


class Stream:
    """A stream that notes what happens in it."""

    def __init__(self, said: list[Any]) -> None:
        self.said = said

    def use(self) -> None:
        self.said.append("use")

    def synchronize(self) -> None:
        self.said.append("wait")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done, in order, by a stand-in for CuPy."""
    found: list[Any] = []

    class Event:
        def record(self, stream: Stream) -> None:
            found.append("event")

        def synchronize(self) -> None:
            found.append("wait")

    def kernel(code: str, name: str) -> Any:
        assert f"void {name}(long long" in code
        return lambda grid, block, arguments: found.append((name, *map(type, arguments)))

    cuda = SimpleNamespace(
        Event=Event,
        Stream=lambda non_blocking: Stream(found),
        get_elapsed_time=lambda start, end: 2.5,
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, RawKernel=kernel))
    return found


def test_the_host_gets_ahead_before_the_device_s_clock_starts(said: list[Any]) -> None:
    stopwatch = CudaStopwatch()
    assert said == ["use"]
    assert stopwatch.device(lambda: said.append("call")) == 2.5e-3
    hold = ("fcmrt_benchmark_hold", np.int64)
    assert said[1:] == ["wait", hold, "event", "call", "event", "wait"]


def test_the_wall_has_nothing_but_the_call(said: list[Any]) -> None:
    stopwatch = CudaStopwatch(Stream(said))
    assert stopwatch.wall(lambda: said.append("call")) > 0
    assert said == ["wait", "call", "wait"]


class SlowStopwatch(HostStopwatch):
    """Every call takes so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.called = {"wall": 0, "device": 0}

    def wall(self, call: Any) -> float:
        call()
        self.called["wall"] += 1
        return self.seconds

    def device(self, call: Any) -> float:
        call()
        self.called["device"] += 1
        return self.seconds / 2


@pytest.mark.parametrize(("seconds", "rounds"), [(2e-3, 3), (0.5e-3, 7)])
def test_short_calls_are_timed_more_often(seconds: float, rounds: int) -> None:
    stopwatch = SlowStopwatch(seconds)
    prepared: list[int] = []
    called: list[int] = []
    effort = Effort(rounds=3, short_rounds=7, warm_up_s=0)
    samples = time_call(
        stopwatch, lambda: called.append(1), effort, prepare=lambda: prepared.append(1)
    )
    assert stopwatch.called == {"wall": 2 + rounds, "device": rounds}
    assert len(called) == len(prepared) == 2 + 2 * rounds
    assert samples.wall.tolist() == [seconds] * rounds
    assert samples.device.tolist() == [seconds / 2] * rounds


def test_the_warm_up_lasts_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(gpu_timing.time, "monotonic", lambda: next(clock))
    numbers: list[int] = []
    taken = wall_ms(numbers.append, Effort(rounds=3, short_rounds=3, warm_up_s=5))
    # Two calls, which are not asked for the time, then one a second to the fifth.
    assert numbers == [*range(2 + 4 + 3)]
    assert len(taken) == 3
    assert (taken > 0).all()


def test_each_launch_is_timed_on_the_device() -> None:
    stopwatch = SlowStopwatch(4e-3)
    launched: list[Any] = []
    device: Any = SimpleNamespace(
        name="stand-in", launch=lambda *given, **more: launched.append((given, more))
    )
    clock = LaunchClock(device, stopwatch)
    for kernel in ("a", "b", "a"):
        clock.launch(kernel, (1, 1, 1), 32, None, shared_bytes=8)
    assert clock.name == "stand-in"
    assert clock.take() == {"a": [2e-3, 2e-3], "b": [2e-3]}
    assert clock.take() == {}
    assert launched[1] == (("b", (1, 1, 1), 32, None), {"shared_bytes": 8})
    assert stopwatch.called == {"wall": 0, "device": 3}


def test_the_clock_of_the_multiprocessors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """Looks like NVIDIA's management library."""

        def nvmlDeviceGetClockInfo(self, handle: Any, kind: int, clock: Any) -> int:  # noqa: N802
            assert kind == 1
            clock._obj.value = 1980
            return handle.value

    monkeypatch.setattr(gpu_device, "_nvml", lambda: (Library(), SimpleNamespace(value=0)))
    assert gpu_device.sm_megahertz() == 1980
    monkeypatch.setattr(gpu_device, "_nvml", lambda: (Library(), SimpleNamespace(value=3)))
    assert gpu_device.sm_megahertz() is None
    monkeypatch.setattr(gpu_device, "_nvml", lambda: None)
    assert gpu_device.sm_megahertz() is None
