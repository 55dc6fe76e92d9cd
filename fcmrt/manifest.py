"""The manifest: all that an engine says about itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from .errors import ConfigError, EngineError
from .importance_model import ImportanceModel
from .schedule import Step
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
from .validator import check_exact, validate

Profile = Literal["exact", "same-engine"]


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

    Mappings are read-only once inside. A manifest made by hand is not checked before `check` is
    called; one that was read from bytes (`manifestjson`) has been.
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
