"""The stand-in for CompressAI's coder: its very bytes, and its symbols back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.coder_peers import PeerMissingError, compressai_extension
from benchmarks.range_coder import range_coder

Model = tuple[list[list[int]], list[int], list[int]]


def model(rng: np.random.Generator, tables: int) -> Model:
    """Distributions of CompressAI's form: 16 bits, the last event for what is outside."""
    cdfs = []
    for _ in range(tables):
        events = int(rng.integers(2, 30))
        cuts = np.sort(rng.choice(np.arange(1, 1 << 16), events - 1, replace=False))
        cdfs.append([0, *cuts.tolist(), 1 << 16])
    offsets = rng.integers(-20, 20, tables).tolist()
    return cdfs, [len(cdf) for cdf in cdfs], offsets


def symbols_of(rng: np.random.Generator, indexes: list[int], of: Model) -> list[int]:
    """Symbols inside of their tables and far outside.

    CompressAI never ends where an escape's number has more than 28 bits.
    """
    found = []
    for index in indexes:
        inside = of[2][index] + int(rng.integers(0, of[1][index] - 2 + 1))
        far = int(rng.integers(-(1 << 26), 1 << 26)) >> int(rng.integers(0, 26))
        found.append(inside if rng.random() < 0.8 else far)
    return found


@pytest.fixture(scope="module")
def theirs() -> Any:
    try:
        return compressai_extension()
    except PeerMissingError as error:
        pytest.skip(str(error))


# CompressAI writes beyond its buffer where there are only a few symbols.
@pytest.mark.parametrize("count", [16, 1000])
def test_bytes_and_symbols_are_compressais(theirs: Any, count: int) -> None:
    rng = np.random.default_rng(count)
    ours = range_coder()
    first, second = model(rng, 7), model(rng, 3)
    a = rng.integers(0, 7, count).tolist()
    b = rng.integers(0, 3, count).tolist()
    x, y = symbols_of(rng, a, first), symbols_of(rng, b, second)
    assert ours.RansEncoder().encode_with_indexes(x, a, *first) == (
        alone := theirs.RansEncoder().encode_with_indexes(x, a, *first)
    )
    assert ours.RansDecoder().decode_with_indexes(alone, a, *first) == x
    joint = []
    for ans in (ours, theirs):
        encoder = ans.BufferedRansEncoder()
        encoder.encode_with_indexes(x, a, *first)
        encoder.encode_with_indexes(y, b, *second)
        joint.append(encoder.flush())
    assert joint[0] == joint[1]
    decoder = ours.RansDecoder()
    decoder.set_stream(joint[0])
    assert decoder.decode_stream(a, *first) == x
    assert decoder.decode_stream(b, *second) == y


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_symbols_come_back(count: int) -> None:
    rng = np.random.default_rng(count)
    of = model(rng, 3)
    indexes = rng.integers(0, 3, count).tolist()
    symbols = symbols_of(rng, indexes, of)
    data = range_coder().RansEncoder().encode_with_indexes(symbols, indexes, *of)
    assert range_coder().RansDecoder().decode_with_indexes(data, indexes, *of) == symbols


def test_a_string_that_is_too_short_is_refused() -> None:
    ans = range_coder()
    with pytest.raises(IndexError, match="too short"):
        ans.RansDecoder().set_stream(b"abcd")


def test_what_is_no_table_and_no_number_is_refused() -> None:
    encode = range_coder().RansEncoder().encode_with_indexes
    cdf = [0, 1 << 15, 1 << 16]
    with pytest.raises(IndexError, match="no such table"):
        encode([0], [1], [cdf], [3], [0])
    with pytest.raises(IndexError, match="size"):
        encode([0], [0], [cdf], [4], [0])
    with pytest.raises(ValueError, match="indexes"):
        encode([0, 0], [0], [cdf], [3], [0])
    with pytest.raises(TypeError):
        encode(["0"], [0], [cdf], [3], [0])


def test_tables_may_be_wider_than_they_are_long() -> None:
    rng = np.random.default_rng(5)
    of = model(rng, 4)
    wide = ([[*cdf, *[0] * (40 - len(cdf))] for cdf in of[0]], *of[1:])
    indexes = rng.integers(0, 4, 50).tolist()
    symbols = symbols_of(rng, indexes, of)
    data = range_coder().RansEncoder().encode_with_indexes(symbols, indexes, *wide)
    assert data == range_coder().RansEncoder().encode_with_indexes(symbols, indexes, *of)
    assert range_coder().RansDecoder().decode_with_indexes(data, indexes, *wide) == symbols


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    range_coder.cache_clear()
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PeerMissingError, match="compiler"):
        range_coder()
    range_coder.cache_clear()
