"""Features in, bytes out, features back: what a user relies on."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fcmrt
from fcmrt import CodingParams, Decoder, Encoder, Engine, Limits, RuntimeOptions, StageTimes
from fcmrt.errors import DTypeError, ShapeError
from fcmrt.walk import Walk
from tests import engines
from tests.features import random_features

ENGINES: list[Callable[[], Engine]] = [
    engines.tiny_hyperprior,
    engines.tiny_context,
    engines.tiny_factorized,
]


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__)
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.param()
    return made


def shapes(features: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in features.items()}


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    make=st.sampled_from(ENGINES),
    seed=st.integers(0, 99),
)
def test_any_size_comes_back(
    height: int, width: int, make: Callable[[], Engine], seed: int
) -> None:
    engine = make()
    features = random_features(engine, (height, width), seed)
    packet = Encoder(engine).encode(features)
    decoded = Decoder(engine).decode(packet)
    assert shapes(decoded) == shapes(features)
    assert all(array.dtype == np.float32 for array in decoded.values())
    assert packet.elements == sum(array.size for array in features.values())


def test_decoded_integers_are_the_encoded_ones(engine: Engine) -> None:
    """The check over the integers holds, so decoding again after re-encoding changes nothing."""
    features = random_features(engine, (17, 23))
    packet = Encoder(engine).encode(features)
    first = Decoder(engine).integers(packet)
    again = Decoder(engine, options=RuntimeOptions(kernels="reference")).integers(packet)
    assert list(first) == [
        step.latent
        for step in engine.manifest.encode
        if hasattr(step, "latent") and type(step).__name__ == "Code"
    ]
    for name, integers in first.items():
        np.testing.assert_array_equal(integers.symbols, again[name].symbols)
        np.testing.assert_array_equal(integers.indexes, again[name].indexes)
    assert any(integers.symbols.any() for integers in first.values())


def test_batch_equals_each_picture_alone(engine: Engine) -> None:
    batch = random_features(engine, (16, 12), batch=3)
    encoder = Encoder(engine)
    packets = encoder.encode(batch, pts=7)
    alone = [encoder.encode({k: v[n] for k, v in batch.items()}) for n in range(3)]
    assert packets == alone
    assert [packet.pts for packet in packets] == [7, 8, 9]
    decoded = Decoder(engine).decode(packets)
    assert [shapes(d) for d in decoded] == [
        {k: v.shape[1:] for k, v in batch.items()} for _ in range(3)
    ]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_batches_do_not_depend_on_threads(engine: Engine, threads: int) -> None:
    batch = random_features(engine, (12, 20), batch=5, scale=9.0)
    options = RuntimeOptions(threads=threads)
    packets = Encoder(engine, options=options).encode(batch, pts=0)
    assert packets == Encoder(engine).encode(batch)
    assert [packet.pts for packet in packets] == [0, 1, 2, 3, 4]
    decoded = Decoder(engine, options=options).decode(packets)
    alone = [Decoder(engine).decode(packet) for packet in packets]
    for found, wanted in zip(decoded, alone, strict=True):
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


def test_a_batch_runs_on_as_many_threads_as_the_options_say(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two pictures waits for the other to be under way."""
    meeting = threading.Barrier(2, timeout=20)
    check = Walk.check

    def meet(walk: Walk, order: list[str]) -> int:
        meeting.wait()
        return check(walk, order)

    monkeypatch.setattr(Walk, "check", meet)
    batch = random_features(engine, (8, 8), batch=2)
    options = RuntimeOptions(threads=2)
    packets = Encoder(engine, options=options).encode(batch)
    assert len(Decoder(engine, options=options).decode(packets)) == 2


def test_encoding_into_a_buffer(engine: Engine) -> None:
    features = random_features(engine, (30, 34), scale=20.0)
    encoder = Encoder(engine)
    packet = encoder.encode(features)
    buffer = bytearray(b"\xaa" * (len(packet) + 5))
    assert encoder.encode_into(features, buffer) == len(packet)
    assert buffer == packet + b"\xaa" * 5
    exact = np.zeros(len(packet), np.uint8)
    assert encoder.encode_into(features, exact, quality=1) <= len(packet)
    assert encoder.encode_into(features, exact) == len(packet)
    assert exact.tobytes() == packet
    small = bytearray(b"\xaa" * (len(packet) - 1))
    with pytest.raises(ShapeError, match=str(len(packet))):
        encoder.encode_into(features, small)
    assert small == b"\xaa" * (len(packet) - 1)
    with pytest.raises(DTypeError, match="writable"):
        encoder.encode_into(features, bytes(1000))
    with pytest.raises(ShapeError, match="batch"):
        encoder.encode_into(random_features(engine, (8, 8), batch=2), buffer)


