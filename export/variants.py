"""Engines in another precision: analysis and synthesis change, but nothing that decides bytes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fcmrt.config import RuntimeOptions
from fcmrt.encoder import Encoder
from fcmrt.engine import Engine
from fcmrt.engine_writer import pack_engine, write_engine
from fcmrt.schedule import Dequantize, Run
from fcmrt.validator import exact_path

from .calibration import Method
from .int8 import outer_layers, with_int8
from .onnx import Precision
from .precision import with_precision

Graphs = Mapping[str, Sequence[Mapping[str, npt.NDArray[np.float32]]]]
"""Inputs by graph: for each run the tensors by name."""


def float_graphs(engine: Engine) -> tuple[str, ...]:
    """Returns the names of graphs whose numbers decide no bytes, and may be rounded differently."""
    manifest = engine.manifest
    kept = exact_path(manifest.latents, manifest.decode)
    return tuple(name for name in manifest.scheduled if name not in kept)


def graph_inputs(
    engine: Engine, pictures: Iterable[Any], qualities: Sequence[int]
) -> dict[str, list[dict[str, npt.NDArray[np.float32]]]]:
    """Collects what the float graphs of an engine are given, for calibration.

    Args:
        engine: In float32.
        pictures: Features of one picture each, as `Encoder.encode` takes them; never of pictures
            that the codec is judged by.
        qualities: Quality levels, which the pictures take in turn.

    Returns:
        By graph, the inputs of each run.
    """
    wanted = float_graphs(engine)
    encoder = Encoder(engine, options=RuntimeOptions(threads=1))
    found: dict[str, list[dict[str, npt.NDArray[np.float32]]]] = {name: [] for name in wanted}
    for number, features in enumerate(pictures):
        walk = encoder.walk(features, quality=qualities[number % len(qualities)])
        for step in engine.manifest.decode:
            if isinstance(step, Dequantize) and step.output not in walk.tensors:
                walk.dequantize(step)
            elif isinstance(step, Run) and step.outputs[0] not in walk.tensors:
                walk.run(step)
        seen = set()
        for step in (*engine.manifest.encode, *engine.manifest.decode):
            if isinstance(step, Run) and step.graph in wanted and step not in seen:
                seen.add(step)
                found[step.graph].append({name: walk.tensors[name] for name in step.inputs})
    return found


def in_precision(
    engine: Engine,
    precision: Precision,
    *,
    inputs: Graphs | None = None,
    method: Method = "mse",
    keep_outer: bool = False,
    path: str | os.PathLike[str] | None = None,
) -> Engine:
    """Makes an engine whose float graphs compute in another precision.

    Args:
        engine: In float32; its exact graphs and tables are copied byte for byte.
        precision: "fp32", "fp16", "bf16" or "int8".
        inputs: For int8, what `graph_inputs` gives.
        method: For int8, see `magnitudes`.
        keep_outer: For int8, keep `outer_layers` in float32.
        path: File to write it to; None: it is in memory only.

    Returns:
        A new engine, with a digest of its own: it cannot read the original's packets.

    Raises:
        EngineError: See `with_precision` and `with_int8`.
        OSError: The file cannot be written.
    """
    graphs = {name: engine.graph(name) for name in engine.manifest.graphs}
    for name in float_graphs(engine):
        graph = graphs[name]
        if precision == "int8":
            keep: Collection[str] = outer_layers(graph) if keep_outer else ()
            feeds = (inputs or {}).get(name, ())
            graphs[name] = with_int8(graph, feeds, method=method, keep=keep)
        else:
            graphs[name] = with_precision(graph, precision)
    tables = {name: engine.tables(name).to_bytes() for name in engine.manifest.tables}
    if path is not None:
        return write_engine(path, engine.manifest, graphs, tables)
    return Engine.load(pack_engine(engine.manifest, graphs, tables))
