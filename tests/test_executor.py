"""Graphs of the exact path are checked before they run; the others are not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions, executor
from fcmrt.errors import DriftError, InexactRunnerError
from fcmrt.executor import Executor

from . import engines
from .features import random_features

Arrays = list[npt.NDArray[Any]]


class Fault:
    """What a faulty runner does to the outputs of one graph, once it is switched on."""

    def __init__(self, graph: str) -> None:
        self.graph = graph
        self.on = False
        self.runs = 0

    def apply(self, outputs: Arrays) -> Arrays:
        if not self.on:
            return outputs
        changed = [output.copy() for output in outputs]
        changed[0].reshape(-1)[-1] += 1
        return changed


class FaultyNetwork:
    def __init__(self, network: Any, fault: Fault) -> None:
        self._network = network
        self._fault = fault

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> Arrays:
        self._fault.runs += 1
        found: Arrays = self._network.run(inputs, outputs)
        return self._fault.apply(found)


@pytest.fixture
def engine() -> Engine:
    """Loaded anew, so that nothing was checked before."""
    return Engine.load(engines.hyperprior_parts().pack())


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Makes every executor's runner one that can fail on hyper-synthesis."""
    fault = Fault("hyper_synthesis")
    make = executor.make_runner

    def faulty(options: RuntimeOptions) -> Any:
        runner = make(options)
        load = runner.load

        def load_faulty(name: str, graph: bytes, *, exact: bool) -> Any:
            network = load(name, graph, exact=exact)
            return FaultyNetwork(network, fault) if name == fault.graph else network

        monkeypatch.setattr(runner, "load", load_faulty)
        return runner

    monkeypatch.setattr(executor, "make_runner", faulty)
    return fault


@pytest.fixture
def options(tmp_path: Path) -> RuntimeOptions:
    return RuntimeOptions(threads=1, cache_dir=str(tmp_path))


def test_an_inexact_runner_is_refused_before_it_writes(engine, fault, options) -> None:
    fault.on = True
    encoder = Encoder(engine, options=options)
    features = random_features(engine, (16, 24))
    for _ in range(2):  # not remembered as good
        with pytest.raises(InexactRunnerError) as caught:
            encoder.encode(features)
    error = caught.value
    assert error.graph == "hyper_synthesis"
    assert error.shapes == {"z_hat": (1, 4, 2, 3)}
    assert 0 < error.differing <= error.values
    assert error.runner == Executor(engine, options).identity
    for word in "hyper_synthesis", "z_hat [1, 4, 2, 3]", error.runner, "differ from the reference":
        assert word in str(error)
    fault.on = False
    encoder.encode(features)


def test_an_inexact_runner_is_refused_before_it_reads(engine, fault, options) -> None:
    packet = Encoder(engine).encode(random_features(engine, (16, 24)))
    fault.on = True
    with pytest.raises(InexactRunnerError):
        Decoder(engine, options=options).decode(packet)


def test_a_fault_after_the_check_is_drift(engine, fault, options) -> None:
    features = random_features(engine, (16, 24))
    packet = Encoder(engine, options=options).encode(features)
    fault.on = True
    with pytest.raises(DriftError):
        Decoder(engine, options=options).decode(packet)


def test_every_new_size_is_checked_once(engine, fault, options) -> None:
    encoder = Encoder(engine, options=options)

    def runs(size: tuple[int, int]) -> int:
        before = fault.runs
        encoder.encode(random_features(engine, size))
        return fault.runs - before

    assert runs((16, 24)) > 1
    assert runs((16, 24)) == 1
    assert runs((9, 17)) == 1  # the same canonical size
    assert runs((32, 24)) > 1


def test_the_verdict_is_kept_with_graph_runner_and_size(fault, tmp_path) -> None:
    def runs(threads: int, folder: str = "cache") -> int:
        before = fault.runs
        fresh = Engine.load(engines.hyperprior_parts().pack())
        options = RuntimeOptions(threads=threads, cache_dir=str(tmp_path / folder))
        Encoder(fresh, options=options).encode(random_features(fresh, (16, 24)))
        return fault.runs - before

    assert runs(1) > 1
    assert runs(1) == 1
    assert runs(2) > 1  # another runner
    assert runs(1, "other") > 1


def test_threads_share_one_check(engine, fault, options) -> None:
    encoder = Encoder(engine, options=options)
    features = random_features(engine, (16, 24))
    start = threading.Barrier(4)

    def encode(_: int) -> bytes:
        start.wait()
        return bytes(encoder.encode(features))

    with ThreadPoolExecutor(4) as pool:
        packets = set(pool.map(encode, range(4)))
    assert len(packets) == 1
    alone = fault.runs - 3
    fault.runs = 0
    fresh = Engine.load(engines.hyperprior_parts().pack())
    other = dataclasses.replace(options, cache_dir=str(Path(options.cache_dir or "") / "new"))
    Encoder(fresh, options=other).encode(features)
    assert alone == fault.runs


def test_other_graphs_are_not_checked(fault, options) -> None:
    fault.graph, fault.on = "synthesis", True
    engine = Engine.load(engines.hyperprior_parts().pack())
    packet = Encoder(engine, options=options).encode(random_features(engine, (16, 24)))
    features = Decoder(engine, options=options).decode(packet)
    assert all(np.isfinite(level).all() for level in features.values())


def test_same_engine_codecs_are_not_checked(fault, options) -> None:
    engine = Engine.load(engines.hyperprior_parts().same_engine().pack())
    Encoder(engine, options=options).encode(random_features(engine, (16, 24)))
    assert fault.runs == 1


@pytest.mark.parametrize("granted", [0, 1])
def test_a_batch_is_done_by_the_threads_there_are(engine, options, granted, monkeypatch) -> None:
    """Systems bound how many there may be; the caller's own is always there."""
    batch = random_features(engine, (8, 8), batch=5)
    wanted = Encoder(engine, options=dataclasses.replace(options, threads=1)).encode(batch)
    encoder = Encoder(engine, options=dataclasses.replace(options, threads=4))
    start, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        if len(started) == granted:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert encoder.encode(batch) == wanted
    assert len(started) == granted


def test_batches_are_coded_after_the_main_thread_has_ended(tmp_path) -> None:
    """Threads that are no daemons work on, and the interpreter waits for them."""
    (tmp_path / "engine").write_bytes(engines.factorized_parts().pack())
    program = """
import sys, threading, numpy, fcmrt
engine = fcmrt.Engine.load(sys.argv[1])
level, = engine.manifest.features
batch = numpy.ones((3, level.channels, 8, 8), numpy.float32)
options = fcmrt.RuntimeOptions(threads=2)

def work():
    threading.main_thread().join()
    packets = fcmrt.Encoder(engine, options=options).encode(batch)
    print(len(fcmrt.Decoder(engine, options=options).decode(packets)))

threading.Thread(target=work).start()
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "engine")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")


def test_after_an_interrupt_no_thread_is_at_work(engine, options) -> None:
    """What the caller lent is the caller's again."""
    executor = Executor(engine, dataclasses.replace(options, threads=2))
    main, begun, ended = threading.get_ident(), [], []

    def work(item: int) -> int:
        begun.append(item)
        if threading.get_ident() == main:
            while len(begun) < 2:
                time.sleep(0.001)
            raise KeyboardInterrupt
        time.sleep(0.1)
        ended.append(item)
        return item

    with pytest.raises(KeyboardInterrupt):
        list(executor.map(work, range(50)))
    assert len(begun) == len(ended) + 1
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == count < 50