def test_decoding_into_arrays(engine: Engine) -> None:
    features = random_features(engine, (11, 14), batch=2)
    packets = Encoder(engine).encode(features)
    decoder = Decoder(engine)
    wanted = [decoder.decode(packet) for packet in packets]
    whole = {name: np.full_like(array, np.nan) for name, array in features.items()}
    outs = [{name: array[n] for name, array in whole.items()} for n in range(2)]
    given_back = decoder.decode(packets, out=outs)
    for n in range(2):
        for name, array in wanted[n].items():
            assert given_back[n][name] is outs[n][name]
            np.testing.assert_array_equal(whole[name][n], array)
    halves = {name: np.zeros(array.shape, np.float16) for name, array in outs[0].items()}
    decoder.decode(packets[0], out=halves)
    for name, array in wanted[0].items():
        np.testing.assert_array_equal(halves[name], array.astype(np.float16))


def test_arrays_to_decode_into_are_checked(engine: Engine) -> None:
    packet = Encoder(engine).encode(random_features(engine, (8, 8)))
    decoder = Decoder(engine)
    good = {name: np.zeros_like(array) for name, array in decoder.decode(packet).items()}
    name, array = next(iter(good.items()))
    fixed = array.copy()
    fixed.flags.writeable = False
    for out, error in (
        ({}, ShapeError),
        (array, ShapeError),
        ({**good, "p9": array}, ShapeError),
        ({**good, name: array[:, 1:]}, ShapeError),
        ({**good, name: array[None]}, ShapeError),
        ({**good, name: array.astype(np.float64)}, DTypeError),
        ({**good, name: fixed}, DTypeError),
    ):
        with pytest.raises(error):
            decoder.decode(packet, out=out)
    assert not any(array.any() for array in good.values())
    with pytest.raises(ShapeError, match="2 packets"):
        decoder.decode([packet, packet], out=[good])


def test_sequence_mapping_and_single_array_are_the_same(engine: Engine) -> None:
    features = random_features(engine, (8, 8))
    encoder = Encoder(engine)
    packet = encoder.encode(features)
    assert encoder.encode(list(features.values())) == packet
    assert encoder.encode(tuple(features.values())) == packet
    if len(features) == 1:
        assert encoder.encode(next(iter(features.values()))) == packet


def test_strides_and_float16_and_buffers_are_taken(engine: Engine) -> None:
    features = {k: v.astype(np.float16) for k, v in random_features(engine, (9, 11)).items()}
    encoder = Encoder(engine)
    packet = encoder.encode({k: v.astype(np.float32) for k, v in features.items()})
    assert encoder.encode(features) == packet
    fortran = {k: np.asfortranarray(v.astype(np.float32)) for k, v in features.items()}
    assert encoder.encode(fortran) == packet
    buffers = {k: memoryview(v.astype(np.float32)) for k, v in features.items()}
    assert encoder.encode(buffers) == packet


def test_runtime_options_do_not_change_bytes(engine: Engine) -> None:
    features = random_features(engine, (24, 20))
    wanted = Encoder(engine).encode(features)
    for options in (
        RuntimeOptions(threads=1),
        RuntimeOptions(threads=2),
        RuntimeOptions(kernels="reference"),
    ):
        assert Encoder(engine, options=options).encode(features) == wanted


def test_one_encoder_and_decoder_serve_many_threads(engine: Engine) -> None:
    encoder, decoder = Encoder(engine), Decoder(engine)
    inputs = [random_features(engine, (10 + n, 13), seed=n) for n in range(8)]
    wanted = [encoder.encode(features) for features in inputs]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        packets = list(pool.map(encoder.encode, inputs * 4))
        decoded = list(pool.map(decoder.decode, packets))
    assert packets == wanted * 4
    for features, back in zip(inputs * 4, decoded, strict=True):
        assert shapes(back) == shapes(features)


def test_levels_that_round_down_tell_all_their_sizes() -> None:
    """A network that floors where others round up still gets its own sizes back."""
    engine = engines.tiny_hyperprior()
    features = random_features(engine, (0, 0), sizes=((21, 33), (10, 16)))
    packet = Encoder(engine).encode(features)
    assert shapes(Decoder(engine).decode(packet)) == shapes(features)


def test_packets_of_known_size_need_the_header(engine: Engine) -> None:
    features = random_features(engine, (16, 16))
    sizes = {name: array.shape[1:] for name, array in features.items()}
    encoder = Encoder(engine, sizes=sizes)
    packet = encoder.encode(features)
    assert len(packet) < len(Encoder(engine).encode(features))
    with pytest.raises(fcmrt.errors.BitstreamError, match="header"):
        Decoder(engine).decode(packet)
    decoder = Decoder(engine, header=encoder.header)
    assert shapes(decoder.decode(packet)) == shapes(features)
    # Another size than the header's is told by the packet itself.
    other = random_features(engine, (8, 12))
    assert shapes(decoder.decode(encoder.encode(other))) == shapes(other)


