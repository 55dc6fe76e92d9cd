"""Compares engines of families without a checkpoint with their PyTorch networks, on real inputs.

python -m benchmarks.families [--family NAME]... [--pictures N] [--steps N]
                              [--json PATH|-] [--quick]

L-MSFC v1 and v2 and LIC-TCM in their authors' layouts, and ELIC and LIC-TCM given mosaics of
features, each trained for some seconds; and the shipped L-MSFC v1, whose checkpoint is not in the
repository, beside the reference's float64. Step by step, each step given what the PyTorch networks
had before it. `benchmarks.codecs` compares what `fcmrt.export.train` has trained, `benchmarks.zoo`
CompressAI's models.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch

import fcmrt
from fcmrt.errors import FcmrtError
from fcmrt.export import write
from fcmrt.export.context import ContextConfig
from fcmrt.export.engine import with_half_weights
from fcmrt.export.foreign_state import foreign_key
from fcmrt.export.layers import initialise
from fcmrt.export.lictcm import LicTcm, LicTcmConfig
from fcmrt.export.lictcm_engine import deploy as deploy_tcm
from fcmrt.export.lictcm_engine import deploy_lictcm
from fcmrt.export.lictcm_state import AUTHORS as TCM_AUTHORS
from fcmrt.export.lmsfc import LmsfcConfig
from fcmrt.export.lmsfc_engine import Analysis
from fcmrt.export.lmsfc_published import PublishedLmsfc
from fcmrt.export.lmsfc_published_engine import deploy as deploy_v1
from fcmrt.export.lmsfc_published_engine import deploy_published_lmsfc
from fcmrt.export.lmsfc_v1_state import AUTHORS as V1_AUTHORS
from fcmrt.export.lmsfc_v2 import LmsfcV2Config
from fcmrt.export.lmsfc_v2_engine import deploy as deploy_v2
from fcmrt.export.lmsfc_v2_engine import deploy_lmsfc_v2
from fcmrt.export.lmsfc_v2_published import PublishedLmsfcV2
from fcmrt.export.lmsfc_v2_state import ATTENTION, authors_names
from fcmrt.export.medians import LessMedians
from fcmrt.export.mosaic import Layout, Tile, measured_range
from fcmrt.export.mosaic_engine import deploy_mosaics
from fcmrt.verify import Configuration

from . import report
from .brief_training import start_prior, train
from .codecs import task_features
from .compressai_models import make, planes
from .compressai_models import train as train_model
from .evaluation_set import photos, whole_first
from .teacher_forced import against_networks
from .zoo import COMPARED_SIZE, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from fcmrt.export import Deployment
    from fcmrt.export.foreign_state import Names
    from fcmrt.export.mosaic import Range

    from .codec_samples import Features
    from .report import Row

PICTURES, QUICK_PICTURES = 24, 1
STEPS, QUICK_STEPS = 60, 1
WIDTH = 48
CONTEXT = ContextConfig(groups=(8, 8, 16, 32), channel_widths=(48, 32), aggregation_widths=(96, 80))
GAINS = {3: 6, 4: 8}
LATENT_DEVIATION = 3.0  # of LIC-TCM's y before training
TCM_WIDTH = 32  # all other widths are those that the published models share
MOSAIC_ELIC = {"N": 48, "M": 64, "groups": [8, 8, 16, 16, 16]}
MOSAIC_TCM = LicTcmConfig(
    width=16,
    latent_channels=80,
    head_channels=(4, 8, 16),
    hyper_channels=48,
    hyper_head_channels=16,
    squeezed=32,
    slice_widths=(56, 32),
)
RUNTIME = fcmrt.RuntimeOptions(threads=1)
COLUMNS = {
    "family": "",
    "inputs": "",
    "reference": "",
    "pictures": "d",
    "symbols": "d",
    "differing": "d",
    "ties": "d",
    "nonzero": ".3f",
    "features": ".1e",
}


class Trained(NamedTuple):
    """A codec ready to be compared."""

    deployment: Deployment
    pictures: Sequence[Features]


@dataclass(frozen=True)
class Family:
    """What is compared."""

    inputs: str
    """NanoDet's or MoveNet's features, or pictures."""
    make: Callable[[Sequence[Features], int], Trained]
    """From inputs and steps of training to a codec, and the inputs as it takes them."""


def _authors_state(codec: nn.Module, names: Names) -> dict[str, Tensor]:
    """Weights in the authors' layout."""
    return {foreign_key(codec, k, names): p.detach() for k, p in codec.named_parameters()}


