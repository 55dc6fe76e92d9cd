"""Writes engine files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping

from . import storedzip
from .atomicfile import replace_file
from .engine import MANIFEST_NAME, Engine
from .exact import prove
from .manifest import Manifest, Member
from .manifestjson import write_manifest
from .onnxgraph import read_graph
from .validator import exact_path


def with_proofs(manifest: Manifest, graphs: Mapping[str, bytes]) -> Manifest:
    """Proves the graphs of the exact path, and adds the bounds of their layers to the manifest.

    Args:
        manifest: A valid schedule; its own `profile` and `exact` are not used.
        graphs: ONNX models by name, at least those of the exact path.

    Returns:
        The manifest with the profile "exact" and its `exact` filled in.

    Raises:
        EngineError: A graph cannot be proved; the message names the layer.
    """
    exact = {}
    for name in exact_path(manifest.latents, manifest.decode):
        place = f"graph {name!r}"
        exact[name] = dict(prove(read_graph(graphs[name], place), place).layers)
    return dataclasses.replace(manifest, profile="exact", exact=exact)


def pack_engine(
    manifest: Manifest, graphs: Mapping[str, bytes], tables: Mapping[str, bytes]
) -> bytes:
    """Makes the bytes of an engine file.

    Args:
        manifest: Its own `graphs` and `tables` are not used.
        graphs: ONNX models by name, in the order of the file.
        tables: Table sets (`CdfTables.to_bytes`) by name, likewise.

    Returns:
        The file; equal arguments give equal bytes. It is not checked: `Engine.load` does that.

    Raises:
        EngineError: There is a name or a value that an engine file cannot hold.
    """
    manifest = dataclasses.replace(
        manifest,
        graphs={n: _member(f"graphs/{n}.onnx", data) for n, data in graphs.items()},
        tables={n: _member(f"tables/{n}.bin", data) for n, data in tables.items()},
    )
    members = [(MANIFEST_NAME, write_manifest(manifest))]
    members += [(manifest.graphs[name].file, data) for name, data in graphs.items()]
    members += [(manifest.tables[name].file, data) for name, data in tables.items()]
    return storedzip.pack(members)


def write_engine(
    path: str | os.PathLike[str],
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    tables: Mapping[str, bytes],
) -> Engine:
    """Writes an engine file, after it has passed all checks of `Engine.load`.

    Args:
        path: Where the file goes; one that is there is replaced in one step.
        manifest: As for `pack_engine`.
        graphs: As for `pack_engine`.
        tables: As for `pack_engine`.

    Returns:
        The engine, as loaded back.

    Raises:
        EngineError: It would not load; nothing is written.
        OSError: The file cannot be written.
    """
    data = pack_engine(manifest, graphs, tables)
    engine = Engine.load(data)
    replace_file(pathlib.Path(path), data, mode=0o644)
    return engine


def _member(file: str, data: bytes) -> Member:
    return Member(file, hashlib.sha256(data).hexdigest(), len(data))
