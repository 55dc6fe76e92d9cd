"""Checks an importance model against the rest of its engine: levels, and its graph's ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import EngineError
from .groups import quality_groups
from .importance_model import OUTPUT, ImportanceModel
from .manifest import Manifest
from .onnxwire import FLOAT32, GraphInfo


def check_importance(manifest: Manifest, model: ImportanceModel, info: GraphInfo) -> None:
    """Checks the levels of an importance model, and the graph that predicts importances.

    Args:
        manifest: The engine's.
        model: The engine's.
        info: What the scan of its graph has found.

    Raises:
        EngineError: They do not fit the engine.
    """
    place = "manifest.importance"
    groups = [group.name for group in quality_groups(manifest)]
    if list(model.levels) != groups:
        raise EngineError(
            f"{place}.levels are {_list(model.levels)}; levels that can be given bits apart are "
            f"{_list(groups)}, in this order"
        )
    wanted = {feature.name: feature.channels for feature in manifest.features}
    wanted[OUTPUT] = len(groups)
    ports = (*info.inputs, *info.outputs)
    if sorted(port.name for port in ports) != sorted(wanted) or info.outputs[0].name != OUTPUT:
        raise EngineError(
            f"{place}: graph {model.graph!r} takes {_list(p.name for p in info.inputs)} and gives "
            f"{_list(p.name for p in info.outputs)}; it must take all features and give {OUTPUT}"
        )
    for port in ports:
        shape = (1, wanted[port.name], None, None)
        if port.dtype != FLOAT32 or not _fits(port.dims, shape):
            raise EngineError(
                f"{place}: {port.name!r} must be float32 [1, {shape[1]}, H, W], but has the ONNX "
                f"element type {port.dtype} and {port.dims} in graph {model.graph!r}"
            )


def _fits(dims: Sequence[int | None] | None, shape: Sequence[int | None]) -> bool:
    """Whether declared sizes agree with a shape; None on either side is any size."""
    if dims is None:
        return True
    return len(dims) == len(shape) and all(
        dim in (None, side) for dim, side in zip(dims, shape, strict=True)
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(name[:64] for name in names) or "nothing"
