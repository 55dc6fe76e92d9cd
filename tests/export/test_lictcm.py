"""LIC-TCM for pictures: the authors' layout, their networks, and their order of coding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fcmrt import Decoder, Encoder, RuntimeOptions
from fcmrt.errors import ExportError
from fcmrt.export.engine import with_half_weights, write
from fcmrt.export.foreign_state import COMPRESSAI_DERIVED, foreign_key, load_foreign
from fcmrt.export.lictcm import (
    LICTCM_LARGE,
    LICTCM_MIDDLE,
    LICTCM_SMALL,
    LicTcm,
    LicTcmConfig,
)
from fcmrt.export.lictcm_engine import deploy, deploy_lictcm
from fcmrt.export.lictcm_state import AUTHORS, load_lictcm
from fcmrt.export.reference import TorchReference
from fcmrt.export.scale_index import ScaleIndex, scale_table
from fcmrt.schedule import Code, Run
from fcmrt.spec import Padding

from .tcm_authors import Authors, Sizes, layout, random_state

ONE_THREAD = RuntimeOptions(threads=1)
TINY = Sizes(n=32, m=20, z=6, squeezed=16, widths=(6, 5))
TINY_CONFIG = LicTcmConfig(
    width=32, latent_channels=20, hyper_channels=6, squeezed=16, slice_widths=(6, 5)
)


@pytest.mark.parametrize(
    ("config", "millions"), [(LICTCM_SMALL, 45.18), (LICTCM_MIDDLE, 59.13), (LICTCM_LARGE, 76.57)]
)
def test_widths_have_the_numbers_of_weights_of_the_models(
    config: LicTcmConfig, millions: float
) -> None:
    """The large one's is published; the others are counted from the layout."""
    with torch.device("meta"):
        codec = LicTcm(config)
    found = sum(p.numel() for p in codec.parameters()) * 1e-6
    assert found == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize("n", [64, 96, 128])
def test_every_weight_has_its_place_in_the_authors_layout(n: int) -> None:
    with torch.device("meta"):
        codec = LicTcm(LicTcmConfig(width=n))
    shapes = {foreign_key(codec, k, AUTHORS): tuple(p.shape) for k, p in codec.named_parameters()}
    assert len(shapes) == len(list(codec.parameters()))
    wanted = layout(Sizes(n=n))
    assert shapes == {k: v for k, v in wanted.items() if not COMPRESSAI_DERIVED.search(k)}
    assert codec.state_dict().keys() == dict(codec.named_parameters()).keys()


@pytest.fixture(scope="module")
def small() -> dict[str, Tensor]:
    return random_state(Sizes(n=32))


def test_a_checkpoint_loads_bare_and_wrapped(small: dict[str, Tensor]) -> None:
    codec = load_lictcm(small)
    assert codec.config == LicTcmConfig(width=32)
    assert not codec.training
    wanted = small["atten_scale.3.0.non_local_block.block_2.msa.linear.weight"]
    found = codec.slices.parameters_of[3].scale_gate.windows[1].attention.out.weight
    assert torch.equal(found, wanted)
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in small.items()}}
    again = load_lictcm(wrapped).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in codec.state_dict().items())


def test_the_newer_names_of_priors_load(small: dict[str, Tensor]) -> None:
    newer = {"_matrix": "matrices.", "_bias": "biases.", "_factor": "factors."}
    renamed = {}
    for key, value in small.items():
        for old, new in newer.items():
            key = key.replace(f"entropy_bottleneck.{old}", f"entropy_bottleneck.{new}")
        renamed[key] = value
    assert "entropy_bottleneck.factors.3" in renamed
    assert torch.equal(load_lictcm(renamed).prior.factors[3], small["entropy_bottleneck._factor3"])


def _without(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if k != "lrp_transforms.4.4.bias"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_without, r"lacks lrp_transforms\.4\.4\.bias"),
        (lambda s: {**s, "g_a.10.weight": torch.zeros(1)}, r"too many: g_a\.10\.weight"),
        (lambda s: {**s, "h_a.3.bias": torch.zeros(7)}, r"'h_a\.3\.bias'.*\[7\].*\[192\]"),
        (lambda s: {**s, "gaussian_conditional.scale_table": torch.ones(64)}, "scale table"),
        (lambda s: {"conv.weight": torch.zeros(1)}, "not of LIC-TCM"),
    ],
)
def test_what_does_not_fit_is_named(
    small: dict[str, Tensor],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    text: str,
) -> None:
    with pytest.raises(ExportError, match=text):
        load_lictcm(change(small))


