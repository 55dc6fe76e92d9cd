"""Streams of same-engine codecs tell what made them, and are refused elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from fcmrt import Decoder, Encoder, RuntimeOptions, StreamHeader
from fcmrt.bitstream import read_header, write_header
from fcmrt.errors import BitstreamError, EngineError, RunnerMismatchError

from . import engines
from .features import random_features

HERE = RuntimeOptions(threads=1)
ELSEWHERE = RuntimeOptions(threads=2)


@pytest.fixture
def header() -> StreamHeader:
    return Encoder(engines.tiny_same_engine(), options=HERE).header


def test_the_header_tells_the_runner(header: StreamHeader) -> None:
    (note,) = header.notes
    assert note[0] == "runner"
    assert note[1].startswith("onnxruntime ")
    assert "threads 1" in note[1]
    assert header.runner_digest == hashlib.sha256(note[1].encode()).digest()
    assert header.profile == "same-engine"
    assert read_header(write_header(header))[0] == header


def test_an_exact_header_does_not() -> None:
    header = Encoder(engines.tiny_hyperprior(), options=HERE).header
    assert header.runner_digest is None
    assert header.notes == ()


def test_the_same_runner_decodes(header: StreamHeader) -> None:
    engine = engines.tiny_same_engine()
    packet = Encoder(engine, options=HERE).encode(random_features(engine, (16, 24)))
    Decoder(engine, header=header, options=HERE).decode(packet)


def test_another_runner_is_refused_by_name(header: StreamHeader) -> None:
    engine = engines.tiny_same_engine()
    with pytest.raises(RunnerMismatchError) as caught:
        Decoder(engine, header=header, options=ELSEWHERE)
    error = caught.value
    assert isinstance(error, EngineError)
    assert error.wanted == header.notes[0][1]
    assert "threads 2" in error.found
    assert error.wanted in str(error)
    assert error.found in str(error)


def test_another_runner_is_refused_in_a_self_contained_packet(header: StreamHeader) -> None:
    engine = engines.tiny_same_engine()
    packet = bytes(Encoder(engine, options=HERE).encode(random_features(engine, (16, 24))))
    whole = write_header(header) + packet
    Decoder(engine, options=HERE).decode(whole)
    with pytest.raises(RunnerMismatchError):
        Decoder(engine, options=ELSEWHERE).decode(whole)


def test_a_bare_packet_is_left_to_its_check() -> None:
    engine = engines.tiny_same_engine()
    packet = Encoder(engine, options=HERE).encode(random_features(engine, (16, 24)))
    # These networks are small enough for any number of threads.
    Decoder(engine, options=ELSEWHERE).decode(packet)


def test_a_header_that_does_not_tell_is_taken(header: StreamHeader) -> None:
    silent = dataclasses.replace(header, runner_digest=None, notes=())
    Decoder(engines.tiny_same_engine(), header=silent, options=ELSEWHERE)


@pytest.mark.parametrize("note", ["", "another story", "\x1b[31m"])
def test_a_note_counts_only_with_its_digest(header: StreamHeader, note: str) -> None:
    odd = dataclasses.replace(header, notes=(("runner", note),))
    with pytest.raises(RunnerMismatchError) as caught:
        Decoder(engines.tiny_same_engine(), header=odd, options=ELSEWHERE)
    digest = (header.runner_digest or b"").hex()
    assert caught.value.wanted == f"another runner (digest {digest[:16]}...)"


def test_control_characters_stay_out_of_messages(header: StreamHeader) -> None:
    note = "\x1b[31mrunner"
    digest = hashlib.sha256(note.encode()).digest()
    odd = dataclasses.replace(header, notes=(("runner", note),), runner_digest=digest)
    with pytest.raises(RunnerMismatchError) as caught:
        Decoder(engines.tiny_same_engine(), header=odd, options=HERE)
    assert str(caught.value).isprintable()


def test_a_header_of_the_other_profile_is_refused(header: StreamHeader) -> None:
    same, exact = engines.tiny_same_engine(), engines.tiny_hyperprior()
    claims_exact = dataclasses.replace(header, profile="exact", runner_digest=None, notes=())
    with pytest.raises(BitstreamError, match="has the profile 'exact', its engine 'same-engine'"):
        Decoder(same, header=claims_exact)
    claims_same = dataclasses.replace(Encoder(exact).header, profile="same-engine")
    with pytest.raises(BitstreamError, match="has the profile 'same-engine', its engine 'exact'"):
        Decoder(exact, header=claims_same)
