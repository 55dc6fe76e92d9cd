"""The anchor: uniform quantisation and zstd, what one would do without a learned codec.

It is made as strong as it gets without a model. Four ways to place the quantiser are tried, and
symbols are given to zstd (level 19) one to a byte or as many to a byte as fit, whichever comes out
smaller. Whoever compares with the anchor takes the best of all its points at each size
(`benchmarks.statistics.frontier`). All that a decoder needs is in the bytes, but for the shapes
and the operating point.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import zstandard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

CODEC = "uniform+zstd19"
ZSTD_LEVEL = 19
HEAD = "<hBB"  # smallest symbol, number of symbols in use - 1, symbols per byte
CLIPPED_PERCENT = 0.1  # of the values of a level, cut off at either end

Placement = Literal["level", "global", "clipped", "zero"]


class Point(NamedTuple):
    """One operating point of the anchor; a `Coder` of features."""

    placement: Placement
    """Level: from minimum to maximum of each feature level of the picture; global: the same for all
    levels together; clipped: as level, between percentiles; zero: multiples of a step."""
    value: float
    """Number of quantiser levels, 2 to 256; for zero: the step, in standard deviations of the
    level."""

    @property
    def label(self) -> str:
        """Short name, such as `level/16` or `zero/1.5`."""
        return f"{self.placement}/{self.value:g}"

    def encode(self, features: Mapping[str, Float32]) -> bytes:
        """Code the features of one picture (`encode`)."""
        return encode(features, self)

    def round_trip(self, features: Mapping[str, Float32]) -> tuple[int, dict[str, Float32]]:
        """Give the bytes that the features of one picture take, and what is decoded from them."""
        data = encode(features, self)
        return len(data), decode(data, {name: v.shape for name, v in features.items()}, self)


# Chosen on test photos, which favours the anchor: every size from 0.5 kB up has a close point.
POINTS = (
    *(Point("level", n) for n in (2, 3, 4, 6, 8, 12, 16, 32, 64, 256)),
    *(Point("global", n) for n in (3, 6, 8, 16, 32)),
    *(Point("clipped", n) for n in (3, 4, 5)),
    *(Point("zero", step) for step in (1, 1.5, 2.2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8)),
)
QUICK_POINTS = tuple(Point("zero", step) for step in (3, 5, 7))


def encode(features: Mapping[str, Float32], point: Point) -> bytes:
    """Quantise and compress the features of one picture.

    Args:
        features: Per level: float32, any shape.
        point: How finely.

    Returns:
        Side information (two float32 per level, or two in all for `global`, or one per level for
        `zero`; four bytes on the symbols) and one zstd frame.
    """
    side: list[float] = []
    symbols: list[NDArray[np.int64]] = []
    for low, step, values in _placed(features, point):
        side += [step] if point.placement == "zero" else [low, step]
        symbols.append(np.rint((values.astype(np.float64) - low) / step).astype(np.int64).ravel())
    if point.placement == "global":
        side = side[:2]
    if point.placement == "zero":
        joined = np.clip(np.concatenate(symbols), -127, 127)
    else:
        joined = np.clip(np.concatenate(symbols), 0, int(point.value) - 1)
    bias = int(joined.min())
    radix = max(2, int(joined.max()) - bias + 1)
    shifted = (joined - bias).astype(np.uint8)
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    per_byte = symbols_per_byte(radix)
    frames = {n: compressor.compress(pack(shifted, radix, n)) for n in {1, per_byte}}
    per_byte, frame = min(frames.items(), key=lambda item: len(item[1]))
    head = struct.pack(HEAD, bias, radix - 1, per_byte)
    return struct.pack(f"<{len(side)}f", *side) + head + frame


def decode(data: bytes, shapes: Mapping[str, tuple[int, ...]], point: Point) -> dict[str, Float32]:
    """Undo `encode`, but for the quantisation.

    Args:
        data: What `encode` returned.
        shapes: Shape of each level, in the order it was encoded.
        point: The one it was encoded with.
    """
    count = {"zero": len(shapes), "global": 2}.get(point.placement, 2 * len(shapes))
    side = struct.unpack_from(f"<{count}f", data)
    bias, last, per_byte = struct.unpack_from(HEAD, data, 4 * count)
    packed = zstandard.ZstdDecompressor().decompress(data[4 * count + struct.calcsize(HEAD) :])
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    symbols = unpack(packed, last + 1, per_byte, total).astype(np.int64) + bias
    decoded, start = {}, 0
    for k, (name, shape) in enumerate(shapes.items()):
        if point.placement == "zero":
            low, step = 0.0, side[k]
        else:
            low, step = side[:2] if point.placement == "global" else side[2 * k : 2 * k + 2]
        size = int(np.prod(shape))
        values = low + symbols[start : start + size] * step
        decoded[name] = values.astype(np.float32).reshape(shape)
        start += size
    return decoded


def _placed(features: Mapping[str, Float32], point: Point) -> list[tuple[float, float, Float32]]:
    """Give the lowest value, the step (both rounded to float32) and the values of each level."""
    placed = []
    for values in features.values():
        if point.placement == "zero":
            low, step = 0.0, point.value * float(values.std(dtype=np.float64))
        else:
            if point.placement == "level":
                low, high = float(values.min()), float(values.max())
            elif point.placement == "global":
                low = min(float(v.min()) for v in features.values())
                high = max(float(v.max()) for v in features.values())
            else:
                cut = CLIPPED_PERCENT
                low, high = (float(v) for v in np.percentile(values, [cut, 100 - cut]))
            step = (high - low) / (point.value - 1)
        step = float(np.float32(step)) or 1.0  # a constant level: any step will do
        placed.append((float(np.float32(low)), step, values))
    return placed


def symbols_per_byte(radix: int) -> int:
    """Give how many symbols of 0 .. radix - 1 one byte holds."""
    count = 1
    while radix ** (count + 1) <= 256:
        count += 1
    return count


def pack(symbols: NDArray[np.uint8], radix: int, per_byte: int) -> bytes:
    """Put `per_byte` symbols of 0 .. radix - 1 into each byte, in C order."""
    if per_byte == 1:
        return symbols.tobytes()
    padded = np.pad(symbols, (0, -len(symbols) % per_byte)).reshape(-1, per_byte)
    return (padded @ (radix ** np.arange(per_byte))).astype(np.uint8).tobytes()


def unpack(data: bytes, radix: int, per_byte: int, count: int) -> NDArray[np.uint8]:
    """Undo `pack`: the first `count` symbols."""
    packed = np.frombuffer(data, np.uint8)
    if per_byte == 1:
        return packed[:count]
    digits = packed[:, None] // (radix ** np.arange(per_byte)) % radix
    return digits.astype(np.uint8).ravel()[:count]
