"""Command line: what the levels of a trained codec are worth to its task.

python -m fcmrt.export.importance CHECKPOINT --cache CACHE --out FILE [--compare-coded]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fcmrt.export.checkpoint import read_checkpoint
from fcmrt.export.codec import FeatureCodec
from fcmrt.export.importance import files
from fcmrt.export.importance.fit import fit_model, importance_maps, weights_of
from fcmrt.export.importance.measure import Measured, measure, precoded
from fcmrt.export.importance.predictor import (
    ImportancePredictor,
    deviance,
    train,
)
from fcmrt.export.layers import FeatureNorm
from fcmrt.export.train.cache import Cache
from fcmrt.export.train.card import command_of
from fcmrt.export.train.heads import HEADS
from fcmrt.export.train.loss import TaskHead, feature_statistics
from fcmrt.export.train.schedule import LEVEL_SPREAD
from fcmrt.export.train.source import STATISTICS_STEP, Features
from fcmrt.export.trained import codec_of
from fcmrt.importance_model import OUTPUT, ImportanceModel

CURVE_STEPS = (-20, -14, -8, -2, 2, 6, 10, 14, 18, 22, 26)
LABEL_STEPS = (6, 14)
PRECODED_STEP = 6
"""At which features are coded for a predictor that sees coded ones."""
BATCH = 4
HELD_BACK = 5  # every so-manyth picture is not trained on, but compared with
STATISTICS = 32  # crops

Fitted = tuple[ImportancePredictor, Mapping[str, float]]


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m fcmrt.export.importance",
        description="Measure, model and predict what the levels' bits are worth to the task.",
    )
    parser.add_argument("checkpoint", type=Path, help="of fcmrt.export.train: a codec by level")
    parser.add_argument("--cache", type=Path, required=True, help="of fcmrt.export.train.cache")
    parser.add_argument("--out", type=Path, required=True, help="for fcmrt export --importance")
    parser.add_argument("--crops", type=int, default=1200, help="to train the predictor on")
    parser.add_argument("--curve-crops", type=int, default=64, help="to fit the curves to")
    parser.add_argument("--epochs", type=int, default=20, help="of the predictor's training")
    parser.add_argument(
        "--compare-coded",
        action="store_true",
        help="also train a predictor on features that were coded and decoded, as MFIBA does, and "
        "say how well it predicts; it is not kept",
    )
    parser.add_argument("--json", type=Path, help="write what the file says of itself here, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Do it all, and say how well it fits."""
    given = sys.argv[1:] if arguments is None else arguments
    args = make_parser().parse_args(given)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    cache = Cache(args.cache)
    head = HEADS[cache.task.name](cache.back)
    codec = codec_of(read_checkpoint(args.checkpoint))
    rng = np.random.default_rng([args.seed, 5])
    chosen = np.sort(rng.choice(cache.count, args.crops + args.curve_crops, replace=False))
    rng.shuffle(chosen)
    curves = _measured(codec, head, cache, chosen[: args.curve_crops], CURVE_STEPS, together=True)
    names = cache.task.feature_names
    model = fit_model(curves, names, graph=OUTPUT, spread=LEVEL_SPREAD)
    print(describe(model, weights_of(curves)))

    numbers = chosen[args.curve_crops :]
    labels = importance_maps(_measured(codec, head, cache, numbers, LABEL_STEPS))
    sizes: dict[str, Any] = {
        "channels": list(cache.task.feature_channels),
        "strides": [stride // cache.task.strides[0] for stride in cache.task.strides],
    }

    def fitted(crops: Callable[[NDArray[np.int64]], Features]) -> Fitted:
        network = ImportancePredictor(**sizes)
        normalise(network, cache, head)
        return network, fit_predictor(network, crops, labels, args.epochs)

    network, figures = fitted(lambda i: cache.crops(numbers[i]))
    about: dict[str, Any] = {
        **figures,
        "crops": args.crops,
        "curve_crops": args.curve_crops,
        "seed": args.seed,
        "command": command_of(given, "fcmrt.export.importance"),
    }
    if args.compare_coded:
        coded = _precoded(codec, cache, numbers)
        about["coded"] = {"step": PRECODED_STEP, **fitted(lambda i: [x[i] for x in coded])[1]}
    text = json.dumps(about, indent=1)
    print(text)
    if args.json is not None:
        args.json.write_text(text + "\n", encoding="utf-8")
    files.write(args.out, model, network, sizes, about)


def fit_predictor(
    network: ImportancePredictor,
    crops: Callable[[NDArray[np.int64]], Features],
    labels: NDArray[np.float64],
    epochs: int,
) -> Mapping[str, float]:
    """Trains a predictor, and says how well it does on crops that were kept back.

    Args:
        network: Normalisation set; trained in place.
        crops: Gives the features of crops by their places among the labels.
        labels: Importances of parts, `[crops, levels, h, w]`.
        epochs: Passes over the crops that are trained on.
    """
    held = np.arange(len(labels)) % HELD_BACK == 0
    kept = np.flatnonzero(~held)
    train(network, lambda i: crops(kept[i]), labels[~held], epochs=epochs)
    return _compared(network, crops(np.flatnonzero(held)), labels[held])


def normalise(network: ImportancePredictor, cache: Cache, head: TaskHead[Any]) -> None:
    """Sets the normalisation of a predictor's features, as a codec's."""
    held = cache.held_out(STATISTICS_STEP, STATISTICS)
    features = [torch.from_numpy(level).float() for level in held]
    statistics = zip(*feature_statistics(features, head.robust), strict=True)
    for norm, (mean, std) in zip(network.norms, statistics, strict=True):
        cast("FeatureNorm", norm).set(mean, std)


def describe(model: ImportanceModel, weights: NDArray[np.float64]) -> str:
    """The models of the levels, and the mean of MFIBA's weights, in words."""
    lines = []
    for (name, level), weight in zip(model.levels.items(), weights.mean(0), strict=True):
        lines.append(
            f"{name}: loss = {level.alpha:.4g} rate^{level.beta:.3f}, R2 {level.fit:.2f}; mean "
            f"weight {weight:.3f}; losses {', '.join(f'{loss:.4f}' for loss in level.losses)}"
        )
    return "\n".join(lines)


def _precoded(codec: FeatureCodec, cache: Cache, numbers: NDArray[np.int64]) -> Features:
    """All of these crops, coded and decoded; in memory."""
    firsts = tqdm(range(0, len(numbers), BATCH), mininterval=5.0)
    parts = [
        precoded(codec, cache.crops(numbers[first : first + BATCH]), PRECODED_STEP)
        for first in firsts
    ]
    return [np.concatenate(level) for level in zip(*parts, strict=True)]


def _measured(
    codec: FeatureCodec,
    head: TaskHead[Any],
    cache: Cache,
    numbers: NDArray[np.int64],
    steps: tuple[int, ...],
    *,
    together: bool = False,
) -> Measured:
    def batches() -> Iterator[Features]:
        for first in tqdm(range(0, len(numbers), BATCH), mininterval=5.0):
            yield cache.crops(numbers[first : first + BATCH])

    return measure(codec, head, cache.task, batches(), steps, together=together)


@torch.no_grad()
def _compared(
    network: ImportancePredictor, features: Features, labels: NDArray[np.float64]
) -> dict[str, float]:
    """How well importances are predicted, against the mean of all as the prediction."""
    wanted = torch.from_numpy(labels.mean((2, 3))).float()
    found = network(*(torch.from_numpy(level).float() for level in features)).exp().mean((2, 3))
    mean = wanted.mean(0).expand_as(wanted)
    logs = [np.log(np.maximum(one.numpy(), 1e-3)).ravel() for one in (found, wanted)]
    return {
        "deviance": float(deviance(found, wanted)),
        "deviance_of_mean": float(deviance(mean, wanted)),
        "log_correlation": float(np.corrcoef(*logs)[0, 1]),
        "log_error": float(np.std(logs[0] - logs[1])),
    }


if __name__ == "__main__":
    main()
