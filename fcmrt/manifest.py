"""The manifest: all that an engine says about itself, and how it stands in JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

from . import strictjson as sj
from .errors import ConfigError, EngineError
from .exact import SUM_LIMIT
from .importance_model import ImportanceModel, importance_value, parse_importance
from .schedule import Step, parse_steps, step_value
from .spec import (
    ONE_STEP,
    UNIT_STEP,
    FeatureSpec,
    LatentSpec,
    Padding,
    Quality,
    Size,
    StepTable,
    TensorSpec,
    tensor_size,
)
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
from .validator import check_exact, validate

MECHANISMS = {(0, 2): ("step",), (0, 3): ("step", "gain"), (0, 4): ("step",)}
"""The formats that are read, and the quality mechanisms of each."""

_WITH_IMPORTANCE = (0, 4)
"""The format that has one key more: `importance`."""

MAX_MANIFEST_BYTES = 4 << 20

Profile = Literal["exact", "same-engine"]

_MAX_FEATURES = 64
_MAX_ENTRIES = 1024  # of a section
_MAX_LAYERS = 1 << 13  # of a graph
_SHA256 = re.compile(r"[0-9a-f]{64}")

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A file within the engine file."""

    file: str
    sha256: str
    """Hexadecimal, lower case."""
    bytes: int
    """Its size."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an engine is: its tensors, its schedule, its qualities and its files.

    Mappings are read-only once inside. A manifest made by hand is checked by `check`, one read
    from bytes has been.
    """

    name: str
    family: str
    """Which kind of codec it is, such as "lmsfc-v1"."""
    profile: Profile
    """Which machines decode the same integers: all ("exact"), or only such as the encoder's."""
    features: tuple[FeatureSpec, ...]
    padding: Padding
    tensors: Mapping[str, TensorSpec]
    latents: Mapping[str, LatentSpec]
    mean_bits: int
    """Means are in units of 2^-mean_bits; 0 to 16."""
    steps: StepTable
    quality: Quality
    encode: tuple[Step, ...]
    decode: tuple[Step, ...]
    outputs: Mapping[str, str]
    """Name of the tensor that holds each feature's reconstruction, by feature."""
    exact: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    """The graphs of the exact path, which are those whose integers become means or table indexes,
    and the proved bound of each of their summing layers; none for a same-engine codec."""
    graphs: Mapping[str, Member] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Member] = dataclasses.field(default_factory=dict)
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What people should know, in JSON's plain types: data, training, machine, metrics. Not read
    by the library."""
    importance: ImportanceModel | None = None
    """What decides how many bits each level of a picture gets; None: nothing of the kind."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Mapping):
                object.__setattr__(self, field.name, MappingProxyType(copy.deepcopy(dict(value))))

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Reads and checks a manifest.

        Args:
            data: The bytes of `manifest.json`; untrusted, borrowed.

        Raises:
            EngineError: Not JSON, an unknown key or step, a value of the wrong type or out of
                range, or a schedule that does not hold; the text names the place.
        """
        found = sj.mapping(sj.loads(data, "manifest", MAX_MANIFEST_BYTES), "manifest")
        version = _version(found.get("format"))
        keys = ["format", *(field.name for field in dataclasses.fields(cls))]
        if version != _WITH_IMPORTANCE:
            keys.remove("importance")
        sj.fields(found, "manifest", keys)
        features = sj.array(found["features"], "manifest.features", 1, _MAX_FEATURES)
        outputs = sj.named(found["outputs"], "manifest.outputs", _MAX_FEATURES)
        manifest = cls(
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

    def check(self) -> None:
        """Checks what the parts must have in common, and proves the schedule (`validate`).

        Raises:
            EngineError: What does not hold, and where.
        """
        if all(feature.stride != 1 for feature in self.features):
            raise EngineError("manifest.features: the finest level must have stride 1")
        for feature in self.features:
            if self.padding.multiple % feature.stride:
                raise EngineError(
                    f"manifest.padding.multiple is {self.padding.multiple}; it must be a multiple "
                    f"of the stride of {feature.name!r}, {feature.stride}"
                )
        self._check_quality()
        if self.importance is not None:
            self._check_importance(self.importance)
        for section, suffix in ("graphs", "onnx"), ("tables", "bin"):
            members: Mapping[str, Member] = getattr(self, section)
            for name, member in members.items():
                if member.file != f"{section}/{name}.{suffix}":
                    raise EngineError(
                        f"manifest.{section}.{name}.file is {member.file[:80]!r}; it must be "
                        f"{section}/{name}.{suffix}"
                    )
        validate(
            features=self.features,
            tensors=self.tensors,
            latents=self.latents,
            graphs=self.scheduled,
            tables=self.tables,
            encode=self.encode,
            decode=self.decode,
            outputs=self.outputs,
            position=self.quality.input,
        )
        check_exact(self.profile, self.exact, self.latents, self.decode)

    def _check_quality(self) -> None:
        """Checks that the levels are such as the mechanism has; EngineError otherwise."""
        stepped = [name for name, latent in self.latents.items() if latent.step]
        if self.quality.input is not None:
            if stepped:
                raise EngineError(
                    f"manifest.quality.mechanism is 'gain', but latent {stepped[0]!r} takes a "
                    "step; an engine has one mechanism or the other"
                )
            if self.steps != ONE_STEP:
                raise EngineError(
                    "manifest.quality.mechanism is 'gain', so manifest.steps has one step, 0, "
                    "of 1.0"
                )
        elif stepped:
            low, high = self.quality.levels[-1], self.quality.levels[0]
            if not self.steps.first <= low <= high <= self.steps.last:
                raise EngineError(
                    f"manifest.quality.levels go from {high} to {low}; manifest.steps has "
                    f"{self.steps.first} to {self.steps.last}"
                )
        elif self.quality.levels != (0,) or self.steps != ONE_STEP:
            raise EngineError(
                "manifest.quality: no latent takes a step, so there is one level, 0, of step 1.0"
            )

    def _check_importance(self, model: ImportanceModel) -> None:
        """Checks what an importance model has in common with the rest; EngineError otherwise."""
        place = "manifest.importance"
        if model.graph not in self.graphs:
            raise EngineError(f"{place}.graph: graph {model.graph!r} is not declared")
        if self.quality.input is not None or self.steps == ONE_STEP:
            raise EngineError(f"{place}: no latent takes a step, so no level can get more or less")
        first, last = model.steps[0], model.steps[-1]
        if not self.steps.first <= first < last <= self.steps.last:
            raise EngineError(
                f"{place}.steps go from {first} to {last}; manifest.steps has {self.steps.first} "
                f"to {self.steps.last}"
            )

    @property
    def scheduled(self) -> dict[str, Member]:
        """The graphs that the schedule runs: all but the one that predicts importances."""
        apart = None if self.importance is None else self.importance.graph
        return {name: member for name, member in self.graphs.items() if name != apart}

    def shape(self, name: str, padded: Size) -> tuple[int, int, int, int]:
        """Shape of a tensor that graphs read or write, at a canonical size.

        Args:
            name: Of a feature, a tensor, or the position of the quality.
            padded: Size of the padded finest level, in cells.
        """
        if name == self.quality.input:
            return 1, 1, 1, 1
        levels = {feature.name: feature.tensor for feature in self.features}
        spec = self.tensors[name] if name in self.tensors else levels[name]
        return 1, spec.channels, *tensor_size(spec, padded)

    @property
    def step_numbers(self) -> range:
        """The step numbers `d` that a packet may have."""
        if self.quality.input is not None:
            return range(self.quality.levels[-1], self.quality.levels[0] + 1)
        return range(self.steps.first, self.steps.last + 1)

    def step_width(self, d: int) -> int:
        """Width, in units of 2^-16, of the quantiser's step of latents that take one.

        Raises:
            ConfigError: `d` is not one of `step_numbers`.
        """
        numbers = self.step_numbers
        if d not in numbers:
            raise ConfigError(f"step {d} is not one of the engine's, {numbers[0]} to {numbers[-1]}")
        return UNIT_STEP if self.quality.input is not None else self.steps.width(d)

    def to_json(self) -> bytes:
        """Writes the manifest: UTF-8, keys in a fixed order, one entry a line.

        The format is the oldest that says it: 0.4 with an importance model, 0.3 for the mechanism
        "gain", otherwise 0.2.

        Returns:
            Bytes that `from_json` reads back to an equal manifest, if this one is valid.

        Raises:
            EngineError: The card holds what JSON cannot.
        """
        parts = ["{"]
        for key, value in self._values().items():
            dump = _dump(value)
            if key in ("features", "encode", "decode"):
                dump = "[\n  " + ",\n  ".join(_dump(item) for item in value) + "\n ]"
            elif key in ("tensors", "latents", "exact", "graphs", "tables") and value:
                entries = (f"{_dump(name)}: {_dump(item)}" for name, item in value.items())
                dump = "{\n  " + ",\n  ".join(entries) + "\n }"
            parts.append(f' "{key}": {dump},')
        parts[-1] = parts[-1].removesuffix(",")
        return ("\n".join(parts) + "\n}\n").encode("utf-8")

    def _values(self) -> dict[str, Any]:
        minor, told = 2 if self.quality.mechanism == "step" else 3, {}
        if self.importance is not None:
            minor, told = _WITH_IMPORTANCE[1], {"importance": importance_value(self.importance)}
        return {
            "format": [0, minor],
            "name": self.name,
            "family": self.family,
            "profile": self.profile,
            "features": [dataclasses.asdict(feature) for feature in self.features],
            "padding": dataclasses.asdict(self.padding),
            "tensors": {name: dataclasses.asdict(spec) for name, spec in self.tensors.items()},
            "latents": {
                name: dataclasses.asdict(latent) | {"indexes": latent.indexes or BY_CHANNEL}
                for name, latent in self.latents.items()
            },
            "mean_bits": self.mean_bits,
            "steps": dataclasses.asdict(self.steps),
            "quality": quality_value(self.quality),
            "encode": [step_value(step) for step in self.encode],
            "decode": [step_value(step) for step in self.decode],
            "outputs": dict(self.outputs),
            "exact": {name: {"layers": dict(layers)} for name, layers in self.exact.items()},
            "graphs": {name: dataclasses.asdict(member) for name, member in self.graphs.items()},
            "tables": {name: dataclasses.asdict(member) for name, member in self.tables.items()},
            "card": self.card,
            **told,
        }


def _version(version: Any) -> tuple[int, int]:
    """A format; EngineError where it is not read here."""
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
