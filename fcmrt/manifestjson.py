"""The JSON form of a manifest."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from . import strictjson as sj
from .errors import EngineError
from .exact import SUM_LIMIT
from .importance_model import importance_value, parse_importance
from .manifest import Manifest, Member, Profile
from .schedule import parse_steps, step_value
from .specjson import (
    BY_CHANNEL,
    parse_feature,
    parse_latent,
    parse_padding,
    parse_quality,
    parse_steps_table,
    parse_tensor,
    quality_value,
)

MECHANISMS = {(0, 2): ("step",), (0, 3): ("step", "gain"), (0, 4): ("step",)}
"""The formats that are read, and the quality mechanisms of each."""

_WITH_IMPORTANCE = (0, 4)
"""The format that has one key more: `importance`."""

MAX_MANIFEST_BYTES = 4 << 20

_MAX_FEATURES = 64
_MAX_ENTRIES = 1024  # of a section
_MAX_LAYERS = 1 << 13  # of a graph
_SHA256 = re.compile(r"[0-9a-f]{64}")

_Item = TypeVar("_Item")


def read_manifest(data: bytes) -> Manifest:
    """Reads and checks a manifest.

    Args:
        data: The bytes of `manifest.json`; untrusted, borrowed.

    Raises:
        EngineError: Not JSON, an unknown key or step, a value of the wrong type or out of
            range, or a schedule that does not hold; the text names the place.
    """
    found = sj.mapping(sj.loads(data, "manifest", MAX_MANIFEST_BYTES), "manifest")
    version = _version(found.get("format"))
    keys = ["format", *(field.name for field in dataclasses.fields(Manifest))]
    if version != _WITH_IMPORTANCE:
        keys.remove("importance")
    sj.fields(found, "manifest", keys)
    features = sj.array(found["features"], "manifest.features", 1, _MAX_FEATURES)
    outputs = sj.named(found["outputs"], "manifest.outputs", _MAX_FEATURES)
    manifest = Manifest(
        name=sj.name(found["name"], "manifest.name"),
        family=sj.name(found["family"], "manifest.family"),
        profile=cast(
            Profile,
            sj.choice(found["profile"], "manifest.profile", ("exact", "same-engine")),
        ),
        features=tuple(
            parse_feature(value, f"manifest.features[{i}]") for i, value in enumerate(features)
        ),
        padding=parse_padding(found["padding"], "manifest.padding"),
        tensors=_each(found["tensors"], "manifest.tensors", parse_tensor),
        latents=_each(found["latents"], "manifest.latents", parse_latent),
        mean_bits=sj.integer(found["mean_bits"], "manifest.mean_bits", 0, 16),
        steps=parse_steps_table(found["steps"], "manifest.steps"),
        quality=parse_quality(found["quality"], "manifest.quality", MECHANISMS[version]),
        encode=parse_steps(found["encode"], "encode"),
        decode=parse_steps(found["decode"], "decode"),
        outputs={k: sj.name(v, f"manifest.outputs.{k}") for k, v in outputs.items()},
        exact=_each(found["exact"], "manifest.exact", _layers),
        graphs=_each(found["graphs"], "manifest.graphs", _member),
        tables=_each(found["tables"], "manifest.tables", _member),
        card=sj.mapping(found["card"], "manifest.card"),
        importance=(
            parse_importance(found["importance"], "manifest.importance")
            if "importance" in found
            else None
        ),
    )
    manifest.check()
    return manifest


def write_manifest(manifest: Manifest) -> bytes:
    """Writes a manifest: UTF-8, keys in a fixed order, one entry a line.

    The format is the oldest that can hold it: 0.4 with an importance model, 0.3 for the mechanism
    "gain", otherwise 0.2.

    Returns:
        Bytes that `read_manifest` reads back to an equal manifest, if this one is valid.

    Raises:
        EngineError: The card has a value that JSON cannot hold.
    """
    parts = ["{"]
    for key, value in _values(manifest).items():
        dump = _dump(value)
        if key in ("features", "encode", "decode"):
            dump = "[\n  " + ",\n  ".join(_dump(item) for item in value) + "\n ]"
        elif key in ("tensors", "latents", "exact", "graphs", "tables") and value:
            entries = (f"{_dump(name)}: {_dump(item)}" for name, item in value.items())
            dump = "{\n  " + ",\n  ".join(entries) + "\n }"
        parts.append(f' "{key}": {dump},')
    parts[-1] = parts[-1].removesuffix(",")
    return ("\n".join(parts) + "\n}\n").encode("utf-8")


def _values(manifest: Manifest) -> dict[str, Any]:
    minor, more = 2 if manifest.quality.mechanism == "step" else 3, {}
    if manifest.importance is not None:
        minor, more = _WITH_IMPORTANCE[1], {"importance": importance_value(manifest.importance)}
    return {
        "format": [0, minor],
        "name": manifest.name,
        "family": manifest.family,
        "profile": manifest.profile,
        "features": [dataclasses.asdict(feature) for feature in manifest.features],
        "padding": dataclasses.asdict(manifest.padding),
        "tensors": {name: dataclasses.asdict(spec) for name, spec in manifest.tensors.items()},
        "latents": {
            name: dataclasses.asdict(latent) | {"indexes": latent.indexes or BY_CHANNEL}
            for name, latent in manifest.latents.items()
        },
        "mean_bits": manifest.mean_bits,
        "steps": dataclasses.asdict(manifest.steps),
        "quality": quality_value(manifest.quality),
        "encode": [step_value(step) for step in manifest.encode],
        "decode": [step_value(step) for step in manifest.decode],
        "outputs": dict(manifest.outputs),
        "exact": {name: {"layers": dict(layers)} for name, layers in manifest.exact.items()},
        "graphs": {name: dataclasses.asdict(member) for name, member in manifest.graphs.items()},
        "tables": {name: dataclasses.asdict(member) for name, member in manifest.tables.items()},
        "card": manifest.card,
        **more,
    }


def _version(version: Any) -> tuple[int, int]:
    """Reads the format's version; EngineError if it is not supported here."""
    parts = sj.array(version, "manifest.format", 2, 2)
    if any(type(part) is not int for part in parts) or tuple(parts) not in MECHANISMS:
        known = ", ".join(f"{major}.{minor}" for major, minor in MECHANISMS)
        raise EngineError(
            f"manifest.format is {parts[0]!r:.20}.{parts[1]!r:.20}; this library reads engines of "
            f"format {known}"
        )
    return parts[0], parts[1]


