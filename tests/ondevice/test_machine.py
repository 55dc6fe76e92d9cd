"""Checks of networks, turns, and buffers that are given up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine
from fcmrt.errors import DeviceError, EngineError, InexactRunnerError, RunnerMismatchError
from fcmrt.ondevice import encoding
from fcmrt.ondevice.machine import DeviceMachine
from fcmrt.ondevice.sequence import Launches
from tests import engines, level_engine
from tests.features import random_features

from .conftest import HOST, HostNetwork, OnDevice


@pytest.fixture
def engine() -> Engine:
    return Engine.load(engines.hyperprior_parts().pack())


def plant(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Lets launches of the graph with this output come to something else, but runs not."""
    right = HostNetwork.launch

    def wrong(
        self: HostNetwork, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int
    ) -> None:
        right(self, inputs, outputs, stream)
        if output in outputs:
            last = outputs[output].reshape(-1)[-1:]
            self._device.do(lambda: np.add(last, 1, out=last))

    monkeypatch.setattr(HostNetwork, "launch", wrong)


def test_exact_networks_are_checked_as_they_are_launched(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    there.options = dataclasses.replace(there.options, cache_dir=str(tmp_path))
    plant(monkeypatch, "y_index")
    features = random_features(engine, (12, 16))
    packet = Encoder(engine, options=HOST).encode(features)
    for _ in range(2):  # not remembered as good
        with pytest.raises(InexactRunnerError, match="in the device's memory") as caught:
            there.encoder(engine).encode(features)
        assert caught.value.graph == "hyper_synthesis"
        with pytest.raises(InexactRunnerError):
            there.decoder(engine).decode(packet)


def test_other_networks_are_not_checked(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "p4_hat")
    packet = Encoder(engine, options=HOST).encode(random_features(engine, (12, 16)))
    wanted = Decoder(engine, options=HOST).decode(packet)["p4"]
    found = there.decoder(engine).decode(packet)["p4"]
    assert np.count_nonzero(found != wanted) == 1


def test_outputs_that_are_not_as_the_manifest_says(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = HostNetwork.outputs

    def wrong(self: HostNetwork, inputs: Mapping[str, Any]) -> Any:
        told = right(self, inputs)
        return {name: (shape, np.float16) for name, (shape, _) in told.items()}

    monkeypatch.setattr(HostNetwork, "outputs", wrong)
    with pytest.raises(EngineError, match=r"'y' comes out as float16 \[1, 12, 6, 8\]"):
        there.encoder(engine).encode(random_features(engine, (12, 16)))


@pytest.mark.parametrize("graphs", [True, False])
def test_what_is_not_to_be_recorded_is_launched(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch, graphs: bool
) -> None:
    if graphs:  # the option allows it, and a network does not
        monkeypatch.setattr(HostNetwork, "capturable", False)
    there.options = dataclasses.replace(there.options, cuda_graphs=graphs)
    replays = there.device.replays
    encoder, host = there.encoder(engine), Encoder(engine, options=HOST)
    for call in range(3):
        features = random_features(engine, (12, 16), call)
        packet = host.encode(features)
        assert bytes(encoder.encode(features)) == bytes(packet)
        there.decoder(engine).decode(packet)
    assert there.device.replays == replays


def test_the_network_knows_when_it_is_recorded(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks it here."""
    monkeypatch.setattr(HostNetwork, "capturable", False)
    monkeypatch.setattr(
        encoding, "Launches", lambda machine, make, _: Launches(machine, make, True)
    )
    encoder, features = there.encoder(engine), random_features(engine, (12, 16))
    encoder.encode(features)
    with pytest.raises(DeviceError, match="it cannot be recorded"):
        encoder.encode(features)


def test_what_cannot_be_recorded_says_what_to_do(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, and not the way of the library; without graphs it is launched."""

    def refuse(launches: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(there.device, "capture", refuse)
    features = random_features(engine, (12, 16))
    encoder, packet = there.encoder(engine), Encoder(engine, options=HOST).encode(features)
    assert bytes(encoder.encode(features)) == bytes(packet)
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"not permitted .*cuda_graphs=False") as caught:
            encoder.encode(features)
        assert isinstance(caught.value.__cause__, RuntimeError)
    there.options = dataclasses.replace(there.options, cuda_graphs=False)
    launching = there.encoder(engine)
    for _ in range(3):
        assert bytes(launching.encode(features)) == bytes(packet)


def test_sequences_come_and_go(there: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """More sizes than are kept; buffers go when what uses them is over."""
    monkeypatch.setattr("fcmrt.ondevice.machine._KEPT", 1)
    engine = Engine.load(engines.factorized_parts().pack())
    encoder, decoder = there.encoder(engine), there.decoder(engine)
    host, host_back = Encoder(engine, options=HOST), Decoder(engine, options=HOST)
    waits = there.device.waited
    sizes = [(4, 6), (8, 4), (4, 6), (2, 2)]
    for n, size in enumerate(sizes):
        features = random_features(engine, size, n)
        packet = host.encode(features)
        assert bytes(encoder.encode(features)) == bytes(packet)
    packets = [host.encode(random_features(engine, size, n)) for n, size in enumerate(sizes)]
    found, wanted = decoder.decode(packets), host_back.decode(packets)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours["f"], theirs["f"])
    assert there.device.waited > waits


def test_threads_take_turns(there: OnDevice) -> None:
    engine = Engine.load(level_engine.level_parts().pack())
    encoder, decoder = there.encoder(engine), there.decoder(engine)
    host, host_back = Encoder(engine, options=HOST), Decoder(engine, options=HOST)

    def both(n: int) -> bool:
        features = random_features(engine, (8 + n % 2, 8), n)
        packet = encoder.encode(features)
        found, wanted = decoder.decode(packet), host_back.decode(packet)
        same = all(np.array_equal(found[name], array) for name, array in wanted.items())
        return same and bytes(packet) == bytes(host.encode(features))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(both, range(6)))


def test_same_engine_codecs(there: OnDevice) -> None:
    """Who ran the networks is told, and asked for."""
    engine = Engine.load(engines.hyperprior_parts().same_engine().pack())
    encoder = there.encoder(engine)
    packet = encoder.encode(random_features(engine, (12, 16)))
    features = there.decoder(engine, header=encoder.header).decode(packet)
    assert all(np.isfinite(level).all() for level in features.values())
    with pytest.raises(RunnerMismatchError):
        Decoder(engine, options=HOST, header=encoder.header)


class Settled(HostNetwork):
    """For one stream, and for the sizes that it was prepared for last; it writes all or nothing."""

    capturable = any_stream = False
    settled: tuple[int, dict[str, tuple[int, ...]]] | None = None

    def on_device(self) -> Settled:
        return Settled(self._network, self._names, self._device)

    def outputs(self, inputs: Mapping[str, tuple[int, ...]]) -> Any:
        self.settled = None
        self._sizes = dict(inputs)
        return super().outputs(inputs)

    def launch(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], stream: int) -> None:
        assert {name: array.shape for name, array in inputs.items()} == self._sizes
        assert set(outputs) == set(self._names)
        if not self._device.capturing:
            self.settled = self.settled or (stream, self._sizes)
            assert self.settled[0] == stream
        super().launch(inputs, outputs, stream)


class Recorded(Settled):
    """It can be recorded at the sizes that it was prepared for, and says so only then."""

    settled = None
    capturable = False

    def on_device(self) -> Recorded:
        return Recorded(self._network, self._names, self._device)

    def outputs(self, inputs: Mapping[str, tuple[int, ...]]) -> Any:
        self.capturable = True
        return super().outputs(inputs)


@pytest.mark.parametrize("kind", [Settled, Recorded])
def test_networks_that_belong_to_a_stream_and_to_sizes(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: type[Settled]
) -> None:
    monkeypatch.setattr(HostNetwork, "on_device", kind.on_device)
    replays = there.device.replays
    encoder, host = there.encoder(engine), Encoder(engine, options=HOST)
    decoder = there.decoder(engine)
    for stream in (1, 2, 1, 2):
        monkeypatch.setattr(there.device, "stream", stream)
        for size in ((12, 16), (8, 8), (12, 16)):
            features = random_features(engine, size)
            packet = encoder.encode(features)
            assert bytes(packet) == bytes(host.encode(features))
            wanted = Decoder(engine, options=HOST).decode(packet)
            for name, level in decoder.decode(packet).items():
                np.testing.assert_array_equal(level, wanted[name])
    assert (there.device.replays > replays) == (kind is Recorded)


def test_networks_of_one_stream_are_not_used_in_another(
    there: OnDevice, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strict network would notice."""
    monkeypatch.setattr(HostNetwork, "on_device", Settled.on_device)
    monkeypatch.setattr(DeviceMachine, "_any_stream", True)
    encoder, features = there.encoder(engine), random_features(engine, (12, 16))
    encoder.encode(features)
    monkeypatch.setattr(there.device, "stream", 2)
    with pytest.raises(AssertionError):
        encoder.encode(features)
