"""Checks networks against their deployment, before graphs are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fcmrt.errors import ExportError
from fcmrt.manifest import Manifest, Member
from fcmrt.manifestjson import read_manifest, write_manifest
from fcmrt.spec import TensorSpec, tensor_size

from .deployment import Deployment


def check_schedule(deployment: Deployment, manifest: Manifest) -> None:
    """Proves the schedule, which needs no graphs.

    Raises:
        EngineError: It is not valid; the text says what does not hold, and where.
    """
    graphs = {name: Member(f"graphs/{name}.onnx", "0" * 64, 1) for name in deployment.networks}
    tables = {name: Member(f"tables/{name}.bin", "0" * 64, 1) for name in deployment.tables}
    read_manifest(write_manifest(dataclasses.replace(manifest, graphs=graphs, tables=tables)))


def check_outputs(
    deployment: Deployment, name: str, network: nn.Module, inputs: Sequence[Tensor]
) -> None:
    """Runs a network once, and checks its outputs against the schedule.

    Args:
        deployment: Its tensors are declared.
        name: Of the graph.
        network: In evaluation mode.
        inputs: Examples of `example_side`.

    Raises:
        ExportError: It does not take its inputs, or gives other tensors than are declared.
    """
    run = deployment.runs[name]
    given = ", ".join(f"{n} {list(x.shape)}" for n, x in zip(run.inputs, inputs, strict=True))
    try:
        with torch.no_grad():
            found = network(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ExportError(
            f"graph {name!r}: the network fails on what the schedule gives it ({given}): {error}"
        ) from error
    outputs = [found] if isinstance(found, Tensor) else found
    tensors = isinstance(outputs, list | tuple) and all(isinstance(o, Tensor) for o in outputs)
    if not tensors or len(outputs) != len(run.outputs):
        kind = f"{len(outputs)} of them" if tensors else f"a {type(found).__name__}"
        raise ExportError(
            f"graph {name!r}: the network gives {kind}; the schedule wants tensors, "
            f"{len(run.outputs)} in a tuple: {', '.join(run.outputs)}"
        )
    for key, output in zip(run.outputs, outputs, strict=True):
        spec = deployment.tensors[key]
        rows, columns = tensor_size(spec, example_side(deployment))
        shape = tuple(output.shape)
        if shape[:2] != (1, spec.channels) or len(shape) != 4 or not _covers(shape, rows, columns):
            raise ExportError(
                f"graph {name!r}: the network gives {key!r} as {list(shape)}, from {given}; "
                f"{spec.channels} channels at stride {spec.stride} are "
                f"[1, {spec.channels}, {rows}, {columns}]"
            )


def _covers(shape: tuple[int, ...], rows: int, columns: int) -> bool:
    """Returns whether a map has at least so many cells; more are cropped."""
    return shape[2] >= rows and shape[3] >= columns


def example_side(deployment: Deployment) -> tuple[int, int]:
    """Returns the canonical size of examples, twice the least."""
    side = 2 * deployment.padding.multiple
    return side, side


def example(deployment: Deployment, name: str) -> Tensor:
    """Returns a tensor of the schedule, of zeros."""
    if name == deployment.quality.input:
        return torch.zeros(1, 1, 1, 1)
    levels = {feature.name: feature.tensor for feature in deployment.features}
    spec: TensorSpec = {**deployment.tensors, **levels}[name]
    return torch.zeros(1, spec.channels, *tensor_size(spec, example_side(deployment)))