def _plain(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__}")


def _dump(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
        text.encode("utf-8")
        return text
    except (TypeError, ValueError) as error:
        raise EngineError(f"the manifest holds a value that JSON cannot hold: {error}") from error


def _each(value: Any, place: str, parse: Callable[[Any, str], _Item]) -> dict[str, _Item]:
    return {k: parse(v, f"{place}.{k}") for k, v in sj.named(value, place, _MAX_ENTRIES).items()}


def _layers(value: Any, place: str) -> dict[str, int]:
    layers = sj.mapping(sj.fields(value, place, ("layers",))["layers"], f"{place}.layers")
    if len(layers) > _MAX_LAYERS:
        raise EngineError(f"{place} has {len(layers)} layers; at most {_MAX_LAYERS} are allowed")
    return {
        name: sj.integer(bound, f"{place}.layers.{name[:80]}", 0, SUM_LIMIT - 1)
        for name, bound in layers.items()
    }


def _member(value: Any, place: str) -> Member:
    found = sj.fields(value, place, ("file", "sha256", "bytes"))
    sha256 = sj.text(found["sha256"], f"{place}.sha256")
    if not _SHA256.fullmatch(sha256):
        raise EngineError(f"{place}.sha256 is not 64 hexadecimal digits in lower case")
    size = sj.integer(found["bytes"], f"{place}.bytes", 0, (1 << 32) - 1)
    return Member(sj.text(found["file"], f"{place}.file"), sha256, size)
