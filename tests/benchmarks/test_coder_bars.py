"""Verdicts on a run of the coder's benchmark."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import coder_bars
from benchmarks.coder_ours import EIGHT_THREADS, MEGABYTE, ONE_PAIR


def run(decode: float) -> dict[str, Any]:
    """A run in which everything is as wanted, if `decode`, the ratio to compressai, is."""
    ratios = [
        {
            "source": "mid",
            "implementation": name,
            "direction": direction,
            "peer": peer,
            "ratio": decode if (direction, peer) == ("decode", "compressai") else 40.0,
        }
        for name in ("avx512", "avx2", "scalar")
        for direction in ("encode", "decode")
        for peer in ("compressai", "torch_ans")
    ]
    sizes = [
        {"packet_bytes": size, "segments": segments, "chosen": chosen, "bytes": b, "ideal_bytes": i}
        for size, segments, chosen, b, i in [
            (MEGABYTE, 39, True, 1.0e6, 0.9e6),
            (MEGABYTE, ONE_PAIR, False, 1_000_300, 1_000_000),
            (MEGABYTE, EIGHT_THREADS, False, 1_002_000, 1_000_000),
            (2000, 1, True, 2010, 2000),
            (500, 1, True, 504, 500),
            (500, 1, True, 510, 500),
        ]
    ]
    return {
        "ratios": ratios,
        "threads": [{"source": "mid", "threads": 2, "encode": 1.8, "decode": 1.6}],
        "sizes": sizes,
        "small_packet": [{"encode_us": 12.0, "decode_us": 31.0}],
    }


ROWS = [
    {"source": name, "coder": "fcmrt", "table_loss_percent": loss}
    for name, loss in (("mid", 0.01), ("dense", 0.2))
]


@pytest.mark.parametrize(("decode", "verdict"), [(60.0, "yes"), (59.9, "no")])
def test_each_bar_is_held_against_its_figure(decode: float, verdict: str) -> None:
    found = {row["bar"]: row for row in coder_bars.bars(run(decode), ROWS)}
    met = {name: row["met"] for name, row in found.items()}
    assert met == {
        "decode, avx512, over the best of compressai": verdict,
        "decode, avx512, over the best of torch_ans": "yes",
        "encode, avx512, over the best of compressai": "yes",
        "encode, avx512, over the best of torch_ans": "yes",
        "decode, avx2, over the best of compressai": "yes",
        "decode, scalar, over the best of compressai": "yes",
        "encode, two threads over one": "yes",
        "decode, two threads over one": "no",
        "bytes over ideal, 1 MB, 2 segments": "yes",
        "bytes over ideal, 1 MB, 16 segments": "yes",
        "bytes over ideal, 2 kB, lanes chosen": "yes",
        "bytes over ideal, 500 B, lanes chosen": "yes",
        "table loss, mid": "yes",
        "table loss, dense": "no",
        "encode, a packet of 3000 symbols": "yes",
        "decode, a packet of 3000 symbols": "no",
    }
    # 14 bytes over 1000, of both packets of that size.
    measured = found["bytes over ideal, 500 B, lanes chosen"]["measured"]
    assert measured == pytest.approx(1.4)


def test_what_was_not_measured_is_not_met() -> None:
    nothing: dict[str, Any] = {"ratios": [], "threads": [], "sizes": [], "small_packet": []}
    assert {row["met"] for row in coder_bars.bars(nothing, [])} == {"not measured"}
