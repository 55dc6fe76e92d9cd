"""The entropy path of CompressAI's models in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.compressai_samples import loud
from fcmrt import Decoder, Encoder, RuntimeOptions
from fcmrt.export import find_family, write
from fcmrt.export.exact.path import convert_path

NAMES = ("bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor-checkerboard")


def noise(seed: int, height: int, width: int) -> np.ndarray:
    picture = np.random.default_rng(seed).standard_normal((1, 3, height, width))
    return picture.astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_an_exact_engine_decodes_on_another_runner(name: str, tmp_path: Path) -> None:
    """Bytes stay within a hundredth of the float engine's."""
    deployment = find_family(name)(loud(name).state_dict())
    networks = convert_path(deployment, [[noise(seed, 128, 128)] for seed in range(3)])
    exact = write(tmp_path / "exact.fcmrt", deployment.with_networks(networks), name=name)
    plain = write(tmp_path / "plain.fcmrt", deployment, name=name)
    assert (exact.manifest.profile, plain.manifest.profile) == ("exact", "same-engine")
    x = noise(9, 70, 130)[0]
    packet = Encoder(exact).encode(x)
    assert len(packet) <= 1.01 * len(Encoder(plain).encode(x))
    other = RuntimeOptions(runner="reference")
    here, there = Decoder(exact).decode(packet)["x"], Decoder(exact, options=other).decode(packet)
    np.testing.assert_allclose(here, there["x"], atol=1e-4)
