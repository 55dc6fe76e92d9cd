"""Packets of a wished size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import Decoder, Encoder, Engine
from fcmrt.bitstream import peek_packet
from fcmrt.errors import ConfigError, TargetError
from fcmrt.executor import Executor
from fcmrt.target import _Search, at_steps

from .allocating import picture, tiny_allocating
from .engines import tiny_context, tiny_gain, tiny_hyperprior
from .level_engine import tiny_levels


def extremes(encoder: Encoder, features: list[np.ndarray]) -> tuple[int, int]:
    """Bytes at the lowest quality, and at the finest step."""
    manifest = encoder.engine.manifest
    ends = manifest.quality.levels[0], manifest.step_numbers[0]
    least, most = (len(encoder.encode(features, step=step)) for step in ends)
    return least, most


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
    assert 4 <= steps[1] - steps[0] <= 6
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
    wanted = round(1.4 * extremes(encoder, features)[0])
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
    with pytest.raises(ConfigError, match="it must be 1 to"):
        Encoder(tiny_levels()).encode(picture(3), target_bytes=wanted)


def test_encode_into_meets_sizes_alike() -> None:
    encoder = Encoder(tiny_levels())
    features, buffer = picture(4), bytearray(1 << 16)
    wanted = round(1.4 * extremes(encoder, features)[0])
    size = encoder.encode_into(features, buffer, target_bytes=wanted)
    assert bytes(buffer[:size]) == encoder.encode(features, target_bytes=wanted)


@settings(max_examples=100, deadline=None)
@given(
    zero=st.integers(-300, 300),
    bend=st.floats(0.2, 3),
    scale=st.floats(0.001, 0.1),
    low=st.integers(-400, -301),
    high=st.integers(301, 400),
)
def test_the_search_finds_a_zero_within_a_dozen_looks(
    zero: int, bend: float, scale: float, low: int, high: int
) -> None:
    def value(at: int) -> float:
        return math.copysign(abs(scale * (zero - at)) ** bend, zero - at)

    search = _Search(low, high, 60.0)
    seen = [search.at]
    while search.go_on(value(search.at)) and abs(value(search.at)) > abs(value(zero + 3)):
        seen.append(search.at)
    assert len(seen) <= 24
    assert abs(search.at - zero) <= 4


def test_the_search_ends_where_there_is_no_zero() -> None:
    search = _Search(-5, 9, 2.0)
    looks = 1
    while search.go_on(1.0):
        looks += 1
    assert search.at == 9
    assert looks <= 6
    assert not search.enclosed


@given(moved=st.integers(-40, 40))
def test_channels_take_the_next_step_one_after_another(moved: int) -> None:
    walk = Encoder(tiny_levels()).walk(picture(5), step=4)
    found = at_steps(walk, None, np.array([4.0, 5, 3]), moved)
    steps = [found.d + found.importance.offset(k) + found.importance.mixed(k) / 6 for k in range(3)]
    assert sum(steps) * 6 == pytest.approx(12 * 6 + moved)
    assert sum(found.importance.mixed(k) > 0 for k in range(3)) <= 1
