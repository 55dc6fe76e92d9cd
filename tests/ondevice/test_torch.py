"""PyTorch's networks between arrays of another library: here, the emulator's and PyTorch's CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import EngineError
from fcmrt.onnxgraph import read_graph
from fcmrt.runner import make_runner
from fcmrt.schedule import Run
from tests import engines, level_engine
from tests.features import random_features

torch = pytest.importorskip("torch")

from fcmrt.runners.torchrt.on_device import DeviceTorchNetwork  # noqa: E402
from fcmrt.runners.torchrt.program import Placement  # noqa: E402
from fcmrt.runners.torchrt.settings import Settings  # noqa: E402

from .conftest import OnDevice, StrictDevice  # noqa: E402

TORCH = RuntimeOptions(runner="torch", threads=1, optimise=False)


class Deferred(DeviceTorchNetwork):
    """Runs when the emulator comes to it, as it would in a stream."""

    device: StrictDevice

    def launch(self, inputs: Any, outputs: Any, stream: int) -> None:
        self.device.do(lambda: super(Deferred, self).launch(inputs, outputs, stream))


def load(name: str, graph: bytes, kind: type = DeviceTorchNetwork, floats: Any = None) -> Any:
    placement = Placement(torch.device("cpu"), floats or torch.float32, channels_last=False)
    settings = Settings(onednn=False, cudnn=False)
    return kind(name, read_graph(graph, name), placement, settings, 1)


def test_packets_by_way_of_pytorch(there: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arithmetic on either way, so even floats are the same; the last call is replayed."""
    engine = Engine.load(level_engine.level_parts().pack())

    class Runner:
        name, identity = "torch", "PyTorch in the emulator's arrays"

        def load(self, name: str, graph: bytes, *, exact: bool) -> Any:
            network = load(name, graph, Deferred)
            network.device = there.device
            return network

    monkeypatch.setattr("fcmrt.executor.make_runner", lambda options: Runner())
    ours, ours_back = there.encoder(engine), there.decoder(engine)
    monkeypatch.setattr("fcmrt.executor.make_runner", make_runner)
    host, host_back = Encoder(engine, options=TORCH), Decoder(engine, options=TORCH)
    for call in range(3):
        features = random_features(engine, (13, 16), call, 2)
        packets = ours.encode(features)
        assert [bytes(p) for p in packets] == [bytes(p) for p in host.encode(features)]
        for found, wanted in zip(ours_back.decode(packets), host_back.decode(packets), strict=True):
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("floats", ["float32", "float64", "float16"])
def test_every_graph_as_it_is_run(floats: str) -> None:
    engine = engines.tiny_gain()
    shapes = {"p3": (1, 6, 8, 8), "p4": (1, 8, 4, 4), "z_hat": (1, 4, 1, 1), "y_hat": (1, 12, 4, 4)}
    rng = np.random.default_rng(1)
    for step in (*engine.manifest.encode, *engine.manifest.decode):
        if not isinstance(step, Run):
            continue
        network = load(step.graph, engine.graph(step.graph), floats=getattr(torch, floats))
        inputs = {
            name: rng.integers(-9, 9, shapes.get(name, (1, 1, 1, 1))).astype(np.float32)
            for name in step.inputs
        }
        told = network.outputs({name: array.shape for name, array in inputs.items()})
        assert set(told) == set(step.outputs)
        outputs = {name: np.full(*told[name][:1], 99, told[name][1]) for name in told}
        assert network.capturable
        for seed in range(2):
            inputs[step.inputs[0]] += seed
            network.launch(inputs, outputs, 1)
            wanted = network.run(inputs, list(outputs))
            for found, array in zip(outputs.values(), wanted, strict=True):
                np.testing.assert_array_equal(found, array)


def test_what_cannot_be_taken() -> None:
    engine = engines.tiny_hyperprior()
    network = load("synthesis", engine.graph("synthesis"))
    given = {"y_hat": np.zeros((1, 12, 2, 2), np.float32)}
    with pytest.raises(EngineError, match="int32"):
        network.launch(given, {"p4_hat": np.zeros((1, 8, 2, 2), np.int32)}, 1)
    with pytest.raises(EngineError, match="takes"):
        network.launch({}, {}, 1)
    with pytest.raises(EngineError, match="no output"):
        network.launch(given, {"other": given["y_hat"]}, 1)
