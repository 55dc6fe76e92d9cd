"""Where the coder runs: as the options say, or as was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import BackendUnavailableError, ConfigError
from fcmrt.ondevice import machine
from fcmrt.ondevice.placement import Place, Placements, Question
from tests import engines
from tests.features import random_features

from .conftest import HOST, HostNetwork, OnDevice, Resident

QUESTION = Question("encode", "ab" * 32, "a GPU and a processor", 3, 1000)


class Ways:
    """Two ways to do something, which take as long on this clock as they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[Place, float]) -> None:
        self.calls: list[str] = []
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)
        self.ways = {place: self._way(place, seconds[place]) for place in seconds}

    def _way(self, place: Place, seconds: float) -> Any:
        def work() -> str:
            self.calls.append(place)
            self.now += seconds
            return f"by {place}"

        return work

    def finish(self) -> None:
        self.calls.append("finish")


@pytest.mark.parametrize("quicker", ["cuda", "cpu"])
def test_the_quicker_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quicker: Place) -> None:
    seconds: dict[Place, float] = {"cuda": 2.0, "cpu": 2.0} | {quicker: 1.0}
    ways = Ways(monkeypatch, seconds)
    placements = Placements(tmp_path)
    assert placements.run(QUESTION, ways.ways, ways.finish) == f"by {quicker}"
    one = ["{0}", "{0}", "finish", *["{0}", "finish"] * 3]
    measured = [call.format(place) for place in ("cuda", "cpu") for call in one]
    assert ways.calls == [*measured, quicker]
    ways.calls.clear()
    assert placements.run(QUESTION, ways.ways, ways.finish) == f"by {quicker}"
    again = Placements(tmp_path)  # another process
    assert again.run(QUESTION, ways.ways, ways.finish) == f"by {quicker}"
    alike = dataclasses.replace(QUESTION, pictures=2, elements=600)
    again.run(alike, ways.ways, ways.finish)
    assert ways.calls == [quicker] * 3


@pytest.mark.parametrize(
    "other",
    [{"side": "decode"}, {"engine": "cd"}, {"machine": "b"}, {"pictures": 4}, {"elements": 1024}],
    ids=str,
)
def test_other_kinds_are_measured_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: dict[str, Any]
) -> None:
    ways = Ways(monkeypatch, {"cuda": 1.0, "cpu": 2.0})
    placements = Placements(tmp_path)
    placements.run(QUESTION, ways.ways, ways.finish)
    ways.calls.clear()
    placements.run(dataclasses.replace(QUESTION, **other), ways.ways, ways.finish)
    assert "cpu" in ways.calls


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"question": 1}', "more"])
def test_damaged_records_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    ways = Ways(monkeypatch, {"cuda": 1.0, "cpu": 2.0})
    Placements(tmp_path).run(QUESTION, ways.ways, ways.finish)
    (record,) = (tmp_path / "placements").iterdir()
    told = json.loads(record.read_text())
    del told["seconds"]["cpu"]
    record.write_text(json.dumps(told) if damage == "more" else damage)
    ways.calls.clear()
    Placements(tmp_path).run(QUESTION, ways.ways, ways.finish)
    assert "cpu" in ways.calls


def test_without_a_folder_it_is_known_as_long_as_the_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = Ways(monkeypatch, {"cuda": 1.0, "cpu": 2.0})
    placements = Placements(None)
    placements.run(QUESTION, ways.ways, ways.finish)
    ways.calls.clear()
    placements.run(QUESTION, ways.ways, ways.finish)
    assert ways.calls == ["cuda"]


@pytest.mark.parametrize("place", ["cuda", "cpu"])
def test_packets_do_not_depend_on_it(
    there: OnDevice, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """What "auto" may come to, with arrays here and there; arrays go out where they always do."""
    monkeypatch.setattr(Placements, "run", lambda self, question, ways, finish: ways[place]())
    engine = Engine.load(engines.hyperprior_parts().pack())
    there.options = dataclasses.replace(there.options, coder="auto")
    features = random_features(engine, (9, 12), batch=2)
    wanted = Encoder(engine, options=HOST).encode(features)
    resident = {name: Resident(there.device, array) for name, array in features.items()}
    for given in features, resident:
        packets = there.encoder(engine).encode(given)
        assert [bytes(p) for p in packets] == [bytes(p) for p in wanted]
    decoded = Decoder(engine, options=HOST, dtype="float16").decode(wanted)
    for output in "numpy", "cupy":
        decoder = there.decoder(engine, output=output, dtype="float16")
        for found, right in zip(decoder.decode(wanted), decoded, strict=True):
            assert all((found[name] == array).all() for name, array in right.items())
    out = {name: Resident(there.device, array * 0) for name, array in decoded[0].items()}
    there.decoder(engine).decode(wanted[0], out=out)
    assert all((out[name].get() == array).all() for name, array in decoded[0].items())


def test_auto_measures(there: OnDevice, tmp_path: Path) -> None:
    engine = Engine.load(engines.factorized_parts().pack())
    there.options = dataclasses.replace(there.options, coder="auto", cache_dir=str(tmp_path))
    features = random_features(engine, (6, 6))
    packet = there.encoder(engine).encode(features)
    there.decoder(engine).decode(packet)
    records = [json.loads(p.read_text()) for p in (tmp_path / "placements").iterdir()]
    assert sorted(record["question"]["side"] for record in records) == ["decode", "encode"]
    assert all(record["seconds"]["cuda"] > 0 for record in records)
    assert all(there.device.name in record["question"]["machine"] for record in records)


def test_a_runner_that_does_not_read_the_devices_memory(
    there: OnDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HostNetwork, "on_device")
    engine = Engine.load(engines.factorized_parts().pack())
    features = random_features(engine, (6, 6))
    with pytest.raises(ConfigError, match="does not read the GPU's memory"):
        there.encoder(engine).encode(features)
    there.options = dataclasses.replace(there.options, coder="auto")
    wanted = bytes(Encoder(engine, options=HOST).encode(features))
    assert bytes(there.encoder(engine).encode(features)) == wanted
    with pytest.raises(ConfigError, match="'cupy'"):
        there.decoder(engine, output="cupy")


def test_without_cupy(there: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise BackendUnavailableError("no CuPy")

    monkeypatch.setattr(machine, "make_device", missing)
    engine = Engine.load(engines.factorized_parts().pack())
    with pytest.raises(BackendUnavailableError):
        there.encoder(engine)
    features = random_features(engine, (6, 6))
    wanted = bytes(Encoder(engine, options=HOST).encode(features))
    for coder in "auto", "cpu":
        options = dataclasses.replace(there.options, coder=coder)
        assert bytes(Encoder(engine, options=options).encode(features)) == wanted


def test_options() -> None:
    with pytest.raises(ConfigError, match="coder 'gpu' is not known"):
        RuntimeOptions(coder="gpu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="goes with device 'cuda'"):
        RuntimeOptions(coder="cuda")
