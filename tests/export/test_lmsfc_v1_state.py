"""L-MSFC v1 checkpoints of the authors: layout, sizes, and that they compute the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from benchmarks.golden_checkpoint import GoldenCheckpoint
from fcmrt import Decoder, Encoder, Engine
from fcmrt.errors import ExportError
from fcmrt.export.checkpoint import read_checkpoint
from fcmrt.export.engine import write
from fcmrt.export.foreign_state import COMPRESSAI_DERIVED
from fcmrt.export.lmsfc import LMSFC_V1_PUBLISHED
from fcmrt.export.lmsfc_published import PublishedLmsfc
from fcmrt.export.lmsfc_published_engine import deploy
from fcmrt.export.lmsfc_v1_state import AUTHORS, load_lmsfc_v1
from fcmrt.export.reference import TorchReference
from fcmrt.export.scale_index import LOG_RATIO, SIGMA_0, WIDER

from .foreign import expected_layout, layout


@pytest.fixture(scope="module")
def golden() -> GoldenCheckpoint:
    return GoldenCheckpoint("lmsfc_v1")


# Layout.


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        codec = PublishedLmsfc(LMSFC_V1_PUBLISHED)
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in codec.named_children()
    }
    assert sizes == {
        "analysis": 3_806_848,
        "synthesis": 30_720_896,
        "hyper_analysis": 737_920,
        "hyper_synthesis": 2_729_792,
        "prior": 7_808,
    }
    ours, theirs = expected_layout(codec, AUTHORS, layout("lmsfc_v1"), COMPRESSAI_DERIVED)
    assert ours == theirs


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "global_step": 7}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers(golden: GoldenCheckpoint, tmp_path: Path, wrap: Any, prefix: str) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(wrap({prefix + key: value for key, value in golden.state.items()}), path)
    codec = load_lmsfc_v1(read_checkpoint(path))
    weight = codec.hyper_analysis.layers[0].weight
    assert torch.equal(weight, golden.state["h_a.0.weight"])


def test_newer_names_of_the_prior(golden: GoldenCheckpoint) -> None:
    newer = {"_matrix": "matrices.", "_bias": "biases.", "_factor": "factors."}
    state = {
        re.sub("_(matrix|bias|factor)(?=[0-9]$)", lambda found: newer[found[0]], key): value
        for key, value in golden.state.items()
    }
    assert "entropy_bottleneck.matrices.4" in state
    prior, wanted = load_lmsfc_v1(state).prior, load_lmsfc_v1(golden.state).prior
    for found, other in zip(prior.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(found, other)


def test_wrong_keys_are_named(golden: GoldenCheckpoint) -> None:
    state = dict(golden.state)
    del state["g_s.fmb34.conv2.0.bias"]
    with pytest.raises(ExportError, match=r"lacks g_s\.fmb34\.conv2\.0\.bias"):
        load_lmsfc_v1(state)
    with pytest.raises(ExportError, match=r"g_s\.fmb99\.weight"):
        load_lmsfc_v1({**golden.state, "g_s.fmb99.weight": torch.zeros(1)})
    with pytest.raises(ExportError, match=r"h_a\.0\.weight.*is \[4, 5, 3, 3\]"):
        load_lmsfc_v1({**golden.state, "h_a.0.weight": torch.zeros(4, 5, 3, 3)})
    with pytest.raises(ExportError, match="not of L-MSFC v1"):
        load_lmsfc_v1({"g_a.0.weight": torch.zeros(2)})


def test_the_context_model_is_refused(golden: GoldenCheckpoint) -> None:
    state = {**golden.state, "context_prediction.weight": torch.zeros(8, 4, 5, 5)}
    with pytest.raises(ExportError, match=r"one cell .* after another.*w/o CM.*L-MSFC v2"):
        load_lmsfc_v1(state)


# What it computes.


def test_networks_compute_what_the_authors_do(golden: GoldenCheckpoint) -> None:
    codec = load_lmsfc_v1(golden.state)
    with torch.no_grad():
        y = codec.analysis(*golden.levels("feature"))
        z = codec.hyper_analysis(y)
        z_hat = torch.round(z - codec.prior.medians) + codec.prior.medians
        mean, index = codec.hyper_synthesis(z_hat)
        decoded = codec.synthesis(torch.round(y - mean) + mean)
    torch.testing.assert_close(y, golden["y"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(z, golden["z"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean, golden["mean"], rtol=1e-4, atol=1e-5)
    sigma = SIGMA_0 * torch.exp(LOG_RATIO * (index - WIDER))
    torch.testing.assert_close(sigma, golden["sigma"].clamp(min=SIGMA_0), rtol=1e-4, atol=1e-5)
    for found, wanted in zip(decoded, golden.levels("decoded"), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    prior = codec.prior.probabilities(-8, 8).float()
    torch.testing.assert_close(prior, golden["prior"], rtol=1e-4, atol=1e-6)


def test_the_deployment_computes_what_the_authors_do(golden: GoldenCheckpoint) -> None:
    """The networks as they are exported: GDN folded, `z` less its medians and back."""
    deployment = deploy(golden.state)
    reference = TorchReference(deployment)
    walk = reference.encode([level.numpy() for level in golden.levels("feature")], 0)
    decoding = reference.decode(walk)
    medians = golden.state["entropy_bottleneck.quantiles"][:, 0, 1, None, None].numpy()
    assert np.abs(medians).min() > 1e-3
    z, y, mean = (golden[name].numpy() for name in ("z", "y", "mean"))
    np.testing.assert_allclose(walk.tensors["z"] + medians, z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(walk.tensors["y"], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(walk.tensors["z_hat"], np.round(z - medians))
    grid = 2.0**-deployment.mean_bits
    np.testing.assert_allclose(walk.tensors["y_mean"] * grid, mean, rtol=1e-4, atol=grid)
    index = np.log(golden["sigma"].numpy().clip(min=SIGMA_0) / SIGMA_0) / LOG_RATIO + WIDER
    assert np.abs(walk.tensors["y_index"] - index).max() <= 0.501
    np.testing.assert_allclose(
        decoding.tensors["y_hat"], np.round(y - mean) + mean, rtol=1e-4, atol=grid
    )
    for feature, wanted in zip(deployment.features, golden.levels("decoded"), strict=True):
        found = decoding.tensors[f"{feature.name}_hat"]
        np.testing.assert_allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


@pytest.fixture(scope="module")
def engine(golden: GoldenCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("engine") / "lmsfc.fcmrt"
    return write(path, deploy(golden.state), name="lmsfc")


def test_the_manifest(engine: Engine) -> None:
    manifest = engine.manifest
    assert [f.name for f in manifest.features] == ["p2", "p3", "p4", "p5"]
    assert (manifest.padding.multiple, manifest.padding.align) == (64, "center")
    assert manifest.padding.mode == "reflect"
    assert list(manifest.latents) == ["z", "y"]
    assert manifest.quality.levels == (0,)


def test_graphs_hold_no_parametrisation(engine: Engine) -> None:
    for name in ("analysis", "synthesis"):
        graph = onnx.load_from_string(engine.graph(name)).graph
        kinds = {node.op_type for node in graph.node}
        assert {"Sqrt", "Mul"} <= kinds
        assert not kinds & {"Clip", "Max", "Pow"}


@pytest.mark.slow
def test_the_published_sizes_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {key: 0.02 * torch.randn(shape) for key, shape in layout("lmsfc_v1").items()}
    state["gaussian_conditional.scale_table"] = torch.zeros(0)
    engine = write(tmp_path / "full.fcmrt", deploy(state), name="full")
    assert 70 << 20 < (tmp_path / "full.fcmrt").stat().st_size < 90 << 20
    levels = {
        f.name: np.ones((256, 64 // f.stride, 64 // f.stride), np.float32)
        for f in engine.manifest.features
    }
    decoded = Decoder(engine).decode(Encoder(engine).encode(levels))
    assert decoded["p2"].shape == (256, 64, 64)