def test_one_picture_has_one_name(small: dict[str, Tensor]) -> None:
    with pytest.raises(ExportError, match="2 names for levels; the codec has 1"):
        deploy(small, level_names=["left", "right"])


@pytest.fixture(scope="module")
def tiny() -> tuple[LicTcm, Authors]:
    state = random_state(TINY)
    codec = LicTcm(TINY_CONFIG).eval()
    load_foreign(codec, state, AUTHORS, COMPRESSAI_DERIVED)
    return codec, Authors(state)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def same(found: Tensor, wanted: Tensor, grid: float = 0.0) -> None:
    assert wanted.std() > 1e-3
    close = 2e-5 * float(wanted.abs().max()) + grid
    torch.testing.assert_close(found, wanted, rtol=0, atol=close)


@torch.no_grad()
def test_the_networks_compute_what_the_authors_compute(tiny: tuple[LicTcm, Authors]) -> None:
    codec, authors = tiny
    picture = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    same(codec.analysis(picture), authors.analysis(picture))
    same(codec.hyper_analysis(drawn(1, 20, 8, 16)), authors.hyper_analysis(drawn(1, 20, 8, 16)))
    z = drawn(1, 6, 2, 4)
    same(codec.hyper_means(z), authors.hyper_synthesis("h_mean_s", z))
    same(codec.hyper_scales(z), authors.hyper_synthesis("h_scale_s", z))
    same(codec.synthesis(drawn(1, 20, 4, 8)), authors.synthesis(drawn(1, 20, 4, 8)))


@torch.no_grad()
def test_slices_are_predicted_as_the_authors_predict_them(tiny: tuple[LicTcm, Authors]) -> None:
    codec, authors = tiny
    hyper_mean, hyper_scale = drawn(1, 20, 8, 16), drawn(1, 20, 8, 16) + 1
    known: list[Tensor] = []
    for k in range(5):
        y = 3 * drawn(1, 4, 8, 16)
        wanted_mean, wanted_scale, wanted = authors.slice(k, y, hyper_mean, hyper_scale, known)
        support = codec.slices.supports[k](hyper_mean, *known)
        mean, scale = codec.slices.parameters_of[k](support, hyper_scale, *known)
        same(mean, wanted_mean)
        same(scale, wanted_scale)
        rounded = torch.round(y - wanted_mean) + wanted_mean
        same(codec.slices.residuals[k](support, rounded), wanted)
        known.append(wanted)


def test_the_schedule_is_z_and_then_slice_after_slice(small: dict[str, Tensor]) -> None:
    deployment = deploy(small, level_names=["rgb"])
    assert deployment.padding == Padding(128, "zero", "center")
    assert [f.name for f in deployment.features] == ["rgb"]
    coded = [step.latent for step in deployment.decode if isinstance(step, Code)]
    assert coded == ["z", "y0", "y1", "y2", "y3", "y4"]
    runs = [step.graph for step in deployment.decode if isinstance(step, Run)]
    slices = [f"{what}_{k}" for k in range(5) for what in ("support", "parameters", "residual")]
    assert runs == ["hyper_synthesis", *slices, "synthesis"]
    encoded = [step.graph for step in deployment.encode if isinstance(step, Run)]
    assert encoded == ["analysis", "hyper_synthesis", *slices[:-1]]
    assert set(deployment.entropy_path) == {"hyper_synthesis", *slices[:-1]}


@torch.no_grad()
def test_z_is_rounded_around_its_medians_and_scales_become_indexes(
    tiny: tuple[LicTcm, Authors],
) -> None:
    codec, authors = tiny
    networks = deploy_lictcm(codec).networks
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    *slices, z = networks["analysis"](picture)
    y = authors.analysis(picture)
    same(torch.cat(slices, 1), y)
    medians = authors.state["entropy_bottleneck.quantiles"][:, 0, 1][:, None, None]
    same(z + medians, authors.hyper_analysis(y))
    mean, scale = networks["hyper_synthesis"](torch.round(z))
    same(mean, authors.hyper_synthesis("h_mean_s", torch.round(z) + medians))
    same(scale, authors.hyper_synthesis("h_scale_s", torch.round(z) + medians))
    support = networks["support_0"](mean)
    _, sigma, _ = authors.slice(0, slices[0], mean, scale, [])
    _, index = networks["parameters_0"](support, scale)
    assert sigma.max() > 0.2
    torch.testing.assert_close(index, ScaleIndex()(sigma), atol=1e-3, rtol=0)
    assert ScaleIndex()(scale_table()[[0, 7, 63]]).round().tolist() == [0, 7, 63]
    decoded = [0.5 * drawn(1, 4, 8, 8) for _ in slices]
    wanted = authors.synthesis(torch.cat(decoded, 1))
    assert wanted.min() < 0
    assert wanted.max() > 1
    same(networks["synthesis"](*decoded), wanted.clamp(0, 1))


