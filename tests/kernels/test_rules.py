"""Rules of the format that are stated in numbers alone."""

from __future__ import annotations

import math

import pytest

from fcmrt.kernels.rules import choose_layout, log2_q8, share


@pytest.mark.parametrize(
    ("m", "segments", "begins"),
    [
        (0, 3, [0, 0, 0, 0]),
        (1, 2, [0, 0, 1]),
        (64, 2, [0, 32, 64]),
        (65, 2, [0, 32, 65]),
        (100, 3, [0, 32, 64, 100]),
        (160, 3, [0, 32, 96, 160]),
        (31, 4, [0, 0, 0, 0, 31]),
    ],
)
def test_shares(m, segments, begins):
    """F-4: shares begin at multiples of 32 and differ by at most 32."""
    shares = [share(m, s, segments) for s in range(segments)]
    assert [s.start for s in shares] + [shares[-1].stop] == begins


def test_log2_q8():
    """F-7: exact at powers of two, 405 at 3 (256 * 1.58496 = 405.75), never off by more than 1."""
    assert [log2_q8(1 << n) for n in range(15)] == [256 * n for n in range(15)]
    assert log2_q8(3) == 405
    for f in range(1, 16385):
        assert math.floor(256 * math.log2(f)) - log2_q8(f) in (0, 1)


@pytest.mark.parametrize(
    ("payload", "largest", "overhead", "min_lanes", "layout"),
    [
        (0, 0, 5, 1, (1, 1)),
        (0, 0, 5, 2, (2, 1)),
        (1199, 9999, 5, 1, (1, 1)),
        (1200, 9999, 5, 1, (2, 1)),
        (9599, 99999, 5, 2, (8, 1)),
        (19199, 99999, 5, 1, (16, 1)),
        (19200, 99999, 5, 1, (32, 1)),
        (51199, 99999, 5, 1, (32, 1)),
        (51200, 99999, 5, 1, (32, 2)),
        (51200, 32, 5, 1, (32, 1)),
        (10**6, 65, 1000, 1, (32, 3)),
        (10**9, 10**9, 1000, 2, (32, 256)),
        (10, 10, 1000, 1, (2, 1)),
        (0, 0, 5, 32, (32, 1)),
    ],
)
def test_layout(payload, largest, overhead, min_lanes, layout):
    """F-7: thresholds of lanes at 3 * L * 1000 <= o * payload, of segments at 128000."""
    assert choose_layout(payload, largest, overhead, min_lanes) == layout