def test_header_and_packet_make_a_datagram(engine: Engine) -> None:
    features = random_features(engine, (16, 16))
    sizes = {name: array.shape[1:] for name, array in features.items()}
    encoder = Encoder(engine, sizes=sizes)
    datagram = fcmrt.bitstream.write_header(encoder.header) + encoder.encode(features)
    assert shapes(Decoder(engine).decode(datagram)) == shapes(features)


def test_a_stream_of_another_engine_is_refused_with_both_digests() -> None:
    one, other = engines.tiny_hyperprior(), engines.tiny_factorized()
    header = Encoder(one).header
    with pytest.raises(fcmrt.errors.EngineMismatchError) as caught:
        Decoder(other, header=header)
    assert caught.value.wanted == one.digest_hex
    assert caught.value.found == other.digest_hex
    packet = Encoder(one).encode(random_features(one, (8, 8)))
    with pytest.raises(fcmrt.errors.ChecksumError, match="another engine"):
        Decoder(other).decode(packet)


def test_quality_spends_bytes() -> None:
    engine = engines.tiny_hyperprior()
    features = random_features(engine, (32, 32), scale=20.0)
    levels = range(1, len(engine.manifest.quality.levels) + 1)
    sizes = [len(Encoder(engine, quality=q).encode(features)) for q in levels]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    encoder = Encoder(engine, quality=levels[0])
    assert len(encoder.encode(features, quality=levels[-1])) == sizes[-1]
    assert len(encoder.encode(features, step=engine.manifest.quality.levels[-1])) == sizes[-1]


def test_dtype_in_is_dtype_out_with_the_header() -> None:
    engine = engines.tiny_hyperprior()
    features = {k: v.astype(np.float16) for k, v in random_features(engine, (8, 8)).items()}
    encoder = Encoder(engine, dtype="float16")
    packet = encoder.encode(features)
    assert packet == Encoder(engine).encode(features)
    decoded = Decoder(engine, header=encoder.header).decode(packet)
    assert all(array.dtype == np.float16 for array in decoded.values())
    wide = Decoder(engine, header=encoder.header, dtype="float32").decode(packet)
    assert all(array.dtype == np.float32 for array in wide.values())


def test_decoder_output_types() -> None:
    engine = engines.tiny_hyperprior()
    packet = Encoder(engine).encode(random_features(engine, (8, 8)))
    half = Decoder(engine, dtype="float16").decode(packet)
    assert all(array.dtype == np.float16 for array in half.values())
    torch = pytest.importorskip("torch")
    tensors = Decoder(engine, output="torch").decode(packet)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    assert (
        Encoder(engine).encode(
            {k: torch.from_numpy(v) for k, v in random_features(engine, (8, 8)).items()}
        )
        == packet
    )


@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_encoders_and_decoders_go_to_other_processes(engine: Engine, way: str) -> None:
    def other(made: object) -> Any:
        return pickle.loads(pickle.dumps(made)) if way == "pickle" else getattr(copy, way)(made)

    features = random_features(engine, (12, 20), scale=9.0)
    encoder = Encoder(
        engine,
        quality=1,
        params=CodingParams(overhead_permille=9),
        options=RuntimeOptions(threads=1, kernels="scalar"),
        sizes={name: array.shape[1:] for name, array in features.items()},
        dtype="float16",
        time_base=Fraction(1, 25),
        recorder=StageTimes(),
    )
    again = other(encoder)
    assert again.header == encoder.header
    packet = again.encode(features, pts=3)
    assert (packet, packet.pts) == (encoder.encode(features), 3)
    assert again._recorder.ns["total"]
    limits = Limits(max_elements=1 << 20)
    decoder = other(Decoder(engine, header=encoder.header, limits=limits, dtype="float32"))
    assert decoder.limits == limits
    found, wanted = decoder.decode(packet), Decoder(engine, header=encoder.header).decode(packet)
    for name, array in wanted.items():
        assert (array.dtype, found[name].dtype) == (np.float16, np.float32)
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-3)


def test_a_process_of_its_own_decodes() -> None:
    engine = engines.tiny_hyperprior()
    packet = Encoder(engine).encode(random_features(engine, (8, 8)))
    decoder = Decoder(engine, options=RuntimeOptions(threads=1))
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(decoder.decode, packet).result()
    for name, array in decoder.decode(packet).items():
        np.testing.assert_array_equal(found[name], array)
