"""Regions of interest and offsets of levels: what users say, and packets that tell it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, Importance, Regions, RuntimeOptions, kernels
from fcmrt.bitstream import Rectangle, read_packet, write_packet
from fcmrt.config import Limits
from fcmrt.errors import BitstreamError, ConfigError, DriftError, ShapeError
from fcmrt.groups import quality_groups
from fcmrt.importance import importance_of, regions_of
from fcmrt.schedule import Dequantize
from tests.engines import tiny_context, tiny_gain, tiny_hyperprior, tiny_same_engine
from tests.features import random_features
from tests.level_engine import tiny_levels

SIZE = (13, 20)
"""One for all: the graphs of an exact engine are checked before they first run at a size."""
BOXES = [(0.1, 0.2, 0.5, 0.6), (0.4, 0.5, 1.2, 0.9)]
MAKERS = [tiny_hyperprior, tiny_context, tiny_levels, tiny_same_engine]


def importances(engine: Engine, features: Any) -> list[Importance]:
    """One of each kind, and one with all."""
    encoder = Encoder(engine)
    boxes = encoder.importance(features, roi=BOXES)
    level = engine.manifest.features[0].name
    found = [boxes, Importance(mix=(3,)), dataclasses.replace(boxes, offsets=(2,), mix=(1,))]
    if engine is tiny_levels():
        found.append(encoder.importance(features, level_offsets={level: 3, "p5": -4}, roi=BOXES))
    return found


@pytest.mark.parametrize("make", MAKERS)
def test_packets_with_an_importance_decode_everywhere(make: Any) -> None:
    engine = make()
    features = random_features(engine, SIZE)
    plain = Encoder(engine).encode(features)
    for importance in importances(engine, features):
        packets, decoded = set(), []
        for name in kernels.available():
            options = RuntimeOptions(kernels=name, threads=1)
            packet = Encoder(engine, options=options).encode(features, importance=importance)
            packets.add(packet)
            decoded.append(Decoder(engine, options=options).decode(packet))
        assert len(packets) == 1
        assert packet != plain
        for other in decoded[1:]:
            for level, values in other.items():
                assert np.array_equal(values, decoded[0][level])


@pytest.mark.parametrize("make", MAKERS)
def test_the_decoder_has_the_encoders_values(make: Any) -> None:
    engine = make()
    features = random_features(engine, SIZE)
    encoder = Encoder(engine)
    for importance in importances(engine, features):
        walk = encoder.walk(features, importance=importance)
        found = Decoder(engine).integers(encoder.code(walk))
        for latent, wanted in walk.integers.items():
            assert np.array_equal(found[latent].symbols, wanted.symbols)
            assert np.array_equal(found[latent].indexes, wanted.indexes)


def test_saying_nothing_changes_no_byte() -> None:
    for make in MAKERS:
        engine = make()
        encoder, features = Encoder(engine), random_features(engine, SIZE)
        plain = encoder.encode(features)
        outside = [(1.1, 0.2, 1.5, 0.6), (0.2, -0.5, 0.3, -0.1), (1, 0, 2, 1)]
        assert encoder.encode(features, importance=Importance((0,))) == plain
        assert encoder.encode(features, roi=[]) == plain
        assert encoder.encode(features, roi=outside, level_offsets={}) == plain
        assert encoder.encode(features, roi=BOXES, roi_gain=0) == plain
        assert encoder.encode(features, roi=np.zeros(SIZE, bool)) == plain


def test_an_offset_of_all_is_another_step() -> None:
    """But for the bytes that tell it, a packet is that of the other step."""
    engine = tiny_levels()
    encoder, features = Encoder(engine), random_features(engine, SIZE)
    moved = encoder.walk(features, step=4, importance=Importance((3, 3, 3)))
    wanted = encoder.walk(features, step=7)
    for latent, integers in wanted.integers.items():
        assert np.array_equal(moved.integers[latent].symbols, integers.symbols)
        assert np.array_equal(moved.integers[latent].indexes, integers.indexes)


@pytest.mark.parametrize("make", [tiny_context, tiny_levels])
def test_steps_are_clipped_to_the_table(make: Any) -> None:
    engine = make()
    encoder, features = Encoder(engine), random_features(engine, SIZE)
    steps = engine.manifest.steps
    far = encoder.walk(features, step=steps.last - 1, importance=Importance((255,), (2,)))
    last = encoder.walk(features, step=steps.last)
    latent = next(name for name in far.integers if engine.manifest.latents[name].step)
    assert np.array_equal(far.integers[latent].symbols, last.integers[latent].symbols)
    assert encoder.code(far) != encoder.code(last)
    Decoder(engine).decode(encoder.code(far))


@pytest.mark.parametrize("make", [tiny_hyperprior, tiny_levels])
def test_what_is_of_interest_is_finer_and_the_rest_as_it_was(make: Any) -> None:
    engine = make()
    features = random_features(engine, SIZE)
    encoder = Encoder(engine, quality=1)
    importance = encoder.importance(features, roi=[(0, 0, 0.6, 0.6)], roi_gain=12)
    plain, moved = encoder.walk(features), encoder.walk(features, importance=importance)
    for latent in (group.latents[0] for group in quality_groups(engine.manifest)):
        spec = engine.manifest.latents[latent]
        inside, outside = [], []
        for walk in plain, moved:
            walk.dequantize(Dequantize(latent, "values"))
            values, source = walk.tensors["values"], walk.tensors[spec.source]
            rows, columns = np.indices(source.shape[2:])
            taken = (rows + columns) % 2 == 0  # of a checkerboard the first latent is even
            box = (rows < source.shape[2] / 2) & (columns < source.shape[3] / 2)
            around = (rows > source.shape[2] * 0.7) | (columns > source.shape[3] * 0.7)
            inside.append(np.abs(values - source)[..., taken & box].mean())
            outside.append(values[..., taken & around])
        assert inside[1] < 0.8 * inside[0]
        assert np.array_equal(*outside)


def test_levels_move_alone() -> None:
    engine = tiny_levels()
    encoder, features = Encoder(engine), random_features(engine, SIZE)
    importance = encoder.importance(features, level_offsets={"p4": -5})
    assert importance == Importance((0, -5))
    plain, moved = encoder.walk(features), encoder.walk(features, importance=importance)
    for latent, integers in plain.integers.items():
        same = np.array_equal(moved.integers[latent].symbols, integers.symbols)
        assert same == (not latent.startswith("p4_y"))
    assert encoder.code(moved) == encoder.encode(features, level_offsets={"p4": -5})


def test_boxes_are_rounded_outwards_and_cut() -> None:
    manifest = tiny_levels().manifest
    sizes = [(24, 32), (12, 16), (6, 8)]

    def regions(roi: Any) -> Regions | None:
        return importance_of(manifest, sizes, {}, roi, 8).regions

    assert regions((0.1, 0.2, 0.3, 0.4)) == regions([(0.1, 0.2, 0.3, 0.4)])
    assert regions((-0.9, 0.5, 1.9, 2)) == regions([(0, 0.5, 1, 1)])
    # The finest latent has cells of 2 x 2, which are the blocks.
    assert regions([(0.13, 0.3, 0.26, 0.5)]) == Regions(1, (Rectangle(3, 2, 3, 3, -8),))
    assert regions([(-3, 0.5, 0.5, 9)]) == Regions(1, (Rectangle(6, 0, 6, 8, -8),))
    assert regions(np.array([[0, 0, 1, 1]], np.float32)) == Regions(
        1, (Rectangle(0, 0, 12, 16, -8),)
    )
    mask = np.zeros((24, 32), bool)
    mask[7:12, 4:9] = True
    assert regions(mask) == regions([(0.13, 0.3, 0.26, 0.5)])
    assert regions(-8 * mask.astype(np.int8)) == regions(mask)


def test_regions_move_with_the_padding() -> None:
    """Levels lie in the middle of what is padded; the padding goes with the nearest cells."""
    manifest = tiny_levels().manifest
    assert manifest.padding.align == "center"
    sizes = [(20, 28), (10, 14), (5, 7)]
    mask = np.zeros((20, 28), bool)
    mask[:4, 12:16] = True
    regions = importance_of(manifest, sizes, {}, mask, 4).regions
    assert regions == Regions(1, (Rectangle(0, 7, 3, 2, -4),))  # two rows of padding above


def test_masks_of_many_shapes_become_coarser_but_lose_nothing() -> None:
    rng = np.random.default_rng(3)
    cells = np.where(rng.random((64, 64)) < 0.02, -8, 0).astype(np.int16)
    regions = regions_of(cells)
    assert regions is not None
    assert regions.block_bits > 0
    assert len(regions.rectangles) <= 32
    side = 1 << regions.block_bits
    covered = np.zeros_like(cells)
    for row, column, rows, columns, offset in regions.rectangles:
        covered[row * side : (row + rows) * side, column * side : (column + columns) * side] = (
            offset
        )
    assert (covered <= cells).all()


def test_regions_are_those_of_the_grid() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        cells = rng.choice([0, 0, 0, -8, 3], (5, 6)).astype(np.int16)
        regions = regions_of(cells)
        painted = np.zeros_like(cells)
        for row, column, rows, columns, offset in regions.rectangles if regions else ():
            assert not painted[row : row + rows, column : column + columns].any()
            painted[row : row + rows, column : column + columns] = offset
        assert np.array_equal(painted, cells)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"roi": [(0.5, 0, 0.2, 1)]}, "left, top, right, bottom"),
        ({"roi": [(0, 0, float("nan"), 1)]}, "left, top, right, bottom"),
        ({"roi": [(0, 0, 1)]}, "boxes of four"),
        ({"roi": [("a", 0, 1, 1)]}, "boxes of four"),
        ({"roi": [None]}, "boxes of four"),
        ({"roi": [(0.1, 0.1), (0.5, 0.5)]}, r"boxes of four.*shape \[2, 2\]"),
        ({"roi": np.zeros((2, 8), np.float32)}, r"boxes of four.*make the mask bool"),
        ({"roi": np.ones((1, *SIZE), np.float32)}, r"make the mask bool"),
        ({"roi": np.ones(SIZE, np.float32)}, r"float32 of the shape of a mask.*roi > 0.5"),
        ({"roi": (10.0, 20.0, 30.0, 40.0)}, r"\[10.0, 20.0, 30.0, 40.0\].*not pixels"),
        ({"roi": [(0, 0, 0.5, 0.5), (0, 0, 640, 480)]}, r"\[0.0, 0.0, 640.0, 480.0\].*not pixels"),
        ({"roi": [(0, -20, 0.5, 0.5)]}, "not pixels"),
        ({"roi": [(3, 2, 9, 12)]}, "not pixels"),
        ({"roi": np.zeros((4, 4), bool)}, r"shape \[4, 4\]"),
        ({"roi": np.full(SIZE, 256)}, "256 steps"),
        ({"roi": BOXES, "roi_gain": 256}, "256 steps"),
        ({"level_offsets": {"p3": 256}}, "beyond 255"),
        ({"level_offsets": {"p9": 1}}, "'p9' has no latent of its own.*p3, p4, p5"),
        ({"level_offsets": {"p3": 1}, "importance": Importance((1,))}, "not both"),
    ],
)
def test_wrong_wishes_are_refused(wish: dict[str, Any], error: str) -> None:
    engine = tiny_levels()
    with pytest.raises(ConfigError, match=error):
        Encoder(engine).encode(random_features(engine, SIZE), **wish)


def test_floats_of_four_columns_are_no_boxes_where_masks_have_as_many() -> None:
    """A picture four cells wide: only its mask's shape tells what a float array is."""
    manifest, sizes = tiny_levels().manifest, [(8, 4), (4, 2), (2, 1)]
    boxes = np.full((8, 4), 0.5)
    with pytest.raises(ConfigError, match="give boxes as a list"):
        importance_of(manifest, sizes, {}, boxes, 8)
    assert importance_of(manifest, sizes, {}, [(0, 0, 0.5, 0.5)] * 8, 8).regions


