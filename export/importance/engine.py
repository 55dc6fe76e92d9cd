"""An engine with an importance model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import torch

from fcmrt.engine import Engine
from fcmrt.engine_writer import write_engine
from fcmrt.errors import EngineError
from fcmrt.export.importance.predictor import ImportancePredictor
from fcmrt.export.onnx import export_graph
from fcmrt.importance_model import OUTPUT, ImportanceModel
from fcmrt.spec import FeatureSpec


def write_with_importance(
    path: str | os.PathLike[str],
    engine: Engine,
    model: ImportanceModel,
    network: ImportancePredictor,
) -> Engine:
    """Writes an engine that also knows what its levels' bits are worth.

    All that was there before stays byte for byte; but the digest is another, so it does not decode
    the other's packets.

    Args:
        path: Where to.
        engine: Any whose levels can be given bits apart.
        model: Of its levels.
        network: Predicts their importances.

    Returns:
        The new engine, as loaded back.

    Raises:
        EngineError: It has an importance model already, or this one does not go with it.
        OSError: The file cannot be written.
    """
    manifest = engine.manifest
    if manifest.importance is not None:
        raise EngineError(f"engine {manifest.name!r} has an importance model already")
    check_levels(manifest.features, network)
    graphs = {name: engine.graph(name) for name in manifest.graphs}
    side = 2 * manifest.padding.multiple
    examples = [
        torch.zeros(1, f.channels, side // f.stride, side // f.stride) for f in manifest.features
    ]
    names = [feature.name for feature in manifest.features]
    graphs[model.graph] = export_graph(network, examples, names, [OUTPUT])
    tables = {name: engine.tables(name).to_bytes() for name in manifest.tables}
    return write_engine(path, dataclasses.replace(manifest, importance=model), graphs, tables)


def check_levels(features: Sequence[FeatureSpec], network: ImportancePredictor) -> None:
    """Checks that a network predicts the importances of a codec's levels.

    Raises:
        EngineError: It was made for others.
    """
    channels = tuple(feature.channels for feature in features)
    if network.channels != channels:
        raise EngineError(
            f"the predictor of importances takes levels of {_list(network.channels)} channels; the "
            f"codec's have {_list(channels)}. Make one with this codec: "
            "python -m fcmrt.export.importance"
        )


def _list(channels: Sequence[int]) -> str:
    return ", ".join(map(str, channels))
