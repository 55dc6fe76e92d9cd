"""Verdicts on a run of the coder's benchmark on a GPU."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.gpu_coder_bars import LARGE, SINGLE, bars, ratios


def row(symbols: int, packets: int, **more: Any) -> dict[str, Any]:
    return {
        "source": "mid",
        "packets": packets,
        "symbols": symbols,
        "layout": "5 permille",
        "over_percent": 0.4,
        "decode_wall_us": 100.0,
        "encode_gsym_s": 50.0,
        "decode_gsym_s": 150.0,
        **more,
    }


def peer(escapes: bool, encode: float, decode: float) -> dict[str, Any]:
    return {
        "implementation": "x",
        "escapes": escapes,
        "encode_gsym_s": encode,
        "decode_gsym_s": decode,
    }


ROWS = [
    row(LARGE, 2048),
    row(LARGE - 1, 2048, encode_gsym_s=900.0),  # not large
    row(LARGE, 2048, source="sparse", encode_gsym_s=900.0),
    row(SINGLE, 1, decode_wall_us=260.0),
    row(SINGLE, 1, decode_wall_us=90.0, over_percent=1.6, layout="15 permille"),  # costs too much
    row(LARGE, 2048, encode_gsym_s=900.0, over_percent=10.1, layout="100 permille"),  # and this
    {"source": "mid", "packets": 1, "layout": "5 permille", "error": "it did not run"},
]


def met(found: list[dict[str, Any]]) -> dict[str, str]:
    return {one["bar"]: one["met"] for one in found}


def test_bars() -> None:
    peers = [peer(True, 10.0, 30.0), peer(True, 5.0, 40.0), peer(False, 13.0, 20.0)]
    peers.append({"implementation": "y", "escapes": True, "error": "it did not run"})
    compared = ratios(ROWS, peers)
    assert [one["ratio"] for one in compared] == pytest.approx([5.0, 50 / 13, 3.75, 7.5])
    assert met(bars(ROWS, compared)) == {
        "encode, mid, at least 64 Mi symbols": "no",
        "decode, mid, at least 64 Mi symbols": "yes",
        "encode, over torch_ans": "yes",
        "encode, over torch_ans, no escapes": "no",
        "decode, over torch_ans": "no",
        "decode, over torch_ans, no escapes": "yes",
        "decode, one packet of 100000 symbols, at most 1.5 % over ideal": "no",
    }


@pytest.mark.parametrize(("us", "verdict"), [(250.0, "yes"), (250.1, "no")])
def test_the_single_packet(us: float, verdict: str) -> None:
    found = bars([*ROWS, row(SINGLE, 1, decode_wall_us=us, over_percent=1.5)], [])
    assert found[-1]["measured"] == us
    assert found[-1]["met"] == verdict


def test_what_was_not_measured_is_not_met() -> None:
    assert {one["met"] for one in bars([], ratios([], []))} == {"not measured"}


def test_figures_tell_their_layout_and_the_default_s() -> None:
    faster = row(LARGE, 2048, encode_gsym_s=75.0, layout="15 permille", over_percent=1.5)
    single = row(SINGLE, 1, decode_wall_us=200.0, layout="15 permille", over_percent=1.2)
    rows = [*ROWS, faster, single]
    compared = ratios(rows, [peer(True, 25.0, 30.0)])
    assert (compared[0]["ratio"], compared[0]["default"]) == (3.0, 2.0)
    encode, decode, over, *_, one = bars(rows, compared)
    told = ("measured", "layout", "over_percent", "default")
    assert [encode[key] for key in told] == [75.0, "15 permille", 1.5, 50.0]
    assert [decode[key] for key in told] == [150.0, "5 permille", 0.4, 150.0]
    assert [over[key] for key in told] == [3.0, "15 permille", 1.5, 2.0]
    assert [one[key] for key in told] == [200.0, "15 permille", 1.2, 260.0]