def test_fused_levels_have_no_offsets_of_their_own() -> None:
    engine = tiny_hyperprior()
    with pytest.raises(ConfigError, match=r"'p3' has no latent of its own.*are: p3\+p4"):
        Encoder(engine).encode(random_features(engine, SIZE), level_offsets={"p3": 1})


def test_gains_and_steps_are_not_mixed() -> None:
    engine = tiny_gain()
    with pytest.raises(ConfigError, match="follows gains"):
        Encoder(engine).encode(random_features(engine, SIZE), roi=BOXES)


def test_every_picture_of_a_batch_has_the_importance() -> None:
    engine = tiny_levels()
    encoder = Encoder(engine)
    batch = random_features(engine, SIZE, batch=3)
    packets = encoder.encode(batch, roi=BOXES)
    for n, packet in enumerate(packets):
        one = {level: values[n] for level, values in batch.items()}
        assert packet == encoder.encode(one, roi=BOXES)
    buffer = bytearray(len(packets[0]))
    one = {level: values[0] for level, values in batch.items()}
    size = encoder.encode_into(one, buffer, importance=encoder.importance(one, roi=BOXES))
    assert bytes(buffer[:size]) == packets[0]


def with_importance(engine: Engine, packet: bytes, importance: Importance) -> bytes:
    """The packet, intact, with something else said of its steps."""
    levels = len(engine.manifest.features)
    head, segments, escapes = read_packet(packet, engine.digest, Limits(), levels=levels)
    head = dataclasses.replace(head, importance=importance)
    return write_packet(head, segments, escapes, engine.digest)


