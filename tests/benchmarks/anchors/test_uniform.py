"""The anchor's bytes decode to what was measured, and its figures behave."""

from __future__ import annotations

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import zstandard
from hypothesis import strategies as st

from benchmarks.anchors import uniform
from benchmarks.anchors.uniform import Point

SHAPES = {"p3": (8, 20, 20), "p4": (8, 10, 10), "p5": (8, 5, 5)}


def features(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (rng.laplace(0.1, 0.3 * (k + 1), shape)).astype(np.float32)
        for k, (name, shape) in enumerate(SHAPES.items())
    }


@pytest.mark.parametrize("point", uniform.POINTS, ids=lambda point: point.label)
def test_bytes_decode_to_the_quantised_features(point: Point) -> None:
    given = features()
    decoded = uniform.decode(uniform.encode(given, point), SHAPES, point)
    for name, values in given.items():
        assert decoded[name].shape == values.shape
        assert decoded[name].dtype == np.float32
    size, again = point.round_trip(given)
    assert size == len(uniform.encode(given, point))
    assert all((again[name] == decoded[name]).all() for name in given)


@pytest.mark.parametrize("levels", [2, 3, 8, 16, 256])
def test_error_is_at_most_half_a_step(levels: int) -> None:
    given = features()
    for placement in ("level", "global"):
        point = Point(placement, levels)
        decoded = uniform.decode(uniform.encode(given, point), SHAPES, point)
        spans = {name: float(np.ptp(values)) for name, values in given.items()}
        if placement == "global":
            joined = np.concatenate([values.ravel() for values in given.values()])
            spans = dict.fromkeys(given, float(np.ptp(joined)))
        for name, values in given.items():
            bound = spans[name] / (levels - 1) / 2 * (1 + 1e-5) + 1e-6
            assert np.abs(decoded[name] - values).max() <= bound
            assert len(np.unique(decoded[name])) <= levels


def test_zero_placement_keeps_zero_and_its_step() -> None:
    given = features()
    point = Point("zero", 2.2)
    decoded = uniform.decode(uniform.encode(given, point), SHAPES, point)
    for name, values in given.items():
        step = np.float32(2.2 * values.std(dtype=np.float64))
        assert np.allclose(decoded[name] / step, np.rint(decoded[name] / step), atol=1e-5)
        assert (decoded[name][np.abs(values) < 0.49 * step] == 0).all()


def test_more_levels_cost_more_and_err_less() -> None:
    given = features()
    sizes, errors = [], []
    for levels in (3, 8, 16, 64, 256):
        size, decoded = Point("level", levels).round_trip(given)
        sizes.append(size)
        errors.append(sum(float(np.square(decoded[n] - v).sum()) for n, v in given.items()))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_all_that_is_needed_is_counted() -> None:
    given = features()
    data = uniform.encode(given, Point("level", 256))
    frame = data[2 * 3 * 4 + 4 :]  # two float32 for each of three levels, four bytes on symbols
    assert len(zstandard.ZstdDecompressor().decompress(frame)) == sum(
        v.size for v in given.values()
    )


def test_the_smaller_packing_is_taken() -> None:
    given = features()
    point = Point("level", 4)
    symbols = uniform.decode(uniform.encode(given, point), SHAPES, point)
    levels = [np.unique(v, return_inverse=True)[1].ravel() for v in symbols.values()]
    plain = zstandard.ZstdCompressor(level=19).compress(
        np.concatenate(levels).astype(np.uint8).tobytes()
    )
    assert len(uniform.encode(given, point)) <= len(plain) + 2 * 3 * 4 + 4 + 8


@pytest.mark.parametrize("placement", ["level", "global", "clipped", "zero"])
def test_constant_features_survive(placement: uniform.Placement) -> None:
    given = {name: np.full(shape, 0.25, np.float32) for name, shape in SHAPES.items()}
    point = Point(placement, 4)
    _, decoded = point.round_trip(given)
    if placement != "zero":  # multiples of a step of no deviation: nothing to promise but finite
        assert all((decoded[name] == 0.25).all() for name in given)
    assert all(np.isfinite(values).all() for values in decoded.values())


@hypothesis.given(
    radix=st.integers(2, 256),
    symbols=hnp.arrays(np.uint8, st.integers(0, 100)),
)
def test_packing_is_reversible(radix: int, symbols: np.ndarray) -> None:
    symbols = (symbols.astype(int) % radix).astype(np.uint8)
    per_byte = uniform.symbols_per_byte(radix)
    assert radix**per_byte <= 256 < radix ** (per_byte + 1)
    packed = uniform.pack(symbols, radix, per_byte)
    assert len(packed) == -(-len(symbols) // per_byte)
    assert (uniform.unpack(packed, radix, per_byte, len(symbols)) == symbols).all()
