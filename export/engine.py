"""From a deployment to an engine file."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import Any

import onnx
import torch
from torch import nn

from fcmrt.engine import Engine
from fcmrt.engine_writer import write_engine
from fcmrt.errors import ExportError

from .deployment import Deployment
from .exact import IntegerNetwork
from .fit import check_outputs, check_schedule, example
from .fp16 import is_stored_fp16
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
        path: The file to write.
        deployment: Its networks in float32, on the CPU; borrowed.
        name: The engine's name.
        card: What the codec was trained on and how well it does; free JSON.
        half_weights: Store weights of float networks as float16; the arithmetic stays float32.

    Returns:
        The engine, as loaded back.

    Raises:
        EngineError: The result is not a valid engine, or an exact network is not proved.
        ExportError: A network's outputs are not what the schedule says, or no graph can hold it.
    """
    path_networks = deployment.entropy_path
    exact = all(isinstance(deployment.networks[n], IntegerNetwork) for n in path_networks)
    manifest = deployment.manifest(name=name, card=card or {})
    check_schedule(deployment, manifest)
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
    inputs = [example(deployment, tensor) for tensor in run.inputs]
    check_outputs(deployment, name, network, inputs)
    scalars = {deployment.quality.input} & set(run.inputs)
    try:
        return export_graph(
            network, inputs, run.inputs, run.outputs, scalars=scalars, half_weights=half_weights
        )
    except ExportError as error:
        raise ExportError(f"graph {name!r}: {error}") from error


def with_half_weights(deployment: Deployment) -> Deployment:
    """Returns a copy whose float networks have their weights rounded to float16.

    They then have exactly the weights that `write` stores with `half_weights`.
    """
    return _rounded(deployment, {})


def with_weights_of(engine: Engine, deployment: Deployment) -> Deployment:
    """Returns a copy whose float networks have the weights that an engine made of them stores.

    Args:
        engine: Written with `half_weights`; some weights in its graphs were not rounded.
        deployment: What it was made of.
    """
    kept = {}
    for name in deployment.networks:
        stored = onnx.load_from_string(engine.graph(name)).graph.initializer
        floats = (tensor for tensor in stored if tensor.data_type == onnx.TensorProto.FLOAT)
        kept[name] = {onnx.numpy_helper.to_array(tensor).tobytes() for tensor in floats}
    return _rounded(deployment, kept)


def _rounded(deployment: Deployment, kept: Mapping[str, Collection[bytes]]) -> Deployment:
    networks = {}
    for name, network in deployment.networks.items():
        if isinstance(network, IntegerNetwork):
            continue
        networks[name] = rounded = copy.deepcopy(network)
        with torch.no_grad():
            for values in (*rounded.parameters(), *rounded.buffers()):
                if values.dtype != torch.float32 or values.numpy().tobytes() in kept.get(name, ()):
                    continue
                if is_stored_fp16(values.numpy()):
                    values.copy_(values.half().float())
    return deployment.with_networks(networks)
