"""What an encoder refuses before it does any work, and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from fcmrt import CodingParams, Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import ConfigError, DeviceError, DTypeError, FcmrtError, ShapeError
from fcmrt.observe import StageTimes
from tests import engines
from tests.features import random_features


class OnCuda:
    """Stands for an array in a GPU's memory."""

    __cuda_array_interface__ = {"shape": (6, 8, 8), "typestr": "<f4", "data": (0, False)}  # noqa: RUF012


class DLPackOnCuda:
    """Stands for a tensor in a GPU's memory."""

    def __dlpack__(self, **_: object) -> object:
        raise AssertionError("must be refused before it is asked for")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


def wrong(name: str, value: object) -> dict[str, object]:
    return {**random_features(engines.tiny_hyperprior(), (8, 8)), name: value}


@pytest.mark.parametrize(
    ("features", "error", "text"),
    [
        (wrong("p3", np.zeros((6, 8), np.float32)), ShapeError, r"\[C, H, W\]"),
        (wrong("p3", np.zeros((5, 8, 8), np.float32)), ShapeError, "5 channels"),
        (wrong("p3", np.zeros((8, 8, 6), np.float32)), ShapeError, "in the order"),
        (wrong("p3", np.zeros((6, 0, 8), np.float32)), ShapeError, "empty"),
        (wrong("p3", np.zeros((2, 6, 8, 8), np.float32)), ShapeError, "batch"),
        (wrong("p3", np.zeros((6, 8, 8), np.float64)), DTypeError, "float64"),
        (wrong("p3", np.zeros((6, 8, 8), np.int8)), DTypeError, "int8"),
        (wrong("p3", np.full((6, 8, 8), np.nan, np.float32)), DTypeError, "NaN"),
        (wrong("p3", np.full((6, 8, 8), -np.inf, np.float16)), DTypeError, "infinity"),
        (wrong("p3", "text"), DTypeError, "str"),
        (wrong("p3", OnCuda()), DeviceError, "CUDA"),
        (wrong("p3", DLPackOnCuda()), DeviceError, "device"),
        (wrong("p9", np.zeros((6, 8, 8), np.float32)), ConfigError, "p9"),
        ([np.zeros((6, 8, 8), np.float32)], ShapeError, "1 levels"),
        (np.zeros((6, 8, 8), np.float32), ShapeError, "1 levels"),
        (wrong("p4", np.zeros((8, 99, 99), np.float32)), ShapeError, r"p4 99 x 99 \(stride 2\)"),
    ],
)
def test_bad_features_are_refused(features: object, error: type[FcmrtError], text: str) -> None:
    with pytest.raises(error, match=text):
        Encoder(engines.tiny_hyperprior()).encode(features)


def test_what_numpy_does_not_know_is_told_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    encoder = Encoder(engines.tiny_hyperprior())
    half = torch.zeros(6, 8, 8, dtype=torch.bfloat16)
    with pytest.raises(DTypeError, match=r"p3 is bfloat16.*float32 or float16: call \.float\(\)"):
        encoder.encode(wrong("p3", half))
    encoder.encode(wrong("p3", half.float()))
    with pytest.raises(DTypeError, match=r"p3 cannot be taken through DLPack.*detach"):
        encoder.encode(wrong("p3", half.float().requires_grad_()))


def test_a_large_sum_of_finite_values_is_no_infinity() -> None:
    engine = engines.tiny_factorized()
    (level,) = engine.manifest.features
    features = np.full((level.channels, 64, 64), 3e38, np.float32)
    Encoder(engine).take(features)


@pytest.mark.parametrize(
    "call",
    [
        lambda encoder, features: encoder.encode(features),
        lambda encoder, features: encoder.encode(features, target_bytes=300),
        lambda encoder, features: encoder.encode_into(features, bytearray(1 << 16)),
        lambda encoder, features: encoder.walk(features),
    ],
    ids=["encode", "encode to a size", "encode_into", "walk"],
)
def test_latents_that_overflow_are_no_packet(call: Callable[[Encoder, object], object]) -> None:
    """Every feature is finite; what analysis makes of them is not."""
    engine = Engine.builtin()
    features = random_features(engine, (8, 8))
    features["p3"][0, 0, 0] = 1e38
    with pytest.raises(DTypeError, match=r"too large for them\. Use precision='float32'"):
        call(Encoder(engine), features)


def test_latents_that_overflow_in_half_precision_are_no_packet() -> None:
    pytest.importorskip("torch")
    engine = Engine.builtin()
    features = random_features(engine, (8, 8), scale=1000.0)
    options = RuntimeOptions(runner="torch", precision="float16")
    with pytest.raises(DTypeError, match="precision='float32'"):
        Encoder(engine, options=options).encode(features)
    Encoder(engine, options=RuntimeOptions(runner="torch")).encode(features)


