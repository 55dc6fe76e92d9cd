"""Calls timed in turn, and the processor's clock."""

from __future__ import annotations

import time

import pytest

from benchmarks.coder_timing import LEAST_SAMPLE_S, ProcessorClock, Timed, alternate, speed


def test_calls_take_turns_and_get_a_prepared_argument_each() -> None:
    seen: list[str] = []
    made: list[int] = []

    def prepare() -> int:
        made.append(len(made))
        return made[-1]

    def work(name: str) -> None:
        seen.append(name)
        time.sleep(LEAST_SAMPLE_S)  # so that one call is long enough for a sample

    given: list[int] = []
    samples = alternate(
        {
            "a": Timed(lambda n: (given.append(n), work("a")), prepare),
            "b": Timed(lambda _: work("b")),
        },
        3,
    )
    # Three runs find out how long a call takes; then each sample follows an untimed run.
    assert seen == [*"aaabbb", *("aabb" * 3)]
    assert given == made == list(range(9))
    for name in "ab":
        assert len(samples[name].wall) == len(samples[name].cpu) == 3
        assert (samples[name].wall >= LEAST_SAMPLE_S).all()
        assert (samples[name].cpu < samples[name].wall).all()
        assert samples[name].of(1) is samples[name].cpu
        assert samples[name].of(2) is samples[name].wall


def test_short_calls_are_repeated_and_the_time_is_of_one() -> None:
    calls = []
    samples = alternate({"short": Timed(lambda _: calls.append(None))}, 2)
    assert len(calls) > 50
    assert (samples["short"].wall < LEAST_SAMPLE_S / 10).all()


def test_speed_is_the_median_in_millions() -> None:
    samples = alternate({"sleep": Timed(lambda _: time.sleep(0.01))}, 3)["sleep"]
    assert 0.1 < speed(samples.wall, 10_000)["median"] <= 1.0


def test_chain_of_additions_has_the_length_it_is_said_to_have() -> None:
    try:
        clock = ProcessorClock()
    except OSError as error:
        pytest.skip(str(error))
    assert clock.run() == ProcessorClock.cycles
    seconds = min(alternate({"clock": clock.timed()}, 5)["clock"].cpu)
    assert 0.5e9 < ProcessorClock.cycles / seconds < 10e9
