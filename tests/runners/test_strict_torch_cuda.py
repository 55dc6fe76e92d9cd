"""Planted mistakes: every rule of the stand-in for `torch.cuda` is broken once, to see it bite."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from .strict_torch_cuda import GPU, StrictTorchCuda  # noqa: E402


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StrictTorchCuda:
    made = StrictTorchCuda()
    made.install(monkeypatch)
    return made


def test_a_pool_that_dies_while_another_is_used(cuda: StrictTorchCuda) -> None:
    one, other = torch.cuda.MemPool(), torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(one):
        assert cuda.mistakes == []
        del other
        assert cuda.mistakes == ["a pool died while memory came from another"]
    del one
    assert len(cuda.mistakes) == 1
    assert not cuda.living


def test_no_pool(cuda: StrictTorchCuda) -> None:
    with pytest.raises(AssertionError), torch.cuda.use_mem_pool(None):
        pass


def test_streams_that_pytorch_does_not_take_as_they_are(cuda: StrictTorchCuda) -> None:
    with pytest.raises(AssertionError, match="any stream of its own"):
        torch.cuda.ExternalStream(0, GPU)
    with pytest.raises(RuntimeError, match="invalid StreamId1"):
        torch.cuda.ExternalStream(1, GPU)
    with pytest.raises(AssertionError), torch.cuda.stream(0):
        pass
    with torch.cuda.stream(torch.cuda.ExternalStream(2, GPU)):
        assert [stream.address for stream in cuda.streams] == [2]


def test_a_question_about_no_stream(cuda: StrictTorchCuda) -> None:
    with pytest.raises(AssertionError, match="default stream"):
        torch.cuda.is_current_stream_capturing()


def test_memory_given_back_inside_a_pool(cuda: StrictTorchCuda) -> None:
    torch.cuda.empty_cache()
    with (
        torch.cuda.use_mem_pool(torch.cuda.MemPool()),
        pytest.raises(AssertionError, match="given back"),
    ):
        torch.cuda.empty_cache()


def test_arrays_for_another_device(cuda: StrictTorchCuda) -> None:
    with pytest.raises(AssertionError):
        torch.as_tensor([1], device="cpu")
