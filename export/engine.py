"""From a deployment to an engine file."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fcmrt.engine import Engine
from fcmrt.engine_writer import write_engine
from fcmrt.spec import TensorSpec, tensor_size

from .deployment import Deployment
from .exact import IntegerNetwork
from .integers import with_integers
from .onnx import export_graph


def write(
    path: str | os.PathLike[str],
    deployment: Deployment,
    *,
    name: str,
    card: Mapping[str, Any] | None = None,
    half_weights: bool = True,
) -> Engine:
    """Writes a codec as an engine file.

    It is `exact` if all networks of the entropy path are `IntegerNetwork`s, else `same-engine`.

    Args:
        path: Where to.
        deployment: Its networks in float32, on the CPU; borrowed.
        name: The engine's name.
        card: What the codec was trained on and how it fares; free JSON.
        half_weights: Store weights of float networks as float16; the arithmetic stays float32.

    Returns:
        The engine, as loaded back.

    Raises:
        EngineError: The result is not a valid engine, or an exact network is not proved.
    """
    path_networks = deployment.entropy_path
    exact = all(isinstance(deployment.networks[n], IntegerNetwork) for n in path_networks)
    manifest = deployment.manifest(name=name, card=card or {})
    graphs, proofs = {}, {}
    for graph, network in with_integers(deployment).items():
        if isinstance(network, IntegerNetwork):
            graphs[graph] = network.to_onnx()
            proofs[graph] = dict(network.proof().layers)
        else:
            graphs[graph] = _float_graph(deployment, graph, network, half_weights)
    if exact:
        manifest = dataclasses.replace(
            manifest, profile="exact", exact={n: proofs[n] for n in path_networks}
        )
    tables = {key: made.to_bytes() for key, made in deployment.tables.items()}
    return write_engine(path, manifest, graphs, tables)


def _float_graph(
    deployment: Deployment, name: str, network: nn.Module, half_weights: bool
) -> bytes:
    run = deployment.runs[name]
    inputs = [_example(deployment, tensor) for tensor in run.inputs]
    scalars = {deployment.quality.input} & set(run.inputs)
    return export_graph(
        network, inputs, run.inputs, run.outputs, scalars=scalars, half_weights=half_weights
    )


def _example(deployment: Deployment, name: str) -> Tensor:
    """A tensor of the size that it has at twice the least canonical size."""
    if name == deployment.quality.input:
        return torch.zeros(1, 1, 1, 1)
    levels = {feature.name: feature.tensor for feature in deployment.features}
    spec: TensorSpec = {**deployment.tensors, **levels}[name]
    side = 2 * deployment.padding.multiple
    return torch.zeros(1, spec.channels, *tensor_size(spec, (side, side)))


def with_half_weights(deployment: Deployment) -> Deployment:
    """Returns a copy whose float networks hold what float16 weights hold.

    What `write` with `half_weights` stores is then exactly what these networks have.
    """
    networks = {}
    for name, network in deployment.networks.items():
        if isinstance(network, IntegerNetwork):
            continue
        networks[name] = rounded = copy.deepcopy(network)
        with torch.no_grad():
            for values in (*rounded.parameters(), *rounded.buffers()):
                if values.dtype == torch.float32:
                    values.copy_(values.half().float())
    return deployment.with_networks(networks)
