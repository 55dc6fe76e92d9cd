"""An importance model and its network in one file, between training and export."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch

from fcmrt.errors import EngineError, ExportError
from fcmrt.export.checkpoint import read_checkpoint
from fcmrt.export.importance.predictor import ImportancePredictor
from fcmrt.importance_model import ImportanceModel, importance_value, parse_importance
from fcmrt.strictjson import loads

_LARGEST = 1 << 20


def write(
    path: str | os.PathLike[str],
    model: ImportanceModel,
    network: ImportancePredictor,
    sizes: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Writes the file.

    Args:
        path: Where to.
        model: The model.
        network: Its network.
        sizes: What the network was made with: the arguments of `ImportancePredictor`.
        about: What people should know of it; free JSON.
    """
    value = {"model": importance_value(model), "sizes": dict(sizes), "about": dict(about)}
    torch.save({"importance": json.dumps(value), "network": network.state_dict()}, path)


def read(
    path: str | os.PathLike[str],
) -> tuple[ImportanceModel, ImportancePredictor, dict[str, Any]]:
    """Reads the file: the model, its network, and what people should know of it.

    Raises:
        ExportError: It is no such file.
        OSError: It cannot be read.
    """
    found = read_checkpoint(path)
    try:
        value = loads(found["importance"].encode("utf-8"), os.fspath(path), _LARGEST)
        model = parse_importance(value["model"], "model")
        network = ImportancePredictor(**value["sizes"])
        network.load_state_dict(found["network"])
    except (KeyError, TypeError, AttributeError, RuntimeError, EngineError) as error:
        raise ExportError(
            f"{os.fspath(path)} is not a file of fcmrt.export.importance: {error}"
        ) from error
    return model, network.eval(), value.get("about", {})