QUIETER = {"g_a.9.": 0.05, "h_a.3.": 0.1, "igdn.gamma": 0.02, "g_s.9.0.": 0.002}
"""Factors of weights; one transform after the other, random ones would make numbers enormous."""


@torch.no_grad()
def test_the_deployment_computes_what_the_authors_do() -> None:
    """A whole picture by the schedule, through the networks as they are exported."""
    state = {
        key: value * next((f for part, f in QUIETER.items() if part in key), 1.0)
        for key, value in random_state(TINY).items()
    }
    codec, authors = LicTcm(TINY_CONFIG).eval(), Authors(state)
    load_foreign(codec, state, AUTHORS, COMPRESSAI_DERIVED)
    deployment = deploy_lictcm(codec)
    reference = TorchReference(deployment)
    picture = torch.rand(1, 3, 128, 256, generator=torch.Generator().manual_seed(2))
    walk = reference.encode([picture.numpy()], 0)
    decoded = {k: torch.from_numpy(v) for k, v in reference.decode(walk).tensors.items()}

    y = authors.analysis(picture)
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1][:, None, None]
    z = torch.round(authors.hyper_analysis(y) - medians)
    assert torch.equal(decoded["z_hat"], z)
    assert z.any()
    hyper_mean = authors.hyper_synthesis("h_mean_s", z + medians)
    hyper_scale = authors.hyper_synthesis("h_scale_s", z + medians)
    grid = 2.0**-deployment.mean_bits
    known: list[Tensor] = []
    for k, part in enumerate(y.chunk(5, 1)):
        mean, sigma, seen = authors.slice(k, part, hyper_mean, hyper_scale, known)
        same(decoded[f"y{k}_mean"] * grid, mean, grid)
        assert (decoded[f"y{k}_index"] - ScaleIndex()(sigma)).abs().max() <= 0.501
        symbols = torch.from_numpy(walk.integers[f"y{k}"].symbols).reshape(part.shape)
        assert torch.equal(symbols.float(), torch.round(part - mean))
        same(decoded[f"y{k}_hat"], seen, grid)
        known.append(seen)
    wanted = authors.synthesis(torch.cat(known, 1)).clamp(0, 1)
    assert ((wanted > 0) & (wanted < 1)).float().mean() > 0.1
    same(decoded["picture_hat"], wanted, grid)


@pytest.mark.slow
def test_the_small_model_codes_a_picture(tmp_path: Path) -> None:
    state = random_state(Sizes())
    # So that maps do not grow from GDN to GDN, y is a few steps wide, and the picture within 0..1.
    for key, values in state.items():
        if key.endswith(".gamma"):
            values /= len(values) ** 0.5
    state["g_a.9.weight"] *= 0.02
    state["g_s.9.0.weight"] *= 1e-4
    state["g_s.9.0.bias"] = torch.full((12,), 0.5)
    deployment = with_half_weights(deploy(state))
    assert sum(p.numel() for n in deployment.networks.values() for p in n.parameters()) > 40e6
    engine = write(tmp_path / "small.fcmrt", deployment, name="small")
    picture = np.random.default_rng(0).uniform(0, 1, (3, 128, 128)).astype(np.float32)
    encoder, decoder = (kind(engine, options=ONE_THREAD) for kind in (Encoder, Decoder))
    walk = encoder.walk({"picture": picture})
    assert all(np.unique(integers.symbols).size > 1 for integers in walk.integers.values())
    decoded = decoder.decode(encoder.code(walk))["picture"]
    output = engine.manifest.outputs["picture"]
    wanted = TorchReference(deployment).decode(walk).tensors[output][0]
    assert decoded.shape == picture.shape
    assert np.mean((wanted > 0) & (wanted < 1)) > 0.9
    np.testing.assert_allclose(decoded, wanted, rtol=0, atol=1e-4)
