"""The engine file: a trained codec's graphs, tables and manifest, checked before anything runs."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar, cast

from . import onnxwire, storedzip, strictjson
from .arguments import binary_file, instance, whole
from .errors import ConfigError, EngineError
from .exact import Proof, prove
from .importance_ports import check_importance
from .manifest import Manifest, Member
from .manifestjson import read_manifest
from .onnxgraph import Graph, read_graph
from .schedule import Run
from .spec import TensorSpec
from .storedzip import Span
from .tables import CdfTables

MANIFEST_NAME = "manifest.json"

_DTYPES = {"float32": onnxwire.FLOAT32, "int32": onnxwire.INT32}

_Shared = TypeVar("_Shared")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds on what an engine file may ask for; exceeding one is an `EngineError`."""

    max_bytes: int = 512 << 20
    """Size of the engine file."""

    max_members: int = 512
    """Files within it."""

    max_tensor_elements: int = 1 << 28
    """Elements of one stored tensor of a graph."""

    max_graph_fields: int = 1 << 21
    """Protobuf fields of all graphs together, nodes and attributes mostly; each takes time."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, whole(getattr(self, field.name), field.name, 1))


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Engine:
    """A codec, loaded and checked; immutable, to be shared by threads, encoders and decoders.

    Made by `load` and `builtin`. Engines can be pickled; they are checked again when unpickled.
    """

    manifest: Manifest
    digest: bytes
    """SHA-256 of `manifest.json`, 32 bytes. The manifest holds the SHA-256 of every other file."""
    _data: bytes
    _spans: Mapping[str, Span]
    _tables: Mapping[str, CdfTables]
    _proofs: Mapping[str, Proof]
    _limits: EngineLimits
    _shared: dict[Hashable, Any] = dataclasses.field(default_factory=dict)
    _lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO,
        limits: EngineLimits | None = None,
    ) -> Engine:
        """Loads an engine file.

        Args:
            source: Path, bytes (copied unless `bytes`), or a binary file, read from its position to
                its end. Untrusted.
            limits: What it may ask for; None: the defaults.

        Raises:
            EngineError: It is damaged, malformed, hostile, or of another version; the message says
                which.
            ConfigError: The source is none of these.
            OSError: The path cannot be read.

        Cost: one pass over the bytes for their digests, and the proofs of exact graphs; no graph is
            run.
        """
        limits = EngineLimits() if limits is None else limits
        instance(limits, EngineLimits, "limits")
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:
                data = file.read(limits.max_bytes + 1)
        else:
            binary_file(source, "the engine file", "read")
            data = source.read(limits.max_bytes + 1)
        if len(data) > limits.max_bytes:
            raise EngineError(f"the engine file is larger than {limits.max_bytes} bytes")
        return _open(data, limits)

    @classmethod
    def builtin(cls, name: str = "lmsfc-v1-nanodet") -> Engine:
        """Loads an engine that ships with the package.

        Raises:
            ConfigError: There is none of this name; the message lists those there are.
        """
        instance(name, str, "the name of an engine")
        folder = importlib.resources.files(__package__) / "assets"
        file = folder / f"{name}.fcmrt"
        if not strictjson.is_name(name) or not file.is_file():
            found = sorted(
                item.name.removesuffix(".fcmrt")
                for item in (folder.iterdir() if folder.is_dir() else ())
                if item.name.endswith(".fcmrt")
            )
            raise ConfigError(f"no built-in engine {name!r}; there is {', '.join(found) or 'none'}")
        return cls.load(file.read_bytes())

    @property
    def digest_hex(self) -> str:
        """The digest, hexadecimal."""
        return self.digest.hex()

    def graph(self, name: str) -> bytes:
        """Returns a graph of the manifest as an ONNX model; a copy, owned by the caller."""
        span = self._spans[self.manifest.graphs[name].file]
        return self._data[span.start : span.start + span.size]

    def tables(self, name: str) -> CdfTables:
        """Returns a table set of the manifest; shared, read-only."""
        return self._tables[name]

    def exact_graph(self, name: str) -> tuple[Graph, Proof]:
        """Returns a graph of the exact path, parsed, and its proof; shared, read-only."""
        graph = self.shared(
            ("graph", name), lambda: read_graph(self.graph(name), f"graph {name!r}")
        )
        return graph, self._proofs[name]

    def shared(self, key: Hashable, make: Callable[[], _Shared]) -> _Shared:
        """Returns what `make` gave when `key` was first asked for; it is kept with the engine.

        So users of one engine share what is expensive to make from it. `make` runs at most once per
        key, whatever the number of threads; if it raises, nothing is kept.
        """
        with self._lock:
            if key not in self._shared:
                self._shared[key] = make()
            return cast(_Shared, self._shared[key])

    def __repr__(self) -> str:
        return f"Engine({self.manifest.name!r}, {self.digest_hex[:16]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self._data, self._limits)


def _open(data: bytes, limits: EngineLimits) -> Engine:
    view = memoryview(data)
    spans = storedzip.read(view, limits.max_members)
    if MANIFEST_NAME not in spans:
        raise EngineError(f"the engine file has no {MANIFEST_NAME}")
    text = bytes(_slice(view, spans[MANIFEST_NAME]))
    manifest = read_manifest(text)
    members = {member.file: member for member in _members(manifest)}
    for name, span in spans.items():
        if name != MANIFEST_NAME:
            if name not in members:
                raise EngineError(f"the engine file has {name!r}, which the manifest does not name")
            _check_member(members[name], _slice(view, span))
    for name in members:
        if name not in spans:
            raise EngineError(f"the engine file lacks {name!r}, which the manifest names")
    tables = {}
    for name, member in manifest.tables.items():
        try:
            tables[name] = CdfTables.from_bytes(bytes(_slice(view, spans[member.file])))
        except EngineError as error:
            raise EngineError(f"{member.file}: {error}") from error
    _check_table_counts(manifest, tables)
    _check_graphs(
        manifest, {n: _slice(view, spans[m.file]) for n, m in manifest.graphs.items()}, limits
    )
    proofs = {
        name: _prove(name, layers, _slice(view, spans[manifest.graphs[name].file]))
        for name, layers in manifest.exact.items()
    }
    return Engine(
        manifest,
        hashlib.sha256(text).digest(),
        data,
        MappingProxyType(spans),
        MappingProxyType(tables),
        MappingProxyType(proofs),
        limits,
    )


def _slice(view: memoryview, span: Span) -> memoryview:
    return view[span.start : span.start + span.size]


def _members(manifest: Manifest) -> tuple[Member, ...]:
    return (*manifest.graphs.values(), *manifest.tables.values())


def _check_member(member: Member, data: memoryview) -> None:
    if member.bytes != len(data):
        raise EngineError(f"{member.file} has {len(data)} bytes; the manifest says {member.bytes}")
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise EngineError(f"{member.file} is not what the manifest says: its SHA-256 differs")


def _check_table_counts(manifest: Manifest, tables: Mapping[str, CdfTables]) -> None:
    for name, latent in manifest.latents.items():
        count = tables[latent.tables].count
        start, stop = latent.channel_range(manifest.tensors[latent.source])
        if latent.indexes is None and count != stop - start:
            raise EngineError(
                f"manifest.latents.{name}: {stop - start} channels with a table each, but "
                f"{latent.tables!r} has {count} tables"
            )
        if latent.skip > count:
            raise EngineError(
                f"manifest.latents.{name}.skip is {latent.skip}; {latent.tables!r} has {count} "
                "tables"
            )


def _check_graphs(
    manifest: Manifest, graphs: Mapping[str, memoryview], limits: EngineLimits
) -> None:
    infos = {}
    fields = limits.max_graph_fields
    for name, data in graphs.items():
        infos[name] = onnxwire.scan(
            data,
            f"graph {name!r}",
            max_fields=fields,
            max_tensor_elements=limits.max_tensor_elements,
        )
        fields -= infos[name].fields
    for side, steps in ("encode", manifest.encode), ("decode", manifest.decode):
        for i, step in enumerate(steps):
            if isinstance(step, Run):
                _check_run(manifest, step, infos[step.graph], f"manifest.{side}[{i}]")
    if manifest.importance is not None:
        check_importance(manifest, manifest.importance, infos[manifest.importance.graph])


def _prove(name: str, layers: Mapping[str, int], data: memoryview) -> Proof:
    """Proves a graph of the exact path again, since the manifest's bounds are not trusted."""
    place = f"graph {name!r}"
    proof = prove(read_graph(data, place), place)
    for layer in (*layers, *proof.layers):
        given, found = layers.get(layer), proof.layers.get(layer)
        if given != found:
            raise EngineError(
                f"manifest.exact.{name}: layer {layer[:80]!r} has the bound {given}, but {found} "
                "follows from the graph"
            )
    return proof


