"""The builder of schedules: both sides from one telling, and nothing for nothing."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import EngineError, ExportError
from fcmrt.export.coding import gaussians, hyper_latent, quality_of, step_table
from fcmrt.export.deployment import Deployment, DeploymentBuilder
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.entropy import ChannelPrior
from fcmrt.export.integers import LARGEST_MEAN, with_integers
from fcmrt.export.reference import TorchReference
from fcmrt.export.tables import channel_tables
from fcmrt.schedule import Code, Dequantize, Quantize, Run
from fcmrt.spec import FeatureSpec, LatentSpec, Padding
from fcmrt.verify import Configuration, verify


class Split(nn.Module):
    """Features to two latents and z, all at the features' own stride."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 10, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b, z = self.conv(x).split([4, 4, 2], 1)
        return 4 * a, 4 * b, 3 * z


class Parameters(nn.Module):
    """What is known, as one convolution sees it: mean and index of four channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3, padding=1)

    def forward(self, *known: Tensor) -> tuple[Tensor, Tensor]:
        mean, index = self.conv(torch.cat(known, 1)).chunk(2, 1)
        return mean, 20 + 8 * index


class Join(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, *known: Tensor) -> Tensor:
        return self.conv(torch.cat(known, 1))


def two_groups() -> Deployment:
    torch.manual_seed(0)
    build = DeploymentBuilder([FeatureSpec("x", 3, 1)], Padding(4, "reflect", "start"))
    for name in ("a", "b"):
        build.tensor(name, 4, 1)
        for role in ("mean", "index"):
            build.tensor(f"{name}_{role}", 4, 1, "int32")
    build.tensor("z", 2, 1)
    build.tensor("x_hat", 3, 1)
    build.encoder("analysis", Split(), ["x"], ["a", "b", "z"])
    build.coded("z", hyper_latent("z", "hyper"), "z_hat")
    build.both("parameters_a", Parameters(2), ["z_hat"], ["a_mean", "a_index"])
    build.coded("a", LatentSpec("a", "gaussian", "a_index", "a_mean", True, 4), "a_hat")
    build.both("parameters_b", Parameters(6), ["z_hat", "a_hat"], ["b_mean", "b_index"])
    build.coded("b", LatentSpec("b", "gaussian", "b_index", "b_mean", True, 4), "b_hat")
    build.decoder("synthesis", Join(), ["a_hat", "b_hat"], ["x_hat"])
    prior = ChannelPrior(2).probabilities(-20, 20).numpy()
    return build.finish(
        family="two-groups",
        outputs={"x": "x_hat"},
        tables={"gaussian": gaussians(), "hyper": channel_tables(prior, -20)},
        mean_bits=6,
        steps=step_table(),
        quality=quality_of((8, 0, -8)),
    )


def picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, 1, (1, 3, rows, columns)).astype(np.float32)


def test_the_encoder_codes_last_and_computes_nothing_for_nothing() -> None:
    deployment = two_groups()
    assert deployment.encode == (
        Run("analysis", ("x",), ("a", "b", "z")),
        Quantize("z"),
        Dequantize("z", "z_hat"),
        Run("parameters_a", ("z_hat",), ("a_mean", "a_index")),
        Quantize("a"),
        Dequantize("a", "a_hat"),
        Run("parameters_b", ("z_hat", "a_hat"), ("b_mean", "b_index")),
        Quantize("b"),
        Code("z"),
        Code("a"),
        Code("b"),
    )
    assert [step.latent for step in deployment.decode if isinstance(step, Code)] == ["z", "a", "b"]
    assert deployment.entropy_path == ("parameters_a", "parameters_b")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Engine]:
    deployment = with_half_weights(two_groups())
    path: Path = tmp_path_factory.mktemp("engine") / "two.fcmrt"
    return deployment, write(path, deployment, name="two")


@pytest.mark.parametrize("size", [(8, 12), (5, 3), (1, 1)])
@pytest.mark.parametrize("d", [8, 0])
def test_the_engine_computes_what_the_reference_does(
    written: tuple[Deployment, Engine], size: tuple[int, int], d: int
) -> None:
    deployment, engine = written
    reference = TorchReference(deployment)
    x = picture(*size)
    encoding = reference.encode([x], d)
    walk = Encoder(engine).walk(x[0], step=d)
    assert encoding.padded == walk.padded
    for name, integers in encoding.integers.items():
        differ = integers.symbols != walk.integers[name].symbols
        assert differ.mean() < 0.01, name  # values at a tie, and what follows from them
    assert any(integers.symbols.any() for integers in encoding.integers.values())
    decoded = Decoder(engine).decode(Encoder(engine).code(walk))["x"]
    wanted = reference.decode(walk).tensors["x_hat"][0, :, : size[0], : size[1]]
    np.testing.assert_allclose(decoded, wanted, atol=1e-4 * np.abs(wanted).max())


def test_means_and_indexes_are_rounded_and_bounded() -> None:
    deployment = two_groups()
    network = with_integers(deployment)["parameters_a"]
    with torch.no_grad():
        mean, index = deployment.networks["parameters_a"](torch.full((1, 2, 3, 3), 0.4))
        whole_mean, whole_index = network(torch.full((1, 2, 3, 3), 0.4))
        huge, _ = network(torch.full((1, 2, 3, 3), 1e9))
    assert whole_mean.dtype == whole_index.dtype == torch.int32
    assert torch.equal(whole_mean, torch.round(mean * 64).int())
    assert torch.equal(whole_index, torch.round(index).int())
    assert huge.abs().max() == LARGEST_MEAN


def test_a_network_that_does_not_fit_the_schedule_is_no_engine(tmp_path: Path) -> None:
    deployment = two_groups()
    deployment = deployment.with_networks({"synthesis": nn.Identity()})
    with pytest.raises(ExportError, match=r"graph 'synthesis': the network fails on .*a_hat"):
        write(tmp_path / "bad.fcmrt", deployment, name="bad")
    assert not (tmp_path / "bad.fcmrt").exists()


class Gives(nn.Module):
    """Whatever it is told, of the picture's size."""

    def __init__(self, *channels: int, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, *known: Tensor) -> tuple[Tensor, ...]:
        x = known[0][:, :1, :: self.stride, :: self.stride]
        return tuple(x.expand(-1, c, -1, -1) * 1.0 for c in self.channels)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (Gives(4, 4), "gives 2 of them; .* 3 in a tuple: a, b, z"),
        (Gives(4, 4, 3), r"gives 'z' as \[1, 3, 8, 8\], from x \[1, 3, 8, 8\]; 2 channels"),
        (Gives(4, 4, 2, stride=2), r"gives 'a' as \[1, 4, 4, 4\].* are \[1, 4, 8, 8\]"),
    ],
)
def test_what_a_network_gives_is_held_against_the_schedule(
    network: nn.Module, told: str, tmp_path: Path
) -> None:
    deployment = two_groups().with_networks({"analysis": network})
    with pytest.raises(ExportError, match=f"graph 'analysis': the network {told}"):
        write(tmp_path / "bad.fcmrt", deployment, name="bad")