def _lmsfc_v1(pictures: Sequence[Features], steps: int) -> Trained:
    """As many channels of each level as the finest has: the authors' code has one number."""
    names = list(pictures[0])
    channels = min(len(level) for level in pictures[0].values())
    pictures = [{name: level[:channels] for name, level in one.items()} for one in pictures]
    torch.manual_seed(0)
    codec = PublishedLmsfc(
        LmsfcConfig(
            feature_channels=(channels,) * len(names),
            width=WIDTH,
            latent_channels=WIDTH,
            hyper_channels=WIDTH,
        )
    )
    start_prior(codec.prior)
    folded = deploy_published_lmsfc(codec, names)
    hyper_analysis = LessMedians(codec.hyper_analysis, codec.prior.medians)
    unfolded = {
        "analysis": Analysis(codec.analysis, hyper_analysis),
        "synthesis": codec.synthesis,
    }
    side = folded.padding.multiple
    train(folded.with_networks(unfolded), codec.prior, pictures, steps, side)
    return Trained(deploy_v1(_authors_state(codec, V1_AUTHORS), level_names=names), pictures)


def _lmsfc_v2(pictures: Sequence[Features], steps: int) -> Trained:
    names = list(pictures[0])
    levels = len(names)
    torch.manual_seed(0)
    config = LmsfcV2Config(
        feature_channels=tuple(len(level) for level in pictures[0].values()),
        width=WIDTH,
        latent_stride=2**levels,
        hyper_widths=(24, 36),
        hyper_out=64,
        attention_levels=ATTENTION[levels],
        context=CONTEXT,
    )
    codec = PublishedLmsfcV2(config, GAINS[levels])
    codec.apply(initialise)
    start_prior(codec.prior)
    with torch.no_grad():  # half an octave from gain to gain; 1 is the default quality's
        octaves = 0.5 * (torch.arange(GAINS[levels])[:, None] - (GAINS[levels] - 1) // 2)
        codec.gain.values.copy_((2**octaves).expand_as(codec.gain.values))
        codec.inverse_gain.values.copy_(1 / codec.gain.values)
    deployment = deploy_lmsfc_v2(codec, names)
    train(deployment, codec.prior, pictures, steps, deployment.padding.multiple)
    state = _authors_state(codec, authors_names(levels))
    return Trained(deploy_v2(state, level_names=names), pictures)


def _lic_tcm(config: LicTcmConfig, pictures: Sequence[Features], steps: int) -> LicTcm:
    torch.manual_seed(0)
    codec = LicTcm(config)
    start_prior(codec.prior)
    (name,) = pictures[0]
    side = config.multiple
    with torch.no_grad():  # wide enough from the first step on that most of y is not 0
        y = codec.analysis(torch.from_numpy(pictures[0][name][None, :, :side, :side]))
        last = cast("nn.Conv2d", codec.analysis[-1])
        last.weight *= LATENT_DEVIATION / y.std()
    deployment = deploy_lictcm(codec, name)
    train(deployment, codec.prior, pictures, steps, side, batch=2)
    return codec


def _lic_tcm_authors(pictures: Sequence[Features], steps: int) -> Trained:
    codec = _lic_tcm(LicTcmConfig(width=TCM_WIDTH), pictures, steps)
    (name,) = pictures[0]
    return Trained(deploy_tcm(_authors_state(codec, TCM_AUTHORS), level_names=[name]), pictures)


def _tiled(pictures: Sequence[Features], ranges: Mapping[str, Range]) -> list[Features]:
    """The finest level of each as a mosaic, which is what a codec of pictures is trained on."""
    name, (low, high) = next(iter(ranges.items()))
    tile = Tile(Layout.square(len(low)), low, high)
    return [{"x": tile(torch.from_numpy(one[name])[None])[0].numpy()} for one in pictures]


def _ranges(pictures: Sequence[Features]) -> dict[str, Range]:
    return {
        name: measured_range(torch.from_numpy(one[name])[None] for one in pictures)
        for name in pictures[0]
    }


def _mosaics(
    picture: Deployment, pictures: Sequence[Features], ranges: dict[str, Range]
) -> Trained:
    strides = [2**k for k in range(len(ranges))]
    return Trained(deploy_mosaics(picture, ranges, strides), pictures)


def _elic_mosaic(pictures: Sequence[Features], steps: int) -> Trained:
    from fcmrt.export import find_family

    name, ranges = "elic2022-official", _ranges(pictures)
    model = make(name, MOSAIC_ELIC)
    images = [
        np.round(255 * one["x"].transpose(1, 2, 0)).astype(np.uint8)
        for one in _tiled(pictures, ranges)
    ]
    train_model(model, images, steps)
    return _mosaics(find_family(name)(model.state_dict()), pictures, ranges)


def _lic_tcm_mosaic(pictures: Sequence[Features], steps: int) -> Trained:
    ranges = _ranges(pictures)
    codec = _lic_tcm(MOSAIC_TCM, _tiled(pictures, ranges), steps)
    return _mosaics(deploy_lictcm(codec), pictures, ranges)


NANODET, MOVENET, PHOTOS = "nanodet", "movenet", "pictures"
FAMILIES = {
    "lmsfc-v1-authors": Family(MOVENET, _lmsfc_v1),
    "lmsfc-v2-authors": Family(MOVENET, _lmsfc_v2),
    "lmsfc-v2-authors-3": Family(NANODET, _lmsfc_v2),
    "lic-tcm": Family(PHOTOS, _lic_tcm_authors),
    "elic2022-official-mosaic": Family(NANODET, _elic_mosaic),
    "lic-tcm-mosaic": Family(NANODET, _lic_tcm_mosaic),
}
SHIPPED = "lmsfc-v1-nanodet"


def inputs(kind: str, count: int) -> list[Features]:
    """Give features of a task, or pictures: float32 `[C, H, W]` by level."""
    if kind != PHOTOS:
        return task_features(kind, count)
    items = whole_first(photos().items)[:count]
    return [{"picture": planes(cut(item.image, *COMPARED_SIZE))} for item in items]


def compare(name: str, pictures: Sequence[Features], steps: int) -> Row:
    """Make a codec, train it, and compare its engine with its networks.

    Args:
        name: Of `FAMILIES`, or `SHIPPED`, which is not trained.
        pictures: Its inputs.
        steps: Of training.
    """
    runner = [Configuration("onnxruntime", RUNTIME)]
    if name == SHIPPED:
        engine = fcmrt.Engine.builtin(name)
        (row,) = against_networks(engine, None, pictures, runner)
        reference = "its graphs in float64"
    else:
        made, pictures = FAMILIES[name].make(pictures, steps)
        deployment = with_half_weights(made)
        with tempfile.TemporaryDirectory() as folder:
            engine = write(Path(folder) / "codec.fcmrt", deployment, name=name)
        (row,) = against_networks(engine, deployment, pictures, runner)
        reference = "PyTorch networks"
    packet = fcmrt.Encoder(engine, options=RUNTIME).walk(pictures[0])
    symbols = np.concatenate([integers.symbols for integers in packet.integers.values()])
    return {
        "family": name,
        "inputs": FAMILIES[name].inputs if name in FAMILIES else NANODET,
        "reference": reference,
        **row,
        "nonzero": float(np.mean(symbols != 0)),
    }


def measure(arguments: argparse.Namespace) -> tuple[report.Report, str]:
    """Run the benchmark.

    Args:
        arguments: The parsed command line.

    Returns:
        What was measured, and the same as text.
    """
    quick: bool = arguments.quick
    count = arguments.pictures or (QUICK_PICTURES if quick else PICTURES)
    steps = arguments.steps or (QUICK_STEPS if quick else STEPS)
    names = arguments.family or [SHIPPED, *FAMILIES]
    torch.set_num_threads(1)
    kinds = {name: FAMILIES[name].inputs if name in FAMILIES else NANODET for name in names}
    rows: list[Row] = []
    notes = [
        "symbols: integers compared; differing: those that differ from the reference's; ties: of "
        "these, how many were rounded from within 1e-4 of the middle; nonzero: share of the first "
        "picture's symbols that are not 0",
        "features: largest difference as a share of the level's largest value, each step given "
        "the reference's tensors",
        f"weights seeded and trained for {steps} steps on crops of the same inputs (a codec given "
        "mosaics on those of the finest level), then rounded to float16 as engines store them; the "
        f"shipped {SHIPPED} is as it ships",
        f"pictures are the middle {COMPARED_SIZE[0]} x {COMPARED_SIZE[1]} pixels of photos",
    ]
    for kind in dict.fromkeys(kinds.values()):
        try:
            pictures = inputs(kind, count)
        except (FileNotFoundError, FcmrtError) as error:
            notes.append(f"nothing of {kind} was measured: {error}")
            continue
        for name in (name for name in names if kinds[name] == kind):
            report.progress(f"{name}: {len(pictures)} inputs")
            rows.append(compare(name, pictures, steps))
    sizes = {"width": WIDTH, "lic_tcm_width": TCM_WIDTH, "mosaic_elic": MOSAIC_ELIC, "steps": steps}
    engines = [fcmrt.Engine.builtin(SHIPPED)] if SHIPPED in names else []
    command = report.command_line("benchmarks.families")
    result = report.Report(command, rows, sizes, notes, engines=engines)
    return result, report.table(rows, COLUMNS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--family",
        metavar="NAME",
        action="append",
        choices=[SHIPPED, *FAMILIES],
        help="only this one; may be given more than once",
    )
    parser.add_argument("--pictures", type=report.positive, help=f"default {PICTURES}")
    parser.add_argument("--steps", type=report.positive, help=f"of training; default {STEPS}")
    report.add_arguments(parser)
    arguments = parser.parse_args(argv)
    result, text = measure(arguments)
    report.emit(result, text, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
