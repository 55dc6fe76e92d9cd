"""One small codec of every family, with seeded weights that nobody trained.

What holds of all families alike is tested and measured on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from fcmrt.export import find_family
from fcmrt.export.codecs import LevelsConfig
from fcmrt.export.compressai.families import MODELS
from fcmrt.export.context import ContextConfig
from fcmrt.export.deployment import Deployment
from fcmrt.export.elic import ElicConfig
from fcmrt.export.lictcm import LicTcm, LicTcmConfig
from fcmrt.export.lictcm_engine import deploy_lictcm
from fcmrt.export.lictcm_features import LicTcmFeatures, LicTcmFeaturesConfig
from fcmrt.export.lictcm_features_deploy import deploy_lictcm_features
from fcmrt.export.lmsfc import Lmsfc, LmsfcConfig
from fcmrt.export.lmsfc_engine import deploy_lmsfc
from fcmrt.export.lmsfc_published_engine import deploy as deploy_v1
from fcmrt.export.lmsfc_v2 import LmsfcV2, LmsfcV2Config
from fcmrt.export.lmsfc_v2_engine import deploy as deploy_v2
from fcmrt.export.mosaic_engine import deploy_mosaics
from fcmrt.export.trained import deploy_codec
from fcmrt.spec import level_sizes

from .golden_checkpoint import GoldenCheckpoint

Features = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """A codec to try things on."""

    name: str
    make: Callable[[], Deployment]
    codec: str
    """Name of its family for `fcmrt export --codec`."""
    summary: str
    """What it is, in one line for people."""
    scale: float = 2.0
    """Standard deviation of its features."""
    exact: bool = True
    """Whether its networks between packet and tables have an exact form."""


def louder(modules: Iterable[nn.Module], factor: float) -> None:
    """Make the last convolution of networks louder, so that not all symbols are 0."""
    with torch.no_grad():
        for module in modules:
            convs = (nn.Conv2d, nn.ConvTranspose2d)
            last = [m for m in module.modules() if isinstance(m, convs)][-1]
            last.weight.mul_(factor)


def _lmsfc_v1() -> Deployment:
    torch.manual_seed(0)
    codec = Lmsfc(
        LmsfcConfig(
            feature_channels=(6, 8, 10),
            width=8,
            latent_channels=12,
            latent_stride=2,
            hyper_channels=6,
            hyper_stride=4,
            gdn=True,
            hyper_relu=False,
        )
    )
    louder([codec.hyper_analysis], 8)
    return deploy_lmsfc(codec, ["p3", "p4", "p5"])


CONTEXT = ContextConfig(
    groups=(2, 3, 4),
    channel_widths=(6, 5),
    channel_kernel=3,
    spatial_kernel=3,
    aggregation_widths=(8, 7),
)


def _lmsfc_v2() -> Deployment:
    torch.manual_seed(0)
    codec = LmsfcV2(
        LmsfcV2Config(
            feature_channels=(6, 8, 10),
            width=8,
            latent_stride=4,
            hyper_widths=(5, 6),
            hyper_out=7,
            context=CONTEXT,
        )
    )
    louder([codec.analysis, codec.hyper_analysis], 8)
    return deploy_codec(codec, ["p3", "p4", "p5"])


def _elic_levels() -> Deployment:
    torch.manual_seed(0)
    config = ElicConfig(
        feature_channels=(6,),
        width=8,
        strides=(2, 1),
        attention_stages=(0,),
        hyper_widths=(5, 6),
        hyper_out=7,
        kernel=3,
        context=replace(CONTEXT, all_earlier=True),
    )
    other = replace(config, feature_channels=(4,), strides=(1, 1), kernel=5)
    codec = LevelsConfig(levels=2, codecs=(config, other)).make()
    for one in codec.codecs:
        louder([one.analysis, one.hyper_analysis], 12)
    return deploy_codec(codec, ["p3", "p4"])


LIC_TCM = LicTcmConfig(
    width=8,
    latent_channels=8,
    slices=2,
    head_channels=(2, 4, 4),
    window=2,
    hyper_channels=4,
    hyper_head_channels=4,
    hyper_window=2,
    squeezed=8,
    slice_head_channels=4,
    slice_widths=(6, 5),
)


def _lic_tcm() -> Deployment:
    torch.manual_seed(0)
    codec = LicTcm(LIC_TCM)
    louder([codec.analysis, codec.hyper_analysis], 20)
    return deploy_lictcm(codec)


def _lic_tcm_features() -> Deployment:
    torch.manual_seed(0)
    config = LicTcmFeaturesConfig(
        feature_channels=(6,),
        width=4,
        slices=(3, 5),
        window=2,
        head_channels=2,
        hyper_widths=(4, 5),
        hyper_out=6,
        squeezed=4,
        slice_widths=(5, 4),
    )
    codec = LicTcmFeatures(config)
    louder([codec.hyper_analysis], 8)
    return deploy_lictcm_features(codec, ["p3"])


def _compressai(name: str, **options: Any) -> Deployment:
    from .compressai_samples import loud

    if name.endswith("-vbr") and not options:
        options = {"quantisation_offsets": False}
    return find_family(name)(loud(name).state_dict(), **options)


def _elic_jiang() -> Deployment:
    from .compressai_samples import loud_elic_of_ten_groups

    return find_family("elic2022-jiang")(loud_elic_of_ten_groups().state_dict())


def _mosaic(picture: Callable[[], Deployment], *channels: int) -> Deployment:
    ranges = {}
    for k, count in enumerate(channels):
        low = -torch.linspace(3, 5, count)  # a few of the features lie beyond
        ranges[f"p{3 + k}"] = (low, low + 8)
    return deploy_mosaics(picture(), ranges, [2**k for k in range(len(channels))])


SAMPLES = [
    Sample(
        "lmsfc-v1",
        _lmsfc_v1,
        codec="trained",
        summary="L-MSFC v1 without context model, three levels; the shipped engine's family",
    ),
    Sample(
        "lmsfc-v2",
        _lmsfc_v2,
        codec="trained",
        summary="L-MSFC v2: groups of channels, a checkerboard in each",
    ),
    Sample(
        "elic-levels",
        _elic_levels,
        codec="trained",
        summary="ELIC for features, a codec for each of two levels",
    ),
    Sample(
        "lic-tcm-features",
        _lic_tcm_features,
        codec="trained",
        summary="LIC-TCM for features: window attention, slices, residual prediction",
        exact=False,  # window attention
    ),
    Sample(
        "lmsfc-v1-authors",
        lambda: deploy_v1(GoldenCheckpoint("lmsfc_v1").state),
        codec="lmsfc-v1",
        summary="L-MSFC v1 without context model, as published",
    ),
    Sample(
        "lmsfc-v2-authors",
        lambda: deploy_v2(GoldenCheckpoint("lmsfc_v2_fpn").state),
        codec="lmsfc-v2",
        summary="L-MSFC v2 as published, with gains, four levels",
        scale=3.0,
    ),
    Sample(
        "lmsfc-v2-authors-3",
        lambda: deploy_v2(GoldenCheckpoint("lmsfc_v2_dkn").state),
        codec="lmsfc-v2",
        summary="the same of three levels",
        scale=3.0,
    ),
    Sample(
        "lic-tcm",
        _lic_tcm,
        codec="lic-tcm",
        summary="LIC-TCM for pictures, as published",
        exact=False,  # window attention, and GDN in the hyper-synthesis
    ),
    *(
        Sample(
            name,
            functools.partial(_compressai, name),
            codec=name,
            summary="CompressAI's model of that name",
            scale=1.0,
        )
        for name in MODELS
    ),
    Sample(
        "elic2022-jiang",
        _elic_jiang,
        codec="elic2022-jiang",
        summary="the public ELIC of ten groups, with networks of its own for anchors",
        scale=1.0,
    ),
    Sample(
        "mbt2018-mean-vbr-rate",
        functools.partial(_compressai, "mbt2018-mean-vbr", rate=4),
        codec="mbt2018-mean-vbr",
        summary="the same at one rate, with its gain and its quantisation offsets",
        scale=1.0,
    ),
    Sample(
        "elic2022-official-mosaic",
        lambda: _mosaic(functools.partial(_compressai, "elic2022-official"), 10, 40),
        codec="mosaic",
        summary="ELIC for pictures, given two levels as mosaics of 2 x 2 and 4 x 4 patches",
    ),
    Sample(
        "lic-tcm-mosaic",
        lambda: _mosaic(_lic_tcm, 10),
        codec="mosaic",
        summary="LIC-TCM for pictures, given a level as a mosaic of 2 x 2 patches",
        exact=False,  # as `lic-tcm`
    ),
]


def features_of(
    sample: Sample, deployment: Deployment, rows: int, columns: int, seed: int = 0
) -> Features:
    """Draw features of one picture; neighbours are alike, as in features of pictures.

    Args:
        sample: What they are for; gives their scale.
        deployment: Its codec.
        rows: Height of the finest level in cells.
        columns: Its width.
        seed: Other seeds give other pictures of the same size.

    Returns:
        float32 `[C, H, W]` by level.
    """
    rng = np.random.default_rng(1_000_000 * seed + rows * 1000 + columns)
    specs = deployment.features
    maps = {}
    for spec, (height, width) in zip(specs, level_sizes(specs, rows, columns), strict=True):
        coarse = rng.standard_normal((spec.channels, height // 4 + 1, width // 4 + 1))
        smooth = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
        fine = rng.standard_normal((spec.channels, height, width))
        maps[spec.name] = (sample.scale * (0.9 * smooth + 0.4 * fine)).astype(np.float32)
    return maps
