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
    host, device = memory.pinned((2, 3), np.float32), memory.empty((2, 3), np.float32)
    back = memory.pinned((2, 3), np.float32)
    host[...], back[...] = 7, 0
    upload(host, device, stream)
    download(device, back, stream)
    assert (back == 0).all()
    stream.synchronize()
    assert (back == 7).all()


def test_memory_that_is_not_pinned(memory: CudaMemory) -> None:
    device = memory.empty((4,), np.float32)
    with pytest.raises(AssertionError, match="wait"):
        upload(np.zeros(4, np.float32), device, memory.stream())


def test_pinned_memory_given_back_too_early(memory: CudaMemory) -> None:
    device, stream = memory.empty((4,), np.float32), memory.stream()
    upload(memory.pinned((4,), np.float32), device, stream)
    with pytest.raises(AssertionError, match="not pinned, or was given back"):
        stream.synchronize()


def test_device_memory_given_back_too_early(memory: CudaMemory) -> None:
    host, stream = memory.pinned((4,), np.float32), memory.stream()
    upload(host, memory.empty((4,), np.float32), stream)
    with pytest.raises(AssertionError, match="device's memory was given back"):
        stream.synchronize()


def test_zeros_are_there_when_the_stream_is_waited_for(memory: CudaMemory) -> None:
    stream = memory.stream()
    array = memory.zeros((2, 3), np.float32, stream)
    assert array.data.memory.any()
    stream.synchronize()
    assert not array.data.memory.any()


def test_zeros_in_the_default_stream(cuda: FakeCuda) -> None:
    with pytest.raises(AssertionError, match="default stream"):
        cuda.cupy().zeros((2, 3), np.float32)


def test_what_is_recorded_is_done_when_it_is_replayed(memory: CudaMemory) -> None:
    stream, other = memory.stream(), memory.stream()
    host, device = memory.pinned((4,), np.float32), memory.empty((4,), np.float32)
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
    stream = memory.stream()
    stream.begin_capture()
    with pytest.raises(AssertionError, match="recorded"):
        stream.synchronize()
    with pytest.raises(AssertionError, match="recorded"):
        memory.wait()


def test_streams_that_wait_for_the_default_one(cuda: FakeCuda) -> None:
    with pytest.raises(AssertionError, match="default stream"):
        cuda.cupy().cuda.Stream(non_blocking=False)
