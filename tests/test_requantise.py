"""A walk at other steps is the walk from the start, without the networks that need not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import Encoder, Engine, Importance
from fcmrt.errors import ConfigError
from fcmrt.executor import Executor
from fcmrt.walk import Walk
from tests.engines import tiny_context, tiny_factorized, tiny_gain, tiny_hyperprior
from tests.features import random_features
from tests.level_engine import tiny_levels

ROI = [(0.1, 0.2, 0.5, 0.6)]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the graphs that run."""
    names: list[str] = []
    run = Executor.run

    def noted(self: Executor, name: str, *more: Any) -> Any:
        names.append(name)
        return run(self, name, *more)

    monkeypatch.setattr(Executor, "run", noted)
    return names


def same(one: Walk, other: Walk) -> None:
    assert one.d == other.d
    assert one.importance == other.importance
    assert one.sizes == other.sizes
    assert set(one.tensors) == set(other.tensors)
    for name, tensor in one.tensors.items():
        assert np.array_equal(tensor, other.tensors[name]), name
    assert list(one.integers) == list(other.integers)
    for name, integers in one.integers.items():
        assert np.array_equal(integers.symbols, other.integers[name].symbols), name
        assert np.array_equal(integers.indexes, other.integers[name].indexes), name


def steps(engine: Engine) -> tuple[int, ...]:
    return engine.manifest.quality.levels


@pytest.mark.parametrize("make", [tiny_hyperprior, tiny_context, tiny_levels, tiny_gain])
def test_another_step(make: Any) -> None:
    engine = make()
    encoder, features = Encoder(engine), random_features(engine, (13, 20))
    first = encoder.walk(features, step=steps(engine)[0])
    for d in steps(engine):
        again = encoder.requantise(first, step=d)
        same(again, encoder.walk(features, step=d))
        assert encoder.code(again) == encoder.encode(features, step=d)
    same(first, encoder.walk(features, step=steps(engine)[0]))


@pytest.mark.parametrize("make", [tiny_hyperprior, tiny_context, tiny_levels])
def test_another_importance(make: Any) -> None:
    engine = make()
    encoder, features = Encoder(engine), random_features(engine, (13, 20))
    walk = encoder.walk(features)
    region = encoder.importance(features, roi=ROI)
    for importance in region, Importance(mix=(2,)), Importance((3,)), Importance():
        walk = encoder.requantise(walk, importance=importance)
        same(walk, encoder.walk(features, importance=importance))
    walk = encoder.requantise(encoder.walk(features, importance=region), quality=1)
    same(walk, encoder.walk(features, quality=1, importance=region))


def test_only_what_sees_the_change_runs(ran: list[str]) -> None:
    engine = tiny_levels()
    encoder = Encoder(engine)
    first = encoder.walk(random_features(engine, (13, 20)), step=4)
    ran.clear()
    encoder.requantise(first, step=8)
    assert ran == ["p3_y_odd_context", "p4_y_odd_context", "p5_y_odd_context"]
    ran.clear()
    encoder.requantise(first, importance=Importance((0, -2)))
    assert ran == ["p4_y_odd_context"]
    ran.clear()
    # p4 as it was, by another way of saying it.
    encoder.requantise(first, step=6, importance=Importance((0, -2)))
    assert ran == ["p3_y_odd_context", "p5_y_odd_context"]
    ran.clear()
    encoder.requantise(first)
    assert ran == []


@pytest.mark.parametrize("make", [tiny_hyperprior, tiny_factorized])
def test_without_contexts_nothing_runs(make: Any, ran: list[str]) -> None:
    engine = make()
    encoder = Encoder(engine)
    first = encoder.walk(random_features(engine, (13, 20)))
    ran.clear()
    encoder.requantise(first, quality=1)
    assert ran == []


def test_gains_are_in_analysis(ran: list[str]) -> None:
    engine = tiny_gain()
    encoder = Encoder(engine)
    first = encoder.walk(random_features(engine, (13, 20)), step=0)
    ran.clear()
    encoder.requantise(first, step=0)
    assert ran == []
    encoder.requantise(first, step=-16)
    assert ran == ["analysis", "hyper_synthesis"]


def test_what_the_engine_does_not_have_is_refused() -> None:
    engine = tiny_levels()
    encoder = Encoder(engine)
    walk = encoder.walk(random_features(engine, (13, 20)))
    with pytest.raises(ConfigError, match="step 99"):
        encoder.requantise(walk, step=99)
    with pytest.raises(ConfigError, match="has 4 groups"):
        encoder.requantise(walk, importance=Importance((0, 0, 0, 1)))
