"""What a decoder refuses: damage, foreign integers, requests beyond the limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, Limits, RuntimeOptions
from fcmrt.bitstream import PacketHead, read_packet, write_packet
from fcmrt.errors import (
    BitstreamError,
    ChecksumError,
    ConfigError,
    DriftError,
    DTypeError,
    LimitExceededError,
    NonFiniteError,
    TruncatedError,
)
from fcmrt.executor import Executor
from fcmrt.schedule import Run
from tests import engines
from tests.features import random_features


def packet_of(engine: Engine, size: tuple[int, int] = (16, 16)) -> bytes:
    return bytes(Encoder(engine).encode(random_features(engine, size, scale=10.0)))


def rewritten(engine: Engine, packet: bytes, **changes: object) -> bytes:
    """The packet with fields of its head changed and its checksum right."""
    parsed = read_packet(packet, engine.digest, Limits(), levels=len(engine.manifest.features))
    head: PacketHead = dataclasses.replace(parsed.head, **changes)  # type: ignore[arg-type]
    return write_packet(head, parsed.segments, parsed.escapes, engine.digest)


def test_every_flipped_bit_is_noticed() -> None:
    engine = engines.tiny_factorized()
    packet = packet_of(engine, (4, 4))
    decoder = Decoder(engine)
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            decoder.decode(damaged)


def test_every_truncation_is_noticed() -> None:
    engine = engines.tiny_context()
    packet = packet_of(engine)
    decoder = Decoder(engine)
    for length in range(len(packet)):
        with pytest.raises((ChecksumError, TruncatedError)):
            decoder.decode(packet[:length])


def test_another_step_is_drift_or_damage_never_features() -> None:
    """With its checksum mended, a packet read with other tables than its own still fails."""
    engine = engines.tiny_hyperprior()
    packet = packet_of(engine)
    decoder = Decoder(engine)
    own = read_packet(packet, engine.digest, Limits()).head.step
    for step in range(engine.manifest.steps.first, engine.manifest.steps.last + 1):
        if step != own:
            with pytest.raises(DriftError):
                decoder.decode(rewritten(engine, packet, step=step))
    with pytest.raises(BitstreamError, match="step"):
        decoder.decode(rewritten(engine, packet, step=engine.manifest.steps.last + 1))


@pytest.mark.parametrize("tensor", [0, 1], ids=["means", "indexes"])
def test_one_wrong_integer_of_the_prior_is_drift(
    tensor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that computes one other mean, or one other index, gets an error, not features."""
    engine = engines.tiny_hyperprior()
    packet = packet_of(engine)
    prior = next(s for s in engine.manifest.decode if isinstance(s, Run))
    real = Executor.network

    class Drifting:
        def __init__(self, network: object, place: int) -> None:
            self.network, self.place = network, place

        def run(self, inputs: object, outputs: object) -> list[np.ndarray]:
            results = [a.copy() for a in self.network.run(inputs, outputs)]  # type: ignore[attr-defined]
            flat = results[tensor].reshape(-1)
            flat[self.place % flat.size] += 1
            return results

    decoder = Decoder(engine)
    decoder.decode(packet)
    for place in range(0, 400, 37):
        monkeypatch.setattr(
            Executor,
            "network",
            lambda self, name, place=place: (
                Drifting(real(self, name), place) if name == prior.graph else real(self, name)
            ),
        )
        if tensor == 0:
            with pytest.raises(DriftError):
                decoder.decode(packet)
        else:
            try:
                decoder.decode(packet)
            except DriftError:
                continue
            # An index beyond the last table, or of a skipped element, changes no integer.
    monkeypatch.undo()
    decoder.decode(packet)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_overflow_are_an_error(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every integer is right; what synthesis makes of them is not finite."""
    engine = engines.tiny_hyperprior()
    manifest = engine.manifest
    packet = packet_of(engine, (15, 16))
    last = [s for s in manifest.decode if isinstance(s, Run)][-1]
    real, column = Executor.run, -1

    def overflowing(
        self: Executor, name: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        found = real(self, name, inputs, outputs)
        if name == last.graph:
            found[outputs.index(manifest.outputs["p3"])][0, 2, column, column] = value
        return found

    monkeypatch.setattr(Executor, "run", overflowing)
    decoder = Decoder(engine)
    decoder.decode(packet)  # the last row is padding
    column = 0
    with pytest.raises(NonFiniteError, match="p3 came out"):
        decoder.decode(packet)
    with pytest.raises(NonFiniteError) as caught:
        decoder.decode([packet])
    assert caught.value.packet_index == 0
    decoder.integers(packet)


def test_features_that_overflow_in_half_precision_are_an_error() -> None:
    pytest.importorskip("torch")
    engine = Engine.builtin()
    packet = Encoder(engine).encode(random_features(engine, (8, 8), scale=30000.0))
    Decoder(engine).decode(packet)
    options = RuntimeOptions(runner="torch", precision="float16")
    with pytest.raises(NonFiniteError, match="precision='float32'"):
        Decoder(engine, options=options).decode(packet)


def test_limits_hold_before_memory_is_taken() -> None:
    engine = engines.tiny_hyperprior()
    packet = packet_of(engine)
    with pytest.raises(LimitExceededError):
        Decoder(engine, limits=Limits(max_side=8)).decode(packet)
    with pytest.raises(LimitExceededError):
        Decoder(engine, limits=Limits(max_elements=1000)).decode(packet)
    with pytest.raises(LimitExceededError):
        Decoder(engine, limits=Limits(max_packet_bytes=20)).decode(packet)


def test_packets_of_a_batch_are_told_by_number() -> None:
    engine = engines.tiny_hyperprior()
    packet = packet_of(engine)
    with pytest.raises(ChecksumError) as caught:
        Decoder(engine).decode([packet, packet, packet[:-1] + b"!"])
    assert caught.value.packet_index == 2


def test_one_lane_is_too_short_a_check_for_an_inexact_engine() -> None:
    engine = engines.tiny_same_engine()
    features = random_features(engine, (4, 4))
    packet = Encoder(engine).encode(features)
    assert packet[0] & 7 >= 1
    Decoder(engine).decode(packet)


@pytest.mark.parametrize("packet", [None, 5, "text"])
def test_what_is_not_bytes_is_refused(packet: object) -> None:
    with pytest.raises(DTypeError):
        Decoder(engines.tiny_factorized()).decode(packet)


def test_unknown_options_are_refused() -> None:
    engine = engines.tiny_factorized()
    with pytest.raises(ConfigError, match="output"):
        Decoder(engine, output="jax")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="dtype"):
        Decoder(engine, dtype="int8")  # type: ignore[arg-type]
