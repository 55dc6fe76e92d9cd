"""The float parent of the built-in engine: the same codec, before its integers were made exact."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fcmrt
from fcmrt.engine_writer import pack_engine

GRAPH = "hyper_synthesis"
FILE = Path(__file__).parent / "assets" / "lmsfc-v1-nanodet.float-hyper-synthesis.onnx"


def float_parent(engine: fcmrt.Engine) -> fcmrt.Engine:
    """Give the same-engine engine that has the float hyper-synthesis in place of the exact one.

    Its analysis, synthesis and tables are the engine's, so that both encode the same latents.

    Args:
        engine: The built-in engine.
    """
    manifest = dataclasses.replace(engine.manifest, profile="same-engine", exact={})
    graphs = {name: engine.graph(name) for name in manifest.graphs}
    graphs[GRAPH] = FILE.read_bytes()
    tables = {name: engine.tables(name).to_bytes() for name in manifest.tables}
    return fcmrt.Engine.load(pack_engine(manifest, graphs, tables))