def test_a_schedule_is_proved_before_networks_are_run(tmp_path: Path) -> None:
    build = DeploymentBuilder([FeatureSpec("x", 3, 1)], Padding(1, "zero", "start"))
    for name in "y", "x_hat":
        build.tensor(name, 3, 1)
    build.encoder("analysis", nn.Identity(), ["x"], ["y"])
    build.coded("y", hyper_latent("y", "prior"), "y_hat")
    build.decoder("synthesis", Join(), ["y_hat", "never_coded"], ["x_hat"])
    prior = channel_tables(np.full((3, 3), 1 / 3), -1)
    deployment = build.finish(
        family="f", outputs={"x": "x_hat"}, tables={"prior": prior}, mean_bits=0
    )
    with pytest.raises(EngineError, match="'never_coded' is not declared"):
        write(tmp_path / "bad.fcmrt", deployment, name="bad")


def test_names_are_given_once() -> None:
    build = DeploymentBuilder([FeatureSpec("x", 3, 1)], Padding(1, "zero", "start"))
    build.tensor("y", 3, 1)
    with pytest.raises(ExportError, match="a tensor 'y' already"):
        build.tensor("y", 4, 1)
    build.both("parameters", Join(), ["y"], ["mean"])
    with pytest.raises(ExportError, match="a graph 'parameters' already"):
        build.both("parameters", Join(), ["y"], ["other_mean"])
    build.coded("y", hyper_latent("y", "tables"), "y_hat")
    with pytest.raises(ExportError, match="a latent 'y' already"):
        build.coded("y", hyper_latent("y", "tables"), "y_other")
    with pytest.raises(ExportError, match="its source 'w' is not declared"):
        build.coded("w", hyper_latent("w", "tables"), "w_hat")


def test_a_reference_of_half_weights_has_what_the_engine_stores(tmp_path: Path) -> None:
    """Biases and other small tensors are stored as they are."""
    deployment = two_groups()
    engine = write(tmp_path / "two.fcmrt", deployment, name="two")
    x = picture(16, 16)
    wanted = TorchReference(with_half_weights(deployment)).encode([x], 0).tensors["a"]
    found = Encoder(engine).walk(x[0], step=0).tensors["a"]
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())


def test_verify_compares_with_the_networks_that_the_engine_was_made_of(
    written: tuple[Deployment, Engine],
) -> None:
    deployment, engine = written
    one = Configuration("one", RuntimeOptions(threads=1))
    found = verify(
        engine,
        [picture(9, 7)[0], picture(16, 16)[0]],
        reference=TorchReference(deployment),
        configurations=[one],
        repeats=1,
    )
    stages = {(stage.side, stage.step): stage for stage in found.stages}
    for name in ("z", "a", "b"):
        stage = stages["encode", f"symbols {name}"]
        assert stage.integers > 0
        assert stage.differing <= stage.ties + 0.01 * stage.integers
    assert stages["decode", "run synthesis"].relative < 1e-5
    assert "torch" in found.reference


def test_a_network_with_other_weights_shows_in_its_symbols(
    written: tuple[Deployment, Engine],
) -> None:
    deployment, engine = written
    other = copy.deepcopy(deployment.networks["analysis"])
    with torch.no_grad():
        other.conv.weight.mul_(1.1)  # type: ignore[union-attr, operator]
    reference = TorchReference(deployment.with_networks({"analysis": other}))
    one = Configuration("one", RuntimeOptions(threads=1))
    found = verify(
        engine, [picture(16, 16)[0]], reference=reference, configurations=[one], repeats=1
    )
    stage = next(s for s in found.stages if (s.configuration, s.step) == ("one", "symbols a"))
    assert stage.differing > stage.ties + 0.01 * stage.integers
