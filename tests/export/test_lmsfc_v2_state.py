"""L-MSFC v2 checkpoints of the authors: layout, sizes, gains, and that they compute the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.golden_checkpoint import GoldenCheckpoint
from fcmrt import Decoder, Encoder, Engine, RuntimeOptions
from fcmrt.errors import ConfigError, ExportError
from fcmrt.export.deployment import Deployment
from fcmrt.export.engine import write
from fcmrt.export.exact.path import convert_path
from fcmrt.export.foreign_state import COMPRESSAI_DERIVED
from fcmrt.export.lmsfc_v2 import LMSFC_V2_PUBLISHED, LmsfcV2Config
from fcmrt.export.lmsfc_v2_engine import deploy
from fcmrt.export.lmsfc_v2_published import PublishedLmsfcV2
from fcmrt.export.lmsfc_v2_state import authors_names, load_lmsfc_v2
from fcmrt.export.reference import TorchReference
from fcmrt.schedule import Code

from .foreign import expected_layout, layout

LMSFC_V2_DKN = LmsfcV2Config(
    feature_channels=(256, 512, 1024), latent_stride=8, attention_levels=(0, 2)
)
PUBLISHED = {"lmsfc_v2_fpn": (LMSFC_V2_PUBLISHED, 8), "lmsfc_v2_dkn": (LMSFC_V2_DKN, 6)}
TRANSFORMS = {"lmsfc_v2_fpn": (13_057_792, 27_554_368), "lmsfc_v2_dkn": (17_919_424, 38_633_856)}


@pytest.fixture(scope="module", params=list(PUBLISHED))
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def golden(form: str) -> GoldenCheckpoint:
    return GoldenCheckpoint(form)


# Layout.


def test_the_published_sizes(form: str) -> None:
    with torch.device("meta"):
        codec = PublishedLmsfcV2(*PUBLISHED[form])
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in codec.named_children()
    }
    analysis, synthesis = TRANSFORMS[form]
    assert sizes.pop("gain") == sizes.pop("inverse_gain") == codec.gain_levels * 320
    assert sizes == {
        "analysis": analysis,
        "synthesis": synthesis,
        "hyper_analysis": 2_396_736,
        "hyper_synthesis": 3_964_000,
        "context": 5_800_416 + 2_125_440 + 4_819_200,
        "prior": 11_712,
    }
    names = authors_names(codec.config.levels)
    ours, theirs = expected_layout(codec, names, layout(form), COMPRESSAI_DERIVED)
    assert ours == theirs


def test_sizes_are_read_from_the_weights(form: str) -> None:
    wanted, gains = PUBLISHED[form]
    with torch.device("meta"):
        state = {key: torch.zeros(shape) for key, shape in layout(form).items()}
        state["gaussian_conditional.scale_table"] = torch.zeros(0)
        codec = load_lmsfc_v2(state)
    assert codec.config == wanted
    assert codec.gain_levels == gains


@pytest.mark.parametrize("part", ["g_a.", "g_s."])
def test_a_part_of_a_checkpoint_is_told(golden: GoldenCheckpoint, part: str) -> None:
    """As the authors' tool splits them for encoder and decoder."""
    found = {key: value for key, value in golden.state.items() if key.startswith(part)}
    with pytest.raises(ExportError, match=r"L-MSFC v2, or only a part.* no weights .*h_s\.\*"):
        load_lmsfc_v2(found)


def test_wrappers_and_wrong_keys(golden: GoldenCheckpoint) -> None:
    wrapped = {"state_dict": {f"module.{key}": value for key, value in golden.state.items()}}
    assert torch.equal(load_lmsfc_v2(wrapped).gain.values, golden.state["Gain"])
    state = dict(golden.state)
    del state["ParamAggregation.2.4.bias"]
    with pytest.raises(ExportError, match=r"lacks ParamAggregation\.2\.4\.bias"):
        load_lmsfc_v2(state)
    with pytest.raises(ExportError, match="extra"):
        load_lmsfc_v2({**golden.state, "extra": torch.zeros(1)})
    with pytest.raises(ExportError, match="not of L-MSFC v2"):
        load_lmsfc_v2({"g_a.block1.0.weight": torch.zeros(2)})


# What it computes.


@pytest.fixture(scope="module")
def deployment(golden: GoldenCheckpoint) -> Deployment:
    return deploy(golden.state)