def _check_run(manifest: Manifest, step: Run, info: onnxwire.GraphInfo, place: str) -> None:
    inputs = {port.name: port for port in info.inputs}
    outputs = {port.name: port for port in info.outputs}
    if set(step.inputs) != set(inputs):
        raise EngineError(
            f"{place}.inputs: graph {step.graph!r} takes {_list(inputs)}, not {_list(step.inputs)}"
        )
    if not set(step.outputs) <= set(outputs):
        raise EngineError(
            f"{place}.outputs: graph {step.graph!r} gives {_list(outputs)}, not "
            f"{_list(step.outputs)}"
        )
    specs = {feature.name: feature.tensor for feature in manifest.features} | dict(manifest.tensors)
    if manifest.quality.input is not None:
        specs[manifest.quality.input] = TensorSpec(1, 1, "float32")
    for ports, names in (inputs, step.inputs), (outputs, step.outputs):
        for name in names:
            port, spec = ports[name], specs[name]
            dims = port.dims
            if port.dtype != _DTYPES[spec.dtype]:
                raise EngineError(
                    f"{place}: {name!r} is {spec.dtype} in the manifest, but has the ONNX element "
                    f"type {port.dtype} in graph {step.graph!r}"
                )
            sides = (1, 1) if name == manifest.quality.input else (None, None)
            wanted = (1, spec.channels, *sides)
            if dims is not None and (
                len(dims) != len(wanted)
                or any(
                    w is not None and d not in (None, w) for d, w in zip(dims, wanted, strict=True)
                )
            ):
                size = "H, W" if sides[0] is None else "1, 1"
                raise EngineError(
                    f"{place}: {name!r} is [1, {spec.channels}, {size}] in the manifest, but "
                    f"{list(dims)} in graph {step.graph!r}"
                )


def _list(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    return ", ".join(sorted(name[:64] for name in names)) or "nothing"
