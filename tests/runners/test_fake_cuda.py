"""Planted mistakes: every rule of the GPU on paper is broken once, to see it bite."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fcmrt.runners.cuda_memory import CudaMemory, download, upload

from .fake_cuda import FakeCuda


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def memory(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> CudaMemory:
    monkeypatch.setitem(sys.modules, "cupy", cuda.cupy())
    return CudaMemory()


def test_copies_are_done_when_they_are_waited_for(memory: CudaMemory) -> None:
    stream = memory.stream()
    host, device = memory.pinned((2, 3), np.float32), memory.empty((2, 3), np.float32, stream)
    back = memory.pinned((2, 3), np.float32)
    host[...], back[...] = 7, 0
    upload(host, device, stream)
    download(device, back, stream)
    assert (back == 0).all()
    stream.synchronize()
    assert (back == 7).all()


def test_memory_that_is_not_pinned(memory: CudaMemory) -> None:
    stream = memory.stream()
    device = memory.empty((4,), np.float32, stream)
    with pytest.raises(AssertionError, match="wait"):
        upload(np.zeros(4, np.float32), device, stream)


def test_pinned_memory_given_back_too_early(memory: CudaMemory) -> None:
    stream = memory.stream()
    device = memory.empty((4,), np.float32, stream)
    upload(memory.pinned((4,), np.float32), device, stream)
    with pytest.raises(AssertionError, match="not pinned, or was given back"):
        stream.synchronize()


def test_device_memory_given_back_too_early(memory: CudaMemory) -> None:
    host, stream = memory.pinned((4,), np.float32), memory.stream()
    upload(host, memory.empty((4,), np.float32, stream), stream)
    with pytest.raises(AssertionError, match="device's memory was given back"):
        stream.synchronize()


def test_zeros_are_there_when_the_stream_is_waited_for(memory: CudaMemory) -> None:
    stream = memory.stream()
    array = memory.zeros((2, 3), np.float32, stream)
    assert array.data.memory.any()
    stream.synchronize()
    assert not array.data.memory.any()


def test_the_callers_stream_stays_the_current_one(cuda: FakeCuda, memory: CudaMemory) -> None:
    chosen, stream = memory.stream().use(), memory.stream()
    memory.empty((2, 3), np.float32, stream)
    memory.zeros((2, 3), np.float32, stream)
    assert cuda.current is chosen


def test_zeros_in_the_default_stream(cuda: FakeCuda) -> None:
    with pytest.raises(AssertionError, match="default stream"):
        cuda.cupy().zeros((2, 3), np.float32)


def test_what_is_recorded_is_done_when_it_is_replayed(memory: CudaMemory) -> None:
    stream, other = memory.stream(), memory.stream()
    host, device = memory.pinned((4,), np.float32), memory.empty((4,), np.float32, stream)
    assert not memory.records(stream.ptr)
    stream.begin_capture()
    assert memory.records(stream.ptr)
    assert not memory.records(other.ptr)
    upload(host, device, stream)
    graph = stream.end_capture()
    for value in (3, 4):
        host[...] = value
        graph.launch(other)
        assert not (device.data.memory.view(np.float32)[:4] == value).any()
        other.synchronize()
        assert (device.get() == value).all()


def test_waiting_while_a_stream_is_recorded(memory: CudaMemory) -> None:
    stream, event = memory.stream(), memory.event()
    stream.begin_capture()
    with pytest.raises(AssertionError, match="recorded"):
        stream.synchronize()
    with pytest.raises(AssertionError, match="point in the recording"):
        memory.mark(event, stream.ptr)


def test_the_default_stream_is_not_recorded(cuda: FakeCuda) -> None:
    assert cuda.stream(0) is cuda.stream(1) is cuda.default
    with pytest.raises(AssertionError, match="default stream"):
        cuda.default.begin_capture()


def test_an_event_outlives_its_stream(cuda: FakeCuda, memory: CudaMemory) -> None:
    done: list[str] = []
    stream, event = memory.stream(), memory.event()
    event.synchronize()  # for nothing
    stream.put(lambda: done.append("before"))
    memory.mark(event, stream.ptr)
    stream.put(lambda: done.append("behind"))
    gone = stream.ptr
    del stream
    with pytest.raises(AssertionError, match="there is no stream"):
        memory.mark(event, gone)
    assert done == []
    event.synchronize()
    assert done == ["before"]


def test_events_that_take_the_time(cuda: FakeCuda) -> None:
    with pytest.raises(AssertionError, match="time"):
        cuda.cupy().cuda.Event(disable_timing=False)


def test_memory_of_another_streams_pool(cuda: FakeCuda, memory: CudaMemory) -> None:
    """As of the default stream's, when nobody says for which it is."""
    stream, host = memory.stream(), memory.pinned((4,), np.float32)
    for device in memory.empty((4,), np.float32, memory.aside), cuda.cupy().empty((4,), np.float32):
        for copy in (
            lambda device=device: upload(host, device, stream),
            lambda device=device: download(device, host, stream),
        ):
            with pytest.raises(AssertionError, match="another stream's pool"):
                copy()


def test_streams_that_wait_for_the_default_one(cuda: FakeCuda) -> None:
    with pytest.raises(AssertionError, match="default stream"):
        cuda.cupy().cuda.Stream(non_blocking=False)