@pytest.mark.parametrize("quality", [1, 2.5])
def test_the_deployment_computes_what_the_authors_do(
    golden: GoldenCheckpoint, deployment: Deployment, quality: float
) -> None:
    reference = TorchReference(deployment)
    levels = [level.numpy() for level in golden.levels("feature")]
    walk = reference.encode(levels, deployment.quality.shift(quality))
    decoding = reference.decode(walk)
    case = f"q{quality:g}"
    wanted = golden[f"{case}/y"].numpy()
    groups = codec_groups(deployment)
    y = np.concatenate([walk.tensors[name] for name in groups], 1)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    y_hat = np.concatenate(
        [decoding.tensors[f"{n}_anchor_hat"] + decoding.tensors[f"{n}_other_hat"] for n in groups],
        1,
    )
    known = (golden[f"{case}/mean"] + golden[f"{case}/symbols"]).numpy()
    np.testing.assert_allclose(y_hat, known, atol=2**-12)  # means are on a grid
    for k, level in enumerate(golden.levels(f"{case}/decoded")):
        found = decoding.tensors[f"{deployment.features[k].name}_hat"]
        np.testing.assert_allclose(found, level, atol=1e-3 * float(level.abs().max()))


def codec_groups(deployment: Deployment) -> list[str]:
    return sorted({latent.source for latent in deployment.latents.values()} - {"z"})


def test_the_schedule(deployment: Deployment) -> None:
    order = [step.latent for step in deployment.decode if isinstance(step, Code)]
    halves = [f"y{k}_{half}" for k in range(3) for half in ("anchor", "other")]
    assert order == ["z", *halves]
    assert not any(latent.step for latent in deployment.latents.values())
    stride = 2 ** len(deployment.features)
    assert deployment.padding.multiple == 4 * stride
    path = deployment.entropy_path
    assert {"analysis", "synthesis"} <= set(deployment.networks) - set(path)
    assert path[0] == "hyper_synthesis"


@pytest.fixture(scope="module")
def engine(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("engine") / "lmsfc.fcmrt"
    return write(path, deployment, name="lmsfc")


def picture(engine: Engine, size: tuple[int, int]) -> dict[str, Any]:
    rng = np.random.default_rng(size[0])
    return {
        f.name: rng.normal(
            0, 3, (f.channels, -(-size[0] // f.stride), -(-size[1] // f.stride))
        ).astype(np.float32)
        for f in engine.manifest.features
    }


def test_the_entropy_path_has_an_exact_form(
    golden: GoldenCheckpoint, deployment: Deployment, tmp_path: Path
) -> None:
    levels = [level.numpy() for level in golden.levels("feature")]
    exact = deployment.with_networks(convert_path(deployment, [levels] * 3))
    engine = write(tmp_path / "exact.fcmrt", exact, name="exact")
    assert engine.manifest.profile == "exact"
    assert engine.manifest.quality.mechanism == "gain"
    features = picture(engine, (40, 50))
    packet = Encoder(engine, quality=2.5).encode(features)
    wanted = Decoder(engine).integers(packet)
    found = Decoder(engine, options=RuntimeOptions(runner="torch")).integers(packet)
    for name, integers in wanted.items():
        np.testing.assert_array_equal(found[name].symbols, integers.symbols)


def test_bytes_grow_with_the_quality(engine: Engine) -> None:
    levels = picture(engine, (128, 128))
    count = len(engine.manifest.quality.levels)
    qualities = [1 + 0.5 * n for n in range(2 * count - 1)]
    sizes = [len(Encoder(engine).encode(levels, quality=quality)) for quality in qualities]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]
    with pytest.raises(ConfigError, match="not one of the engine's"):
        Encoder(engine).encode(levels, step=-16 * count)


@pytest.mark.slow
def test_the_published_sizes_export(form: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {k: 0.02 * torch.randn(s) for k, s in layout(form).items()}
    state["gaussian_conditional.scale_table"] = torch.zeros(0)
    engine = write(tmp_path / "full.fcmrt", deploy(state), name="full")
    weights = sum(math.prod(tensor.shape) for tensor in state.values())
    assert 2 * weights < (tmp_path / "full.fcmrt").stat().st_size < 2.1 * weights
    levels = picture(engine, (64, 64))
    decoded = Decoder(engine).decode(Encoder(engine).encode(levels))
    assert {name: level.shape for name, level in decoded.items()} == {
        name: level.shape for name, level in levels.items()
    }
