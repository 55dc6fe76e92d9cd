"""Pictures that are too large for a decoder's limits: what both sides say of them."""

from __future__ import annotations

import re
import warnings

import pytest

from fcmrt import Decoder, Encoder, Engine, Limits
from fcmrt.bitstream import read_header, write_header
from fcmrt.demand import LimitWarnings, demand_of
from fcmrt.errors import LimitExceededError
from tests.engines import tiny_factorized, tiny_hyperprior
from tests.features import random_features

LARGE = {"p3": (600, 704), "p4": (300, 352), "p5": (150, 176)}


def test_a_demand_counts_padded_features_and_latents() -> None:
    manifest = tiny_hyperprior().manifest
    asked = demand_of(manifest, [(5, 9), (3, 5)])
    assert asked.padded == (8, 12)
    assert asked.side == 12
    assert asked.elements == 6 * 96 + 8 * 24 + 12 * 24 + 4 * 2  # p3, p4, y, z


def test_an_encoder_warns_once_of_what_decoders_refuse_by_default() -> None:
    """The decoder's error and the encoder's warning name the same remedy."""
    engine = tiny_factorized()
    encoder = Encoder(engine)
    features = random_features(engine, (1, Limits().max_side + 16))
    with pytest.warns(UserWarning, match="more than decoders take by default") as caught:
        packet = encoder.encode(features)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(features)
    with pytest.warns(UserWarning, match="max_side="):
        Encoder(engine).encode_into(features, bytearray(1 << 20))
    with pytest.raises(LimitExceededError, match="give limits with") as refused:
        Decoder(engine).decode(packet)
    remedy = re.compile(r"Limits\((\w+)=(\d+)\)")
    said = [remedy.search(str(text)) for text in (caught[0].message, refused.value)]
    (name, number), other = (match.groups() for match in said if match)
    assert (name, number) == other
    Decoder(engine, limits=Limits(**{name: int(number)})).decode(packet)


def test_sizes_of_a_stream_are_warned_of_before_the_first_picture() -> None:
    engine = Engine.builtin()
    with pytest.warns(UserWarning, match=r"Limits\(max_elements=84796800\)"):
        encoder = Encoder(engine, sizes=LARGE)
    coded = write_header(encoder.header)
    with pytest.raises(LimitExceededError, match=r"'p4' have 67584000.*Limits\(max_elements="):
        read_header(coded)
    limits = Limits(max_elements=84796800)
    assert read_header(coded, limits=limits)[0] == encoder.header


def test_long_packets_are_warned_of() -> None:
    found = LimitWarnings(tiny_factorized().manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.see_packet(Limits().max_packet_bytes)
    with pytest.warns(UserWarning, match=r"max_packet_bytes=67108865"):
        found.see_packet(Limits().max_packet_bytes + 1)
