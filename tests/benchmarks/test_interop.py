"""The matrix of encoders and decoders, on small engines; and the commands as they are typed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import fcmrt
from benchmarks import coding_cost, exact_cost, interop, interop_matrix
from benchmarks.fault_injection import KINDS, Injection
from benchmarks.interop_matrix import Side
from fcmrt.errors import ConfigError
from fcmrt.verify import REFERENCE, Configuration
from fcmrt.walk import Walk
from tests import engines
from tests.benchmarks.test_commands import run
from tests.features import random_features

WAYS = (
    Configuration("reference", REFERENCE),
    Configuration("onnxruntime", fcmrt.RuntimeOptions(threads=1)),
    Configuration("torch", fcmrt.RuntimeOptions(runner="torch")),
)


def pictures(engine: fcmrt.Engine, count: int) -> list[dict[str, Any]]:
    return [random_features(engine, (16, 20), seed=seed) for seed in range(count)]


def sides(engine: fcmrt.Engine) -> list[Side]:
    return [Side(engine, way) for way in WAYS]


@pytest.mark.parametrize("make", [engines.tiny_hyperprior, engines.tiny_context])
def test_exact_engines_have_no_mismatch(make: Any) -> None:
    engine = make()
    steps = interop.steps_of(engine, 3)
    rows, recoded = interop_matrix.matrix(sides(engine), pictures(engine, 2), steps, 2)
    assert [(r["encoder"], r["decoder"]) for r in rows] == [
        (e.name, d.name) for e in WAYS for d in WAYS
    ]
    for row in rows:
        assert row["packets"] == 6
        assert row["symbols"] > row["means"] > 0
        assert (row["mismatches"], row["refused"]) == (0, 0)
        assert row["features"] < 1e-5
    assert recoded["different"] == 0
    assert set(recoded["packets"]) == set(fcmrt.kernels.available())
    assert all(count > 0 for count in recoded["packets"].values())


def test_a_decoder_with_other_means_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engines.tiny_hyperprior()
    ways = sides(engine)
    plain = ways[2].decoder.integers

    def wrong(packet: bytes) -> Any:
        found = plain(packet)
        means = found["y"].means.copy()
        means[:3] += 1
        return found | {"y": dataclasses.replace(found["y"], means=means)}

    monkeypatch.setattr(ways[2].decoder, "integers", wrong)
    rows, _ = interop_matrix.matrix(ways, pictures(engine, 1), [0], 1)
    assert [row["mismatches"] for row in rows] == [0, 0, 3] * 3


def test_refused_packets_count_with_all_their_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engines.tiny_hyperprior()
    ways = sides(engine)

    def refuse(_: bytes) -> Any:
        raise fcmrt.errors.DriftError("other integers")

    monkeypatch.setattr(ways[1].decoder, "integers", refuse)
    monkeypatch.setattr(ways[1].decoder, "decode", refuse)
    rows, _ = interop_matrix.matrix(ways, pictures(engine, 1), [0, 8], 1)
    row = next(r for r in rows if r["decoder"] == "onnxruntime")
    assert row["refused"] == row["packets"] == 2
    assert row["mismatches"] == row["symbols"] + row["means"]
    assert row["features"] is None


def test_a_walk_at_another_step_is_an_encode_at_that_step() -> None:
    engine = engines.tiny_context()
    side = Side(engine, WAYS[1])
    (features,) = pictures(engine, 1)
    for step, walk in zip((0, 5, 12), side.encode(features, (0, 5, 12)), strict=True):
        assert side.encoder.code(walk) == side.encoder.encode(features, step=step)


def test_batches_are_compared_with_pictures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engines.tiny_hyperprior()
    side = Side(engine, WAYS[1])
    rows = interop_matrix.batches([side], pictures(engine, 5), (1, 3))
    assert [(r["batch"], r["neighbours"], r["packets"]) for r in rows] == [
        (1, "same", 5),
        (1, "changed", 5),
        (3, "same", 5),
        (3, "changed", 5),
    ]
    assert all(row["mismatches"] == 0 for row in rows)
    real = Walk.take

    def leaking(walk: Walk, levels: Any) -> None:
        batched = levels[0].base is not None and levels[0].base.ndim == 4
        real(walk, [level + np.float32(batched) for level in levels])

    monkeypatch.setattr(Walk, "take", leaking)
    rows = interop_matrix.batches([side], pictures(engine, 3), (3,))
    assert all(row["mismatches"] > 0 for row in rows)


def test_steps_span_the_qualities() -> None:
    levels = fcmrt.Engine.builtin().manifest.quality.levels
    steps = interop.steps_of(fcmrt.Engine.builtin(), 10)
    assert len(steps) == 10
    assert (steps[0], steps[-1]) == (min(levels), max(levels))


def test_a_parent_has_the_same_analysis_and_steps() -> None:
    engine = engines.tiny_hyperprior()
    exact_cost.check_parent(engine, engines.tiny_same_engine())
    with pytest.raises(ConfigError, match="'analysis' differs"):
        exact_cost.check_parent(engine, engines.tiny_context())


def test_the_errors_of_levels_are_normalised_each_by_itself() -> None:
    errors = coding_cost.Errors({}, {})
    ones = np.ones((1, 2, 2), np.float32)
    errors.add({"a": ones, "b": 10 * ones}, {"a": 0.5 * ones, "b": 10 * ones})
    assert errors.nmse == pytest.approx(0.125)


@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_loud(kind: Any) -> None:
    engine = engines.tiny_hyperprior()
    features = [random_features(engine, (32, 32), seed=seed) for seed in range(2)]
    row = Injection(engine, features, seed=1).trials(kind, 50)
    assert row["trials"] == 50
    assert row["caught"] + row["harmless"] == 50
    assert row["wrong"] == 0
    # That nothing wrong came out is the check's doing: without it, it does.
    assert row["wrong_unchecked"] > 0
    assert row["caught"] > row["caught_unchecked"]
    if kind == "weight":
        assert row["refused_by_bringup"] > 40


@pytest.mark.slow
def test_interop_command() -> None:
    found = run("interop")
    names = list(found["configurations"])
    assert names[0] == "reference, float64"
    assert [(r["encoder"], r["decoder"]) for r in found["rows"]] == [
        (e, d) for e in names for d in names
    ]
    for row in found["rows"]:
        assert row["packets"] == len(found["set"]["pictures"]) * len(found["set"]["steps"])
        if row["encoder"] == row["decoder"] or found["engine"]["profile"] == "exact":
            assert row["mismatches"] == 0
    assert found["same_integers"]["different"] == 0
    assert all(row["mismatches"] == 0 for row in found["batches"])


@pytest.mark.slow
def test_faults_command() -> None:
    found = run("faults")
    assert {row["fault"] for row in found["rows"]} >= {"table", "index", "mean"}
    assert all(row["wrong"] == 0 for row in found["rows"])
    assert all(row["trials"] == 20 for row in found["rows"])
