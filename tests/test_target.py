"""Packets of a wished size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import Decoder, Encoder, Engine
from fcmrt.bitstream import peek_packet
from fcmrt.errors import ConfigError, TargetError
from fcmrt.executor import Executor

from .allocating import picture, tiny_allocating
from .engines import tiny_context, tiny_gain, tiny_hyperprior
from .level_engine import tiny_levels


def extremes(encoder: Encoder, features: list[np.ndarray]) -> tuple[int, int]:
    numbers = encoder.engine.manifest.step_numbers
    return tuple(len(encoder.encode(features, step=numbers[end])) for end in (-1, 0))


@pytest.mark.parametrize("make", [tiny_levels, tiny_context, tiny_hyperprior])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), share=st.floats(0.05, 0.95))
def test_sizes_between_the_extremes_are_met(make: object, seed: int, share: float) -> None:
    engine: Engine = make()  # type: ignore[operator]
    encoder = Encoder(engine)
    features = picture(seed, engine)
    least, most = extremes(encoder, features)
    wanted = round(least * (most / least) ** share)
    packet = encoder.encode(features, target_bytes=wanted)
    assert abs(len(packet) / wanted - 1) <= 0.03
    Decoder(engine).decode(packet)


@pytest.mark.parametrize("importance", [True, {"p3": 1, "p4": 2, "p5": 5}])
def test_sizes_are_met_with_importance_too(importance: object) -> None:
    encoder = Encoder(tiny_allocating())
    for seed in range(5):
        features = picture(seed)
        least, most = extremes(encoder, features)
        wanted = round((least * most) ** 0.5)
        packet = encoder.encode(features, target_bytes=wanted, importance=importance)
        assert abs(len(packet) / wanted - 1) <= 0.03
        assert peek_packet(packet).head.importance.offsets


def test_regions_and_offsets_stay_while_a_size_is_sought() -> None:
    encoder = Encoder(tiny_levels())
    features = picture(0)
    told = encoder.importance(features, level_offsets={"p4": 5}, roi=[(0, 0, 0.5, 0.5)])
    wanted = len(encoder.encode(features, step=6, importance=told)) - 60
    packet = encoder.encode(features, step=6, importance=told, target_bytes=wanted)
    found = peek_packet(packet).head.importance
    assert found.regions == told.regions
    steps = [found.offset(k) + found.mixed(k) / 6 for k in range(3)]
    assert steps[1] - steps[0] == pytest.approx(5, abs=0.34)
    assert abs(len(packet) / wanted - 1) <= 0.03


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_size_out_of_reach_is_an_error_with_the_range(factor: float) -> None:
    encoder = Encoder(tiny_levels())
    features = picture(1)
    least, most = extremes(encoder, features)
    wanted = round(factor * (least if factor < 1 else most))
    with pytest.raises(TargetError, match=f"takes {least} to {most}") as caught:
        encoder.encode(features, target_bytes=wanted)
    assert (caught.value.wanted, caught.value.least, caught.value.most) == (wanted, least, most)


def test_analysis_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    plain = Executor.run

    def counted(self: Executor, name: str, *rest: object) -> object:
        ran.append(name)
        return plain(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Executor, "run", counted)
    encoder, features = Encoder(tiny_allocating()), picture(2)
    wanted = extremes(encoder, features)[0] * 2
    ran.clear()
    encoder.encode(features, target_bytes=wanted, importance=True)
    for level in ("p3", "p4", "p5"):
        assert ran.count(f"{level}_analysis") == 1
    assert ran.count("importance") == 1
    assert ran.count("p3_y_odd_context") > 1


def test_without_steps_no_size_can_be_aimed_at() -> None:
    with pytest.raises(ConfigError, match="does not follow steps"):
        Encoder(tiny_gain()).encode(picture(0, tiny_gain()), target_bytes=500)


@pytest.mark.parametrize("wanted", [0, -5])
def test_sizes_below_one_are_refused(wanted: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Encoder(tiny_levels()).encode(picture(3), target_bytes=wanted)


def test_encode_into_meets_sizes_alike() -> None:
    encoder = Encoder(tiny_levels())
    features, buffer = picture(4), bytearray(1 << 16)
    wanted = extremes(encoder, features)[0] * 2
    size = encoder.encode_into(features, buffer, target_bytes=wanted)
    assert bytes(buffer[:size]) == encoder.encode(features, target_bytes=wanted)
