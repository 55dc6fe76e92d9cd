"""From a trained codec and a cache of features to what its levels are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from fcmrt.export.codec import FeatureCodec
from fcmrt.export.importance.fit import (
    curve_fits,
    fit_model,
    importance_maps,
    is_at_bound,
    weights_of,
)
from fcmrt.export.importance.measure import Measured, measure, precoded
from fcmrt.export.importance.predictor import ImportancePredictor, deviance, train
from fcmrt.export.importance.split import Split, split_of
from fcmrt.export.layers import FeatureNorm
from fcmrt.export.train.cache import Cache
from fcmrt.export.train.loss import TaskHead, feature_statistics
from fcmrt.export.train.schedule import LEVEL_SPREAD
from fcmrt.export.train.source import STATISTICS_STEP, Features
from fcmrt.importance_model import OUTPUT, ImportanceModel

CURVE_STEPS = (-20, -14, -8, -2, 2, 6, 10, 14, 18, 22, 26)
LABEL_STEPS = (6, 14)
PRECODED_STEP = 6
"""At which features are coded for a predictor that sees coded ones."""
BATCH = 4
STATISTICS = 32  # crops

Fitted = tuple[ImportancePredictor, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Made:
    """What `files.write` writes, and `write_with_importance` puts into an engine."""

    model: ImportanceModel
    network: ImportancePredictor
    sizes: Mapping[str, Any]
    """Arguments of `ImportancePredictor`."""
    about: Mapping[str, Any]
    """What people should know: JSON."""


def make_importance(
    codec: FeatureCodec,
    head: TaskHead[Any],
    cache: Cache,
    *,
    crops: int = 1200,
    curve_crops: int = 64,
    epochs: int = 20,
    seed: int = 0,
    compare_coded: bool = False,
    tell: Callable[[str], None] = print,
) -> Made:
    """Measures, models and predicts what the levels' bits are worth to the task.

    Args:
        codec: Trained; one that gives levels qualities of their own; in float32, on the CPU.
        head: The frozen back half of the cache's task.
        cache: Features of training pictures.
        crops: How many the predictor is trained on and judged by.
        curve_crops: How many others the curves are fitted to.
        epochs: Passes over the crops that are trained on.
        seed: Of all that is drawn, but the network's beginning (`torch.manual_seed`).
        compare_coded: Also train a predictor on features that were coded and decoded.
        tell: Receives what people should read meanwhile.

    Raises:
        ValueError: The codec fuses the levels, or the cache has too few crops or pictures.
    """
    if cache.count < crops + curve_crops:
        raise ValueError(f"{crops + curve_crops} crops of a cache of {cache.count}")
    rng = np.random.default_rng([seed, 5])
    chosen = np.sort(rng.choice(cache.count, crops + curve_crops, replace=False))
    rng.shuffle(chosen)
    curves = _measured(codec, head, cache, chosen[:curve_crops], CURVE_STEPS, together=True)
    model = fit_model(curves, cache.task.feature_names, graph=OUTPUT, spread=LEVEL_SPREAD)
    tell(describe(model, curves))

    numbers = chosen[curve_crops:]
    labels = importance_maps(_measured(codec, head, cache, numbers, LABEL_STEPS))
    shown = cache.shown()
    split = split_of(None if shown is None else [shown[n] for n in numbers], crops, seed)
    sizes: dict[str, Any] = {
        "channels": list(cache.task.feature_channels),
        "strides": [stride // cache.task.strides[0] for stride in cache.task.strides],
    }

    def fitted(features: Callable[[NDArray[np.int64]], Features]) -> Fitted:
        network = ImportancePredictor(**sizes)
        normalise(network, cache, head)
        return network, fit_predictor(network, features, labels, split, epochs)

    network, figures = fitted(lambda i: cache.crops(numbers[i]))
    tell(f"kept back: {split.words}")
    about: dict[str, Any] = {
        **figures,
        "kept_back": split.words,
        "curve_fits": dict(zip(model.levels, map(float, curve_fits(curves)), strict=True)),
        "crops": crops,
        "curve_crops": curve_crops,
        "seed": seed,
    }
    if compare_coded:
        coded = _precoded(codec, cache, numbers)
        about["coded"] = {"step": PRECODED_STEP, **fitted(lambda i: [x[i] for x in coded])[1]}
    return Made(model, network, sizes, about)


def fit_predictor(
    network: ImportancePredictor,
    crops: Callable[[NDArray[np.int64]], Features],
    labels: NDArray[np.float64],
    split: Split,
    epochs: int,
) -> Mapping[str, float]:
    """Trains a predictor, and says how well it does on crops that were kept back.

    Args:
        network: Normalisation set; trained in place.
        crops: Gives the features of crops by their places among the labels.
        labels: Importances of parts, `[crops, levels, h, w]`.
        split: Which crops are trained on, and which are kept back.
        epochs: Passes over the crops that are trained on.
    """
    train(network, lambda i: crops(split.trained[i]), labels[split.trained], epochs=epochs)
    return _compared(network, crops(split.held), labels[split.held])


def normalise(network: ImportancePredictor, cache: Cache, head: TaskHead[Any]) -> None:
    """Sets the normalisation of a predictor's features, as a codec's."""
    held = cache.held_out(STATISTICS_STEP, STATISTICS)
    features = [torch.from_numpy(level).float() for level in held]
    statistics = zip(*feature_statistics(features, head.robust), strict=True)
    for norm, (mean, std) in zip(network.norms, statistics, strict=True):
        cast("FeatureNorm", norm).set(mean, std)


def describe(model: ImportanceModel, measured: Measured) -> str:
    """The models of the levels, how well they fit, and the mean of MFIBA's weights, in words."""
    lines = []
    weights, fits = weights_of(measured).mean(0), curve_fits(measured)
    for (name, level), weight, fit in zip(model.levels.items(), weights, fits, strict=True):
        lines.append(
            f"{name}: loss = {level.alpha:.4g} rate^{level.beta:.3f}, R2 {level.fit:.2f}; the "
            f"curve's R2 {fit:.2f}; mean weight {weight:.3f}; losses "
            f"{', '.join(f'{loss:.4f}' for loss in level.losses)}"
        )
        if is_at_bound(level.beta):
            lines.append(
                f"warning: beta of {name} lies at its bound: the loss does not follow a power of "
                "the rate, and alpha and beta mean nothing; the curve is what encoders use"
            )
    return "\n".join(lines)


def _precoded(codec: FeatureCodec, cache: Cache, numbers: NDArray[np.int64]) -> Features:
    """All of these crops, coded and decoded; in memory."""
    parts = [precoded(codec, features, PRECODED_STEP) for features in _in_batches(cache, numbers)]
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
    batches = _in_batches(cache, numbers)
    return measure(codec, head, cache.task, batches, steps, together=together)


def _in_batches(cache: Cache, numbers: NDArray[np.int64]) -> Iterator[Features]:
    for first in tqdm(range(0, len(numbers), BATCH), mininterval=5.0):
        yield cache.crops(numbers[first : first + BATCH])


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
