"""Recordings, and what they keep away."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from fcmrt.kernels.cuda.recordings import no_recording, recording


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_it_comes_back() -> None:
    with recording():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="planted"), recording():
        raise RuntimeError("planted")
    assert gc.isenabled()


def test_it_comes_back_when_the_last_one_is_through() -> None:
    """Contexts of two threads, which overlap."""
    one, other = recording(), recording()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_it_stays_away_where_it_was_switched_off() -> None:
    gc.disable()
    with recording():
        pass
    assert not gc.isenabled()


def test_whoever_asks_is_told_and_keeps_recordings_waiting() -> None:
    begun = recording()
    other = threading.Thread(target=begun.__enter__)
    with no_recording() as told:
        assert told
        other.start()
        other.join(0.1)
        assert gc.isenabled()
    other.join()
    assert not gc.isenabled()
    with no_recording() as told:
        assert not told
    begun.__exit__(None, None, None)
    assert gc.isenabled()
