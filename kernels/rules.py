"""The small rules of `docs/format.md` that several implementations share, in plain Python.

The headers in `include/fcmrt` have the same rules for C++ and CUDA. Section numbers below are those
of the format.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .api import LANES, MAX_SEGMENTS
from .checks import Status, packet_error, require_overhead


def log2_q8(f: int) -> int:
    """Returns 256 * log2(f), rounded as section 5 says; 1 <= f <= 16384."""
    n = f.bit_length() - 1
    m, r = f << (31 - n), n
    for _ in range(8):
        m, r = m * m >> 31, 2 * r
        if m >= 1 << 32:
            m, r = m >> 1, r + 1
    return r


def choose_layout(
    payload: int, largest: int, overhead_permille: int, min_lanes: int
) -> tuple[int, int]:
    """Chooses lanes and segments for a payload, as section 5 says.

    Args:
        payload: Its estimated size in bytes.
        largest: Number of coded symbols of the step that has most of them.
        overhead_permille: What lanes may cost, in thousandths of the payload, 1 to 1000.
        min_lanes: One of `LANES`.

    Raises:
        ConfigError: A parameter is out of its range.
    """
    require_overhead(overhead_permille, min_lanes)
    fitting = [lanes for lanes in LANES if 3 * lanes * 1000 <= overhead_permille * payload]
    lanes = max([min_lanes, *fitting])
    if lanes < max(LANES):
        return lanes, 1
    segments = min(MAX_SEGMENTS, max(1, overhead_permille * payload // 128000))
    return lanes, max(1, min(segments, -(-largest // 32)))


def share(m: int, segment: int, segments: int) -> range:
    """Returns which of a step's `m` coded symbols a segment codes, section 4."""
    blocks = -(-m // 32)
    begin, end = (min(m, 32 * (blocks * s // segments)) for s in (segment, segment + 1))
    return range(begin, end)


def seed(check: int, lanes: int, segment: int, lane: int) -> int:
    """Returns what is added to 2^16 for a lane's first state, section 6."""
    if segment > 0 or lane > 1:
        return 0
    if lanes == 1:
        return (check ^ check >> 16) & 0xFFFF
    return check >> 16 if lane == 1 else check & 0xFFFF


def put_escape(value: int, begin: int, end: int) -> bytes:
    """Writes the value of an escape, for a table with the range [begin, end), section 4."""
    code = 2 * (value - end) if value >= end else 2 * (begin - 1 - value) + 1
    out = bytearray()
    while code >= 0x80:
        out.append(code & 0x7F | 0x80)
        code >>= 7
    out.append(code)
    return bytes(out)


def take_escape(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Reads the value that `data` begins with; returns it and the number of its bytes.

    Raises:
        BitstreamError: There is no value, or a malformed one.
    """
    code = 0
    for n, byte in enumerate(data[:5]):
        code |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            if byte == 0 and n > 0:
                raise packet_error(Status.ESCAPE_MALFORMED)
            value = begin - 1 - code // 2 if code & 1 else end + code // 2
            if not -(1 << 31) <= value < 1 << 31:
                raise packet_error(Status.ESCAPE_OUT_OF_RANGE)
            return value, n + 1
    raise packet_error(Status.ESCAPE_MALFORMED if len(data) >= 5 else Status.ESCAPES_EXHAUSTED)


def fmix(h: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Finaliser of MurmurHash3 (A. Appleby, public domain), element by element."""
    h = h ^ h >> np.uint32(16)
    h = h * np.uint32(0x85EBCA6B)
    h = h ^ h >> np.uint32(13)
    h = h * np.uint32(0xC2B2AE35)
    return h ^ h >> np.uint32(16)


def inverse_step(step: int) -> np.float32:
    """Returns 65536 / step, rounded once to binary32; the lowest bit stands for the remainder."""
    quotient, rest = divmod(1 << 63, step)
    return np.float32(np.uint64(quotient | (rest > 0))) * np.float32(2.0**-47)
