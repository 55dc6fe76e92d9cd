"""Verification: it finds what differs, where it arises, and nothing else."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import fcmrt.executor
import fcmrt.verify.networks
from fcmrt import Encoder, Engine, RuntimeOptions, kernels
from fcmrt.kernels.api import StepMap
from fcmrt.runner import make_runner
from fcmrt.verify import Configuration, Stage, Verification, runner_configurations, verify
from tests import engines
from tests.features import random_features

ONE = Configuration("one", RuntimeOptions(threads=1))


def checked(engine: Engine, **more: Any) -> Verification:
    pictures = [random_features(engine, (12, 16)), random_features(engine, (9, 20), seed=1)]
    return verify(engine, pictures, repeats=1, **more)


def stage_of(found: Verification, configuration: str, side: str, step: str) -> Stage:
    (stage,) = (
        s for s in found.stages if (s.configuration, s.side, s.step) == (configuration, side, step)
    )
    return stage


@pytest.mark.parametrize(
    "make", [engines.tiny_hyperprior, engines.tiny_context, engines.tiny_factorized]
)
def test_everything_here_agrees_with_the_reference(make: Any) -> None:
    engine = make()
    found = checked(engine)
    assert found.exact
    runners = [configuration.name for configuration in runner_configurations()]
    assert list(found.identities) == runners
    assert ("torch" in runners) == (importlib.util.find_spec("torch") is not None)
    coders = [f"kernels {name}" for name in kernels.available() if name != "reference"]
    assert {stage.configuration for stage in found.stages} == {*runners, *coders}
    for stage in found.stages:
        assert stage.error is None
        assert stage.ms > 0
        assert stage.integers + stage.floats > 0
        graph = stage.step.removeprefix("run ")
        floats = stage.step.startswith(("run ", "symbols "))
        assert stage.exact == (not floats or graph in engine.manifest.exact)
        if stage.exact:
            assert stage.differing == 0
            assert stage.absolute == 0
        elif stage.step.startswith("symbols "):
            assert stage.differing == stage.ties
        else:
            assert stage.relative < 1e-5
        assert (stage.brought_up is True) == (graph in engine.manifest.exact)
    assert "numpy" in found.reference


def test_every_step_of_both_schedules_is_compared() -> None:
    engine = engines.tiny_hyperprior()
    found = checked(engine, configurations=[ONE])
    assert [(s.side, s.step) for s in found.stages if s.configuration == "one"] == [
        ("encode", "run analysis"),
        ("encode", "symbols z"),
        ("encode", "run hyper_synthesis"),
        ("encode", "symbols y"),
        ("decode", "run hyper_synthesis"),
        ("decode", "run synthesis"),
    ]
    assert [(s.side, s.step) for s in found.stages if s.configuration == "kernels scalar"] == [
        ("encode", "quantize z"),
        ("encode", "dequantize z"),
        ("encode", "quantize y"),
        ("encode", "code"),
        ("decode", "code z"),
        ("decode", "code y"),
        ("decode", "check"),
        ("decode", "dequantize z"),
        ("decode", "dequantize y"),
    ]


class WrongRunner:
    """ONNX Runtime with one wrong integer in the means."""

    identity = "wrong"

    def __init__(self, _: RuntimeOptions) -> None:
        self._runner = make_runner(ONE.options)

    def load(self, name: str, graph: bytes, *, exact: bool) -> Any:
        network = self._runner.load(name, graph, exact=exact)

        class Wrong:
            def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
                found = network.run(inputs, outputs)
                if "y_mean" in outputs:
                    found[0][0, 3, 1, 1] += 1
                return found

        return Wrong()


def test_a_wrong_integer_is_found_where_it_arises(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engines.tiny_hyperprior()
    monkeypatch.setattr(fcmrt.verify.networks, "make_runner", WrongRunner)
    found = checked(engine, configurations=[ONE])
    assert not found.exact
    failing = [stage for stage in found.stages if stage.fails]
    assert [(s.side, s.step) for s in failing] == [
        ("encode", "run hyper_synthesis"),
        ("decode", "run hyper_synthesis"),
    ]
    for stage in failing:
        assert stage.differing == 2  # one in each picture
        assert stage.brought_up is False
    # Every stage is given the reference's tensors, so the wrong mean does not show after it.
    assert stage_of(found, "one", "decode", "run synthesis").relative < 1e-5


def test_what_only_same_engine_promises_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcmrt.verify.networks, "make_runner", WrongRunner)
    found = checked(engines.tiny_same_engine(), configurations=[ONE])
    stage = stage_of(found, "one", "encode", "run hyper_synthesis")
    assert (stage.exact, stage.differing, stage.brought_up) == (False, 2, None)
    assert found.exact


def test_a_runner_that_fails_is_told_and_fails_where_it_must_be_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(WrongRunner):
        def load(self, name: str, graph: bytes, *, exact: bool) -> Any:
            raise fcmrt.errors.EngineError(f"no operator for {name}")

    monkeypatch.setattr(fcmrt.verify.networks, "make_runner", Failing)
    found = checked(engines.tiny_hyperprior(), configurations=[ONE])
    analysis = stage_of(found, "one", "encode", "run analysis")
    assert (analysis.error, analysis.fails) == ("no operator for analysis", False)
    assert math.isnan(analysis.ms)
    assert stage_of(found, "one", "decode", "run hyper_synthesis").fails


@pytest.mark.parametrize(
    ("kernel", "failing"),
    [
        ("quantize", {"quantize z", "quantize y"}),
        ("dequantize", {"dequantize z", "dequantize y"}),
        ("check", {"code", "check"}),
        ("step map", {"quantize y", "dequantize y", "code y", "check"}),
    ],
)
def test_kernels_with_a_fault_are_found(
    monkeypatch: pytest.MonkeyPatch, kernel: str, failing: set[str]
) -> None:
    class Faulty:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._real, name)
            if name != kernel and kernel != "step map":
                return method

            def wrong(*arguments: Any, **more: Any) -> Any:
                found = method(*arguments, **more)
                maps = [one for one in arguments if isinstance(one, StepMap)]
                if kernel == "step map" and not maps:
                    return found
                if kernel == "check":
                    return found ^ 1
                array = found[0] if isinstance(found, tuple) else found
                array[-1] += 1
                return found

            return wrong

    real = kernels.get
    monkeypatch.setattr(
        fcmrt.executor.kernels,
        "get",
        lambda name, threads: (
            Faulty(real(name, threads)) if name == "scalar" else real(name, threads)
        ),
    )
    engine = Engine.load(engines.hyperprior_parts().pack())  # nobody else's executors
    found = checked(engine, configurations=[])
    assert {s.step for s in found.stages if s.fails} == failing
    assert {s.configuration for s in found.stages if s.fails} == {"kernels scalar"}


def test_a_stage_counts_integers_and_measures_floats() -> None:
    stage = Stage("one", "encode", "run x", exact=False)
    stage.compare(np.array([1, 2, 3], np.int32), np.array([1, 5, 6], np.int32))
    stage.compare(np.array([1, -4], np.float32), np.array([1.5, -4], np.float32))
    assert (stage.integers, stage.differing, stage.floats) == (3, 2, 2)
    assert (stage.absolute, stage.relative) == (0.5, 0.125)
    stage.compare(np.zeros(1, np.float32), np.array([np.nan], np.float32))
    assert stage.absolute == math.inf
    assert stage.error is None
    stage.compare(np.zeros((1, 2), np.int32), np.zeros((1, 2), np.int64))
    assert stage.error is not None
    assert "int64" in stage.error


def test_floats_of_an_exact_stage_must_be_equal() -> None:
    stage = Stage("one", "decode", "dequantize y", exact=True)
    stage.compare(np.array([0, 1], np.float32), np.array([-0.0, 1], np.float32))
    assert not stage.fails
    stage.compare(np.array([1], np.float32), np.nextafter(np.array([1], np.float32), 2))
    assert (stage.differing, stage.fails) == (1, True)


def test_the_reference_codes_like_any_other() -> None:
    engine = engines.tiny_context()
    features = random_features(engine, (10, 14))
    packets = {
        runner: Encoder(engine, options=RuntimeOptions(runner=runner)).encode(features)
        for runner in ("reference", "onnxruntime")
    }
    assert packets["reference"] == packets["onnxruntime"]
