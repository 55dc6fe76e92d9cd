"""A codec with every kind of context, exact from end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from fcmrt import Decoder, Encoder, Engine
from fcmrt.config import RuntimeOptions
from fcmrt.errors import EngineError, InexactRunnerError
from fcmrt.exact import bring_up
from fcmrt.executor import Executor
from fcmrt.export.coding import gaussians, hyper_latent, quality_of, step_table
from fcmrt.export.context import CheckerboardConv
from fcmrt.export.deployment import Deployment, DeploymentBuilder
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.entropy import ChannelPrior
from fcmrt.export.exact import Precision, ScaleIndex
from fcmrt.export.exact.path import convert_path
from fcmrt.export.reference import TorchReference
from fcmrt.export.tables import channel_tables
from fcmrt.spec import FeatureSpec, LatentSpec, Padding

GROUPS = (4, 6)
HYPER = 8


class Analysis(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.y = nn.Conv2d(3, sum(GROUPS), 5, padding=2)
        self.z = nn.Conv2d(3, 4, 5, 4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (*(6 * self.y(x)).split(GROUPS, 1), 9 * self.z(x))


class HyperSynthesis(nn.Module):
    """Medians are added before the first layer, whose padding is 0 nonetheless."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("medians", torch.tensor([0.2, -0.4, 1.6, 0]).reshape(1, 4, 1, 1))
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(4, 12, 5, 2, 2, output_padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(12, 4 * HYPER, 3, padding=1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(),
        )

    def forward(self, z_hat: Tensor) -> Tensor:
        return self.layers(z_hat + self.medians)


class Context(nn.Module):
    """What the first group says about the second."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(GROUPS[0], 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1)
        )

    def forward(self, *halves: Tensor) -> Tensor:
        return self.layers(halves[0] + halves[1])


class Parameters(nn.Module):
    """Means and deviations, from the anchors around if there are any, and the rest."""

    def __init__(self, channels: int, sources: int, anchors: bool) -> None:
        super().__init__()
        self.spatial = CheckerboardConv(channels, 2 * channels, 5) if anchors else None
        inputs = sources + (2 * channels if anchors else 0)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, 24, 1), nn.ReLU(), nn.Conv2d(24, 2 * channels, 1)
        )
        self.index = ScaleIndex(headroom=24)

    def forward(self, *known: Tensor) -> tuple[Tensor, Tensor]:
        parts = [known[0] if self.spatial is None else self.spatial(known[0]), *known[1:]]
        mean, sigma = self.layers(torch.cat(parts, 1)).chunk(2, 1)
        return mean, self.index((3 * sigma).clamp(min=0.2))


class Synthesis(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(sum(GROUPS), 3, 3, padding=1)

    def forward(self, *halves: Tensor) -> Tensor:
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return self.conv(torch.cat([even + odd for even, odd in pairs], 1))


def context_codec() -> Deployment:
    torch.manual_seed(0)
    build = DeploymentBuilder([FeatureSpec("x", 3, 1)], Padding(4, "reflect", "start"))
    for k, channels in enumerate(GROUPS):
        build.tensor(f"y{k}", channels, 1)
    build.tensor("z", 4, 4)
    build.tensor("hyper", HYPER, 1)
    build.tensor("said", 12, 1)
    build.encoder("analysis", Analysis(), ["x"], ["y0", "y1", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("hyper_synthesis", HyperSynthesis(), ["z_hat"], ["hyper"])
    halves: list[str] = []
    for k, channels in enumerate(GROUPS):
        known, sources = ["hyper"], HYPER
        if k:
            build.both("context", Context(), halves, ["said"])
            known, sources = ["said", "hyper"], HYPER + 12
        parities: tuple[Literal["even", "odd"], ...] = ("even", "odd")
        for parity in parities:
            name = f"y{k}_{parity}"
            mean, index = f"{name}_mean", f"{name}_index"
            for output in (mean, index):
                build.tensor(output, channels, 1, "int32")
            anchors = [f"y{k}_even_hat"] if parity == "odd" else []
            network = Parameters(channels, sources, bool(anchors))
            build.both(name, network, [*anchors, *known], [mean, index])
            latent = LatentSpec(f"y{k}", "gaussian", index, mean, True, 0, parity=parity)
            build.coded(name, latent, f"{name}_hat")
            halves.append(f"{name}_hat")
    build.tensor("x_hat", 3, 1)
    build.decoder("synthesis", Synthesis(), halves, ["x_hat"])
    prior = ChannelPrior(4).probabilities(-60, 60).numpy()
    return build.finish(
        family="context-codec",
        outputs={"x": "x_hat"},
        tables={"gaussian": gaussians(), "hyper": channel_tables(prior, -60)},
        mean_bits=6,
        steps=step_table(),
        quality=quality_of((12, 0, -12)),
    )


def pictures(count: int, rows: int, columns: int, seed: int = 0) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(0, 1, (1, 3, rows, columns)).astype(np.float32)] for _ in range(count)]


@pytest.fixture(scope="module")
def float_codec() -> Deployment:
    return with_half_weights(context_codec())


@pytest.fixture(scope="module")
def exact_codec(float_codec: Deployment) -> Deployment:
    return float_codec.with_networks(convert_path(float_codec, pictures(9, 16, 20)))


@pytest.fixture(scope="module")
def engine(exact_codec: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return write(tmp_path_factory.mktemp("engine") / "it.fcmrt", exact_codec, name="it")


def test_the_whole_path_is_exact(engine: Engine) -> None:
    assert engine.manifest.profile == "exact"
    path = ["hyper_synthesis", "y0_even", "y0_odd", "context", "y1_even", "y1_odd"]
    assert list(engine.manifest.exact) == path


def test_tensors_between_its_networks_lie_on_the_grids_they_are_read_on(
    exact_codec: Deployment,
) -> None:
    for levels in pictures(3, 24, 12, seed=5):
        walk = TorchReference(exact_codec).encode(levels, 12)
        for graph, name in (("hyper_synthesis", "hyper"), ("context", "said")):
            grid = exact_codec.networks[graph].grids[name]
            values = torch.from_numpy(walk.tensors[name]).double()
            whole = values / grid.units(values.shape[1]).reshape(1, -1, 1, 1)
            assert torch.equal(whole, whole.round())
            assert whole.abs().max() > 200


@pytest.mark.parametrize("runner", ["onnxruntime", "torch", "reference"])
@pytest.mark.parametrize("size", [(8, 12), (5, 3), (17, 9)])
def test_every_runner_has_the_integers_of_pytorch(
    exact_codec: Deployment, engine: Engine, runner: Any, size: tuple[int, int], tmp_path: Path
) -> None:
    options = RuntimeOptions(runner=runner, threads=1, cache_dir=str(tmp_path))
    ((x,),) = pictures(1, *size, seed=3)
    walk = Encoder(engine).walk(x[0], step=0)
    wanted = TorchReference(exact_codec).decode(walk)
    packet = Encoder(engine).code(walk)
    found = Decoder(engine, options=options).integers(packet)
    assert sum(int(np.count_nonzero(part.symbols)) for part in found.values()) > 20
    for name, part in wanted.integers.items():
        np.testing.assert_array_equal(found[name].symbols, part.symbols)
        if part.means is not None:
            np.testing.assert_array_equal(found[name].means, part.means)


@pytest.mark.parametrize("d", [12, -12])
def test_little_is_lost_against_the_float_networks(
    float_codec: Deployment, exact_codec: Deployment, d: int
) -> None:
    bits, errors = [], []
    for codec in (float_codec, exact_codec):
        reference = TorchReference(codec)
        total, error = 0.0, 0.0
        for levels in pictures(6, 16, 20, seed=1):
            walk = reference.encode(levels, d)
            parts = [part for name, part in walk.integers.items() if name != "z"]
            total += sum(ideal_bits(part.indexes, part.symbols) for part in parts)
            decoded = reference.decode(walk).tensors["x_hat"]
            error += float(np.square(decoded - levels[0]).sum())
        bits.append(total)
        errors.append(error)
    assert bits[1] < 1.01 * bits[0]
    assert errors[1] < 1.01 * errors[0]


def ideal_bits(indexes: np.ndarray, symbols: np.ndarray) -> float:
    """Bits under discretised Gaussians."""
    sigma = 0.11 * 2.0 ** (indexes.astype(np.float64) / 8)
    size = np.abs(symbols)
    upper, lower = ((size + side) / (sigma * 2**0.5) for side in (0.5, -0.5))
    erf = torch.special.erf
    mass = 0.5 * (erf(torch.from_numpy(upper)) - erf(torch.from_numpy(lower))).numpy()
    return float(-np.log2(np.maximum(mass, 2.0**-20)).sum())


class Changed:
    """A network one of whose tables has a wrong entry."""

    def __init__(self, executor: Executor, data: bytes, name: str) -> None:
        model = onnx.load_from_string(data)
        (table,) = (t for t in model.graph.initializer if "/table" in t.name)
        values = numpy_helper.to_array(table).copy()
        values[100:] += 1
        table.CopyFrom(numpy_helper.from_array(values, table.name))
        runner = executor._runner
        self._network = runner.load(name, model.SerializeToString(), exact=True)

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        return self._network.run(inputs, outputs)


def test_a_runner_with_another_table_is_refused(engine: Engine, tmp_path: Path) -> None:
    executor = Executor(engine, RuntimeOptions(threads=1, cache_dir=str(tmp_path)))
    graph, proof = engine.exact_graph("y0_even")
    shapes = {"hyper": (1, HYPER, 16, 16)}
    outputs = ["y0_even_mean", "y0_even_index"]
    executor._networks["y0_even"] = changed = Changed(executor, engine.graph("y0_even"), "y0_even")
    assert not bring_up(graph, proof, changed, shapes, outputs).exact
    with pytest.raises(InexactRunnerError, match="y0_even"):
        executor.run("y0_even", {"hyper": np.zeros(shapes["hyper"], np.float32)}, outputs)


def test_a_runner_whose_floats_are_off_the_grid_is_refused(engine: Engine) -> None:
    executor = Executor(engine, RuntimeOptions(threads=1))
    graph, proof = engine.exact_graph("hyper_synthesis")

    class Off:
        def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
            (hyper,) = executor.network("hyper_synthesis").run(inputs, outputs)
            return [np.nextafter(hyper, np.float32(np.inf))]

    shapes = {"z_hat": (1, 4, 4, 4)}
    assert bring_up(graph, proof, executor.network("hyper_synthesis"), shapes, ["hyper"]).exact
    assert not bring_up(graph, proof, Off(), shapes, ["hyper"]).exact


def test_what_cannot_be_calibrated_is_refused(float_codec: Deployment) -> None:
    with pytest.raises(EngineError, match="0 pictures"):
        convert_path(float_codec, [])
    with pytest.raises(EngineError, match="of one size"):
        convert_path(float_codec, [*pictures(1, 8, 8), *pictures(1, 8, 16)])
    gelu = nn.Sequential(nn.ConvTranspose2d(4, HYPER, 4, 4), nn.GELU())
    with pytest.raises(EngineError, match=r"'1' \(GELU\)"):
        convert_path(float_codec.with_networks({"hyper_synthesis": gelu}), pictures(1, 8, 8))


def test_precision_is_passed_on(float_codec: Deployment) -> None:
    networks = convert_path(float_codec, pictures(2, 8, 8), precision=Precision(activation_bits=7))
    assert networks["hyper_synthesis"].grids["hyper"].limit == 255