@pytest.mark.parametrize("quality", [0, 0.99, 1e9, float("nan"), -3, "high"])
def test_bad_quality_is_refused(quality: float) -> None:
    engine = engines.tiny_hyperprior()
    with pytest.raises(ConfigError):
        Encoder(engine, quality=quality)
    with pytest.raises(ConfigError):
        Encoder(engine).encode(random_features(engine, (8, 8)), quality=quality)


def test_step_is_refused_with_a_quality_or_out_of_the_table() -> None:
    engine = engines.tiny_hyperprior()
    features = random_features(engine, (8, 8))
    with pytest.raises(ConfigError, match="not both"):
        Encoder(engine).encode(features, quality=1, step=0)
    with pytest.raises(ConfigError):
        Encoder(engine).encode(features, step=engine.manifest.steps.last + 1)


def test_header_tells_what_the_packets_have_in_common() -> None:
    engine = engines.tiny_hyperprior()
    encoder = Encoder(
        engine,
        params=CodingParams(overhead_permille=50),
        sizes={"p3": (20, 30), "p4": (10, 15)},
        time_base=Fraction(1, 30),
    )
    header = encoder.header
    assert header.engine_digest == engine.digest
    assert header.coding.overhead_permille == 50
    assert header.time_base == (1, 30)
    assert [(level.name, level.height, level.width) for level in header.levels] == [
        ("p3", 20, 30),
        ("p4", 10, 15),
    ]


def test_levels_in_another_order_are_refused() -> None:
    engine = Engine.builtin()
    levels = list(random_features(engine, (52, 40)).values())
    with pytest.raises(ShapeError, match=r"p3 13 x 10 \(stride 1\).*Check their order"):
        Encoder(engine).encode(levels[::-1])
    with pytest.raises(ShapeError, match="not levels of one picture"):
        Encoder(engine, sizes={"p3": (13, 10), "p4": (26, 20), "p5": (52, 40)})


def test_overhead_buys_lanes() -> None:
    engine = engines.tiny_hyperprior()
    features = random_features(engine, (64, 64), scale=30.0)
    few = Encoder(engine, params=CodingParams(overhead_permille=1)).encode(features)
    many = Encoder(engine, params=CodingParams(overhead_permille=1000)).encode(features)
    assert (many[0] & 7) > (few[0] & 7)


def test_a_check_of_32_bits_takes_two_lanes() -> None:
    """F-7: the least number of lanes, of an exact engine."""
    engine = engines.tiny_hyperprior()
    assert engine.manifest.profile == "exact"
    features = random_features(engine, (4, 4))
    short = Encoder(engine).encode(features)
    long = Encoder(engine, params=CodingParams(check_bits=32)).encode(features)
    assert (short[0] & 7, long[0] & 7) == (0, 1)
    for packet in (short, long):
        Decoder(engine).integers(packet)
    for wrong in (8, 0, 64):
        with pytest.raises(ConfigError, match="16 or 32"):
            CodingParams(check_bits=wrong)


def test_recorder_is_told_every_stage() -> None:
    engine = engines.tiny_hyperprior()
    times = StageTimes()
    Encoder(engine, recorder=times).encode(random_features(engine, (8, 8), batch=2))
    graphs = {step.graph for step in engine.manifest.encode if hasattr(step, "graph")}
    assert set(times.ns) == graphs | {
        "prepare",
        "quantize",
        "dequantize",
        "code",
        "pack",
        "total",
    }
    assert all(len(ns) == 2 for ns in times.ns.values())
    for n in range(2):
        parts = sum(ns[n] for stage, ns in times.ns.items() if stage != "total")
        assert 0 < parts <= times.ns["total"][n]


def test_a_walk_and_its_coding_are_an_encode() -> None:
    engine = engines.tiny_hyperprior()
    encoder = Encoder(engine)
    features = random_features(engine, (9, 14))
    walk = encoder.walk(features, step=2)
    assert set(walk.integers) == {"z", "y"}
    assert walk.tensors["p3"].shape == (1, 6, 12, 16)  # padded
    packet = encoder.code(walk, pts=7)
    assert packet == encoder.encode(features, step=2)
    assert packet.pts == 7
    assert packet.elements == sum(level.size for level in features.values())


def test_a_batch_is_not_walked() -> None:
    engine = engines.tiny_hyperprior()
    with pytest.raises(ShapeError, match="one picture"):
        Encoder(engine).walk(random_features(engine, (8, 8), batch=2))
