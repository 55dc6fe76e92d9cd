"""The collector and those who keep it away."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from fcmrt.kernels.cuda.collection import uncollected


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def test_it_comes_back() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="planted"), uncollected():
        raise RuntimeError("planted")
    assert gc.isenabled()


def test_it_comes_back_when_the_last_one_is_through() -> None:
    """Contexts of two threads, which overlap."""
    one, other = uncollected(), uncollected()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_it_stays_away_where_it_was_switched_off() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
