"""A PyTorch codec as an engine: the runtime computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fcmrt import Decoder, Encoder, Engine
from fcmrt.errors import ConfigError
from fcmrt.export.engine import write
from fcmrt.export.entropy import MEAN_GRID
from fcmrt.export.layers import GDN
from fcmrt.export.lmsfc import Lmsfc, LmsfcConfig
from fcmrt.export.lmsfc_engine import deploy_lmsfc

SMALL = LmsfcConfig(
    feature_channels=(6, 8, 10),
    width=8,
    latent_channels=12,
    latent_stride=2,
    hyper_channels=6,
    hyper_stride=4,
    gdn=False,
    hyper_relu=True,
    mixing_kernel=3,
    lift_kernel=1,
)
PUBLISHED_SHAPE = LmsfcConfig(
    feature_channels=(4, 4, 4, 4), width=8, latent_channels=6, latent_stride=16, hyper_channels=6
)
SIZES = [(52, 52), (21, 37), (4, 4), (1, 1)]


def codec_of(config: LmsfcConfig, seed: int) -> Lmsfc:
    """A codec with seeded weights, rounded to float16 as the engine stores them."""
    torch.manual_seed(seed)
    codec = Lmsfc(config).eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.copy_(parameter.half().float())
        for part in codec.modules():
            if isinstance(part, GDN):  # stored are the squares
                for parameter, folded in zip((part.gamma, part.beta), part.weights(), strict=True):
                    stored = folded.half().float().reshape(parameter.shape)
                    parameter.copy_((stored + part.pedestal).sqrt())
    return codec


@pytest.fixture(scope="module", params=[SMALL, PUBLISHED_SHAPE], ids=["light", "published"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lmsfc, Engine]:
    codec = codec_of(request.param, 0)
    path: Path = tmp_path_factory.mktemp("engine") / "small.fcmrt"
    names = [f"p{n}" for n in range(codec.config.levels)]
    return codec, write(path, deploy_lmsfc(codec, names), name="small", card={"seed": 0})


def features_of(config: LmsfcConfig, size: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        f"p{n}": (rng.normal(0, 2, (c, -(-size[0] // 2**n), -(-size[1] // 2**n)))).astype(
            np.float32
        )
        for n, c in enumerate(config.feature_channels)
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [1, 5, 9])
def test_runtime_agrees_with_pytorch(
    exported: tuple[Lmsfc, Engine], size: tuple[int, int], quality: int
) -> None:
    """Symbols are PyTorch's but for values at a tie; features follow from them."""
    codec, engine = exported
    features = features_of(codec.config, size, seed=sum(size))
    packet = Encoder(engine, quality=quality).encode(features)
    integers = Decoder(engine).integers(packet)
    decoded = Decoder(engine).decode(packet)

    multiple = engine.manifest.padding.multiple
    padded = []
    for n, array in enumerate(features.values()):
        rows = -(-size[0] // multiple) * multiple // 2**n - array.shape[1]
        columns = -(-size[1] // multiple) * multiple // 2**n - array.shape[2]
        mirrored = rows < array.shape[1] and columns < array.shape[2]
        widths = ((0, 0), (0, rows), (0, columns))
        padded.append(
            torch.from_numpy(np.pad(array, widths, mode="reflect" if mirrored else "edge"))[None]
        )
    with torch.no_grad():
        y = codec.analysis(*padded)
        z = codec.hyper_analysis(y)
        z_symbols = integers["z"].symbols.reshape(z.shape)
        differ = z_symbols != torch.round(z).numpy()
        assert np.abs((z.numpy() - np.floor(z.numpy()))[differ] - 0.5).max(initial=0) < 1e-3
        mean, index = codec.hyper(torch.from_numpy(z_symbols).float(), tuple(y.shape[-2:]))
        d = engine.manifest.quality.levels[quality - 1]
        step = engine.manifest.steps.width(d) / 65536
        mean = torch.round(mean * MEAN_GRID) / MEAN_GRID
        scaled = ((y - mean) / step).numpy().reshape(-1)
        indexes = torch.round(index).numpy().reshape(-1) - d
        coded = np.clip(indexes, 0, 63) >= engine.manifest.latents["y"].skip
        symbols = integers["y"].symbols
        wanted = np.where(coded, np.round(scaled), 0)
        # A mean or an index at a tie may round the other way in another library.
        assert (symbols != wanted).mean() < 0.01
        assert (integers["y"].indexes != np.clip(indexes, 0, 63)).mean() < 0.01
        means = integers["y"].means
        assert means is not None
        y_hat = means / MEAN_GRID + symbols * step
        outputs = codec.synthesis(torch.from_numpy(y_hat.reshape(y.shape)).float())
    for name, output in zip(features, outputs, strict=True):
        rows, columns = features[name].shape[1:]
        wanted = output.numpy()[0, :, :rows, :columns]
        assert np.abs(decoded[name] - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_engine_is_described(exported: tuple[Lmsfc, Engine]) -> None:
    codec, engine = exported
    manifest = engine.manifest
    assert manifest.family == "lmsfc-v1"
    assert manifest.profile == "same-engine"
    assert manifest.card == {"seed": 0}
    assert len(manifest.quality.levels) >= 8
    assert manifest.mean_bits == 6
    assert engine.tables("gaussian").count == 64
    assert engine.tables("hyper").count == codec.config.hyper_channels
    assert manifest.steps.width(0) == 65536
    assert manifest.steps.width(8) == 2 * 65536


def test_levels_must_fall(tmp_path: Path) -> None:
    codec = codec_of(SMALL, 1)
    with pytest.raises((ConfigError, ValueError)):
        write(tmp_path / "bad.fcmrt", deploy_lmsfc(codec, "abc", levels=(0, 5)), name="bad")
    assert not (tmp_path / "bad.fcmrt").exists()
