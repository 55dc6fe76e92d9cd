"""The comparison with CompressAI's way, as far as it goes without a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import published_codec
from benchmarks.coder_peers import PeerMissingError, compressai_extension
from benchmarks.compressai_path import CompressAiPath
from benchmarks.gpu_networks import in_half
from benchmarks.published_latency import bars
from benchmarks.range_coder import range_coder
from fcmrt.export.deployment import Deployment
from fcmrt.export.reference import TorchReference

PADDED = (64, 64)


def test_the_drawn_codec_has_something_to_code(
    codec: Deployment, levels: list[torch.Tensor]
) -> None:
    walk = TorchReference(codec).encode([level.numpy() for level in levels], 0)
    y = walk.integers["y"]
    assert 0.3 < y.symbols.std() < 3
    assert len(set(y.indexes.tolist())) > 1
    bits = codec.tables[y.tables].ideal_bits(y.symbols, y.indexes) / len(y.symbols)
    assert 0.5 < bits < 5


def test_the_stand_in_writes_compressais_strings(
    codec: Deployment, levels: list[torch.Tensor]
) -> None:
    """The whole path, its coder once CompressAI's own and once the one written anew."""
    try:
        theirs = compressai_extension()
    except PeerMissingError as error:
        pytest.skip(str(error))
    paths = [CompressAiPath(codec, ans=ans) for ans in (theirs, range_coder())]
    strings = [path.compress(levels, 0, PADDED) for path in paths]
    assert strings[0] == strings[1]
    decoded = [path.decompress(strings[0], 0, PADDED) for path in paths]
    for one, other, level in zip(*decoded, levels, strict=True):
        assert torch.equal(one, other)
        assert one.shape == level.shape


@pytest.mark.parametrize("innermost", [False, True])
def test_networks_in_half_precision(
    codec: Deployment, levels: list[torch.Tensor], innermost: bool
) -> None:
    path = CompressAiPath(in_half(codec, innermost), ans=range_coder())
    full = CompressAiPath(codec, ans=range_coder())
    strings = path.compress(levels, 0, PADDED)
    wanted = full.compress(levels, 0, PADDED)
    assert abs(sum(map(len, strings)) - sum(map(len, wanted))) < 0.2 * sum(map(len, wanted))
    for one, other in zip(
        path.decompress(strings, 0, PADDED), full.decompress(wanted, 0, PADDED), strict=True
    ):
        assert one.dtype == torch.float32
        assert (one - other).abs().mean() < 0.2 * other.abs().mean()


def row(system: str, direction: str, whole: float, rest: float | None) -> dict[str, Any]:
    return {"system": system, "direction": direction, "whole_ms": whole, "rest_ms": rest}


def test_bars_take_each_sides_best() -> None:
    rows = [
        row("compressai", "encode", 30.0, 20.0),
        row("compressai", "encode", 20.0, 12.0),
        row("compressai", "decode", 25.0, 12.0),
        row("fcmrt", "encode", 12.0, None),
        row("fcmrt", "encode", 9.0, 1.0),
        row("fcmrt", "decode", 20.0, -0.1),
        {"system": "fcmrt", "direction": "decode", "error": "it did not run"},
        {"system": "compressai", "error": "there is no compiler"},
    ]
    found = bars(rows)
    assert [one["met"] for one in found] == ["yes", "no", "yes", "not measured"]
    assert [one["measured"] for one in found] == [
        *(pytest.approx(20 / 9), pytest.approx(1.25), pytest.approx(12.0)),
        None,
    ]
    assert {one["met"] for one in bars([])} == {"not measured"}


def test_the_published_sizes() -> None:
    found = published_codec.SIZE
    assert found == (800 // 4, 1344 // 4)
    small = published_codec.features(small=True)
    assert [array.shape for array in small.values()] == [(6, 64 >> k, 64 >> k) for k in range(4)]
    assert all(array.dtype == np.float32 for array in small.values())