@pytest.mark.parametrize("make", MAKERS)
def test_another_importance_is_drift(make: Any) -> None:
    """Table indexes follow from it, so that the coder ends elsewhere."""
    engine = make()
    features = random_features(engine, SIZE)
    packet = Encoder(engine).encode(features, roi=BOXES)
    for importance in importances(engine, features)[1:]:
        with pytest.raises(DriftError):
            Decoder(engine).decode(with_importance(engine, packet, importance))


@pytest.mark.parametrize(
    "importance",
    [
        Importance((0, 0, 0, 1)),
        Importance((), (6,)),
        Importance(regions=Regions(0, (Rectangle(0, 0, 1 << 16, 1 << 16, 1),))),
    ],
)
def test_packets_that_do_not_go_with_the_engine_are_refused(importance: Importance) -> None:
    engine = tiny_levels()
    packet = Encoder(engine).encode(random_features(engine, SIZE))
    with pytest.raises(BitstreamError, match="does not go with its engine"):
        Decoder(engine).decode(with_importance(engine, packet, importance))


def test_gain_engines_refuse_packets_with_an_importance() -> None:
    engine = tiny_gain()
    packet = Encoder(engine).encode(random_features(engine, SIZE))
    with pytest.raises(BitstreamError, match="follows gains"):
        Decoder(engine).decode(with_importance(engine, packet, Importance((1,))))


def test_importance_follows_sizes_only() -> None:
    engine = tiny_levels()
    encoder = Encoder(engine)
    one, other = (random_features(engine, SIZE, seed=n) for n in (1, 2))
    assert encoder.importance(one, roi=BOXES) == encoder.importance(other, roi=BOXES)
    with pytest.raises(ShapeError):
        encoder.importance({name: values[:1] for name, values in one.items()}, roi=BOXES)
